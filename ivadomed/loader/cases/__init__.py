"""Cases: the files that belong to one image, and how they are read."""
