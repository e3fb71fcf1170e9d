"""Reading and writing of images, and atomic writing of all other files; the only code that does so."""
