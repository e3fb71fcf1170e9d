"""Import path of ivadomed 3.0; `ivadomed.geometry.grid` does the work."""

from ivadomed.geometry.grid import Grid, hwd_to_ras, ras_to_hwd

__all__ = ["Grid", "hwd_to_ras", "ras_to_hwd"]
