"""Kinds of data sets that are read as they lie on disk, each as rows of the index that BIDS has."""
