"""Seeded synthetic studies: spinal cord MRI and micrographs of nerve fibers, with their labels.

``study.write_study`` and ``micrographs.write_micrographs`` write complete BIDS data sets; the other modules
cover one step each: the anatomy, the signal equations, the sampling on a voxel grid, the files.
"""
