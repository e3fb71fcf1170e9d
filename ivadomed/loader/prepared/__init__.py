"""Prepared cases: fixed preprocessing steps, applied once per case and kept on disk."""
