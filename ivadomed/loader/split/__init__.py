"""Subjects for training, validation and testing."""
