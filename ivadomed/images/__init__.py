"""The only reader and writer of images, and the atomic writer of every other file."""
