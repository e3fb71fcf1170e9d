"""Data sets and models from the network: fetch a file, unpack an archive."""
