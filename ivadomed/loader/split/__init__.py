"""Subjects to train, validate and test on."""
