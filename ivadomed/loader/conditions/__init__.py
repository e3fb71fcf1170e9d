"""What a network is told besides the image: its metadata (FiLM), or which of its contrasts are there (HeMIS)."""
