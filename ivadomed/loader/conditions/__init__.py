"""Inputs of a network besides the image: metadata (FiLM), or the contrasts that are there (HeMIS)."""
