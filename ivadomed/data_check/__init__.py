"""Look at a data set before a training: the files that it would read, and what is kept, left out or wrong."""
