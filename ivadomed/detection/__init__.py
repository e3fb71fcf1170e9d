"""A first model finds an object; a second one works in the box around it."""
