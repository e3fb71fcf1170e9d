"""One module per command: train, test, eval, segment. Only these functions accept the complete configuration."""
