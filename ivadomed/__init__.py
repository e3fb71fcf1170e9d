"""ivadomed: config-driven deep learning on medical images."""

__version__ = "3.0.0"
