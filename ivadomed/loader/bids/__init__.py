"""The index of a BIDS data set: names, tables, sidecars, labels, and what is wrong with them."""
