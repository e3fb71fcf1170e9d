"""From a BIDS data set to batches: index, cases, split, samples."""
