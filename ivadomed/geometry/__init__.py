"""Grids, windows and boxes: positions of voxels and groups of voxels."""
