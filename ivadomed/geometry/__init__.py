"""Grids, windows and boxes: where a voxel is, and which voxels belong together."""
