"""Cases: the files that belong to one image, and reading them."""
