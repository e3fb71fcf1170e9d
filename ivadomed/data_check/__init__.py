"""Check of a data set before training: the files to be read, and which are kept, left out or faulty."""
