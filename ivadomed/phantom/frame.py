"""Coordinates that follow the cord, and the blocks of a slab that hold a structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy
from .sampling import Lattice
from .shapes import Array

Block = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Frame:
    """Coordinates of the points of a lattice relative to the cord: right, anterior, superior, mm."""

    u: Array
    v: Array
    z: Array

    @classmethod
    def of(cls, anatomy: Anatomy, lattice: Lattice) -> Frame:
        """Coordinates of the points of `lattice`."""
        x, y, z = (lattice.coordinate(axis) - np.float32(anatomy.origin[axis]) for axis in range(3))
        u0, v0 = anatomy.centre(z)
        return cls(x - u0, y - v0, z)

    def block(self, **ranges: tuple[float, float]) -> Block | None:
        """Smallest block that holds all points within `ranges` of u, v, z (mm); None without any.

        Each coordinate changes almost only along its own axis, so that the outer rows of the lattice bound
        it.
        """
        slices = [slice(None)] * 3
        for axis, name in enumerate("uvz"):
            if name in ranges:
                rows = np.moveaxis(getattr(self, name), axis, 0)
                rows = rows[:, :: max(1, rows.shape[1] - 1), :: max(1, rows.shape[2] - 1)].reshape(
                    len(rows), -1
                )
                low, high = ranges[name]
                near = np.flatnonzero((rows.max(axis=1) >= low - 1.0) & (rows.min(axis=1) <= high + 1.0))
                if not len(near):
                    return None
                slices[axis] = slice(int(near[0]), int(near[-1]) + 1)
        return slices[0], slices[1], slices[2]

    def __getitem__(self, block: Block) -> Frame:
        return Frame(self.u[block], self.v[block], self.z[block])
