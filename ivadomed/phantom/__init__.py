"""Seeded stand-ins for real studies: spinal cord MRI and micrographs of nerve fibres, with their labels.

``study.write_study`` and ``micrographs.write_micrographs`` write whole BIDS data sets; the other modules
hold one step each: the anatomy, the signal equations, the sampling on a voxel grid, the files.
"""
