"""One module per command: train, test, eval, segment. The only functions that take the whole configuration."""
