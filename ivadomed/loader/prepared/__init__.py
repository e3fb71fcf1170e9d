"""Prepared cases: the fixed steps of preprocessing, done once per case and kept on disk."""
