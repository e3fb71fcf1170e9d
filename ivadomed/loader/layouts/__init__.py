"""Supported kinds of data sets, read as they are on disk and indexed with BIDS names."""
