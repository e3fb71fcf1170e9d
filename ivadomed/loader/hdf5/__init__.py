"""HDF5 data sets, of which contrasts can be withheld: from BIDS and back."""
