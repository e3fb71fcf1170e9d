"""Shape, voxel size and orientation of an image: the only code that handles native, RAS and HWD order.

Three axis orders are in use:

* native: as stored in the file, ``[X, Y, Z]``;
* RAS: the closest canonical order, first axis to the Right, second Anterior, third Superior;
* HWD: height, width, depth, where depth is the slice axis. Networks see HWD.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from nibabel.affines import voxel_sizes
from nibabel.orientations import aff2axcodes, apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

SLICE_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}

HWD_OF_RAS = {0: (2, 1, 0), 1: (2, 0, 1), 2: (0, 1, 2)}
"""RAS axes in the order H, W, D, by slice axis."""


def ras_to_hwd(data: np.ndarray, slice_axis: int) -> np.ndarray:
    """Reorder the last three axes from RAS to HWD; a view."""
    return _transpose_last(data, HWD_OF_RAS[slice_axis])


def hwd_to_ras(data: np.ndarray, slice_axis: int) -> np.ndarray:
    """Reorder the last three axes from HWD to RAS; a view."""
    return _transpose_last(data, tuple(int(i) for i in np.argsort(HWD_OF_RAS[slice_axis])))


def _transpose_last(data: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    lead = data.ndim - 3
    return data.transpose(*range(lead), *(lead + axis for axis in axes))


@dataclass(frozen=True, eq=False)
class Grid:
    """Positions of the voxels of an image.

    Args:
        shape: Native shape [X, Y, Z].
        affine: [4, 4], native voxel indices to millimeters (RAS+).
        slice_axis: RAS axis along which slices are taken: 0 sagittal, 1 coronal, 2 axial.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    slice_axis: int = 2

    @cached_property
    def orientation(self) -> np.ndarray:
        """nibabel orientation array [3, 2] from native to RAS."""
        return io_orientation(self.affine)

    @property
    def axis_codes(self) -> str:
        """Directions of the native axes, e.g. "RAS"."""
        return "".join(aff2axcodes(self.affine))

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel size in mm along H, W, D."""
        native = voxel_sizes(self.affine)
        ras = np.empty(3)
        ras[self.orientation[:, 0].astype(int)] = native
        height, width, depth = HWD_OF_RAS[self.slice_axis]
        return float(ras[height]), float(ras[width]), float(ras[depth])

    @property
    def hwd_shape(self) -> tuple[int, int, int]:
        """Shape in HWD order."""
        ras = np.empty(3, int)
        ras[self.orientation[:, 0].astype(int)] = self.shape
        height, width, depth = HWD_OF_RAS[self.slice_axis]
        return int(ras[height]), int(ras[width]), int(ras[depth])

    def to_hwd(self, data: np.ndarray) -> np.ndarray:
        """[X, Y, Z] native to [H, W, D]; a view."""
        return ras_to_hwd(apply_orientation(data, self.orientation), self.slice_axis)

    def to_native(self, data: np.ndarray) -> np.ndarray:
        """[..., H, W, D] to [..., X, Y, Z] native; a view, the inverse of ``to_hwd``."""
        canonical = np.array([[0, 1], [1, 1], [2, 1]])
        first, last = (0, 1, 2), (-3, -2, -1)
        ras = np.moveaxis(hwd_to_ras(data, self.slice_axis), last, first)
        return np.moveaxis(apply_orientation(ras, ornt_transform(canonical, self.orientation)), first, last)

    def matches(self, other: Grid) -> bool:
        """Return whether two images have the same voxels, regardless of axis order.

        This is the case if, in one order, their shapes are equal and their corners less than one voxel apart.
        Some programs round the affine to two decimals, which rotates a large image by a considerable part of a
        voxel; a shift by a whole voxel is not a rounding error.
        """
        return self._orientation_of(other) is not None

    def align(self, other: Grid, data: np.ndarray) -> np.ndarray:
        """Reorder the axes [X, Y, Z, ...] of another image to those of this one; a view.

        Raises:
            ValueError: The voxels differ, see ``matches``.
        """
        orientation = self._orientation_of(other)
        if orientation is None:
            raise ValueError(f"{other} are no voxels of {self}")
        return apply_orientation(data, orientation)

    def _orientation_of(self, other: Grid) -> np.ndarray | None:
        """nibabel orientation array [3, 2] from the native axes of another image to ours; None if the voxels differ."""
        if self._corners_agree(other):  # works even if an image is too thin to define its axes
            return np.array([[0, 1], [1, 1], [2, 1]])
        # Match each axis to our nearest axis, not to RAS: at 45 degrees, the latter depends on rounding.
        orientation = io_orientation(np.linalg.inv(self.affine) @ other.affine)
        stored = [other.shape[int(i)] for i in np.argsort(orientation[:, 0])]
        affine = other.affine @ inv_ornt_aff(orientation, other.shape)
        turned = Grid((stored[0], stored[1], stored[2]), affine, self.slice_axis)
        return orientation if self._corners_agree(turned) else None

    def _corners_agree(self, other: Grid) -> bool:
        """Return whether the shapes are equal and the corners less than one voxel apart, in stored axis order."""
        if self.shape != other.shape:
            return False
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
        corners[:, :3] *= self.shape
        apart = np.linalg.norm((corners @ (self.affine - other.affine).T)[:, :3], axis=1).max()
        return bool(apart < voxel_sizes(self.affine).min())

    def __str__(self) -> str:
        size = "x".join(map(str, self.shape))
        zooms = "x".join(f"{zoom:.4g}" for zoom in voxel_sizes(self.affine))
        return f"{size} voxels of {zooms} mm, {self.axis_codes}, origin {np.round(self.affine[:3, 3], 2)}"
