"""Index of a BIDS data set: names, tables, sidecars, labels and their faults."""
