"""Import path of ivadomed 3.0; implemented in `ivadomed.geometry.grid`."""

from ivadomed.geometry.grid import Grid, hwd_to_ras, ras_to_hwd

__all__ = ["Grid", "hwd_to_ras", "ras_to_hwd"]
