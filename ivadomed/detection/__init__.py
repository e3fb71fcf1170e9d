"""Object detection: a first model finds an object; a second one works in its bounding box."""
