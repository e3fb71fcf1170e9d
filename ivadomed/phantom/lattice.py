"""Voxel grids in scanner space, slabs for computing a volume in limited memory, and smooth random fields."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation

SLAB_VOXELS = 2**18
"""Voxels per slab: about 1 MB per temporary array, to fit the processor's cache."""


@dataclass(frozen=True)
class Lattice:
    """A regular lattice of points: point (i, j, k) is at ``origin + i steps[0] + j steps[1] + k steps[2]``.

    shape: points along each axis; origin: [3] mm; steps: [3, 3] mm, one row per axis.
    """

    shape: tuple[int, int, int]
    origin: np.ndarray
    steps: np.ndarray

    def coordinate(self, axis: int) -> np.ndarray:
        """World coordinate `axis` (0 right, 1 anterior, 2 superior) of every point, float32 [I, J, K]."""
        i, j, k = (np.arange(n) * self.steps[row, axis] for row, n in enumerate(self.shape))
        plane = (self.origin[axis] + i[:, None] + j[None, :]).astype(np.float32)
        return plane[:, :, None] + k.astype(np.float32)

    def subdivided(self, count: int) -> Lattice:
        """Replace each point with `count` points, evenly spaced along the third axis."""
        steps = self.steps.copy()
        steps[2] /= count
        return Lattice(
            (*self.shape[:2], self.shape[2] * count), self.origin - steps[2] * (count - 1) / 2, steps
        )


@dataclass(frozen=True)
class VoxelGrid:
    """The voxel grid of one image.

    shape: voxels along right, anterior, superior; zooms: their size in mm; affine: [4, 4] voxel -> scanner mm,
    with axes nearly along R, A, S; axcodes: order and direction of the axes on
    disk.
    """

    shape: tuple[int, int, int]
    zooms: tuple[float, float, float]
    affine: np.ndarray
    axcodes: str

    def slabs(self, voxels: int = SLAB_VOXELS) -> Iterator[tuple[slice, Lattice]]:
        """Split the volume along its third axis into (slices, voxel centres) of about `voxels` voxels."""
        depth = max(1, voxels // (self.shape[0] * self.shape[1]))
        for first in range(0, self.shape[2], depth):
            count = min(depth, self.shape[2] - first)
            start = self.affine[:3, 3] + first * self.affine[:3, 2]
            yield slice(first, first + count), Lattice((*self.shape[:2], count), start, self.affine[:3, :3].T)

    def nearest_voxel(self, point: np.ndarray) -> tuple[int, int, int] | None:
        """Voxel that contains the world `point` (mm); None outside the volume."""
        offset = np.linalg.inv(self.affine[:3, :3]) @ (point - self.affine[:3, 3])
        i, j, k = (int(n) for n in np.rint(offset))
        inside = 0 <= i < self.shape[0] and 0 <= j < self.shape[1] and 0 <= k < self.shape[2]
        return (i, j, k) if inside else None

    def to_nifti(self, data: np.ndarray) -> nib.Nifti1Image:
        """Image of `data` [R, A, S] in the grid's on-disk orientation with qform and sform set."""
        change = ornt_transform(io_orientation(self.affine), axcodes2ornt(tuple(self.axcodes)))
        image = nib.Nifti1Image(data, self.affine).as_reoriented(change)
        image.set_qform(image.affine, code=1)
        image.set_sform(image.affine, code=1)
        image.header.set_xyzt_units("mm", "sec")
        return image


def oblique_grid(
    shape: tuple[int, int, int],
    zooms: tuple[float, float, float],
    centre: np.ndarray,
    angles: np.ndarray,
    axcodes: str,
) -> VoxelGrid:
    """Grid around `centre` (scanner mm), rotated by `angles` (degrees about R, A, S).

    The angles must be below 45 degrees, so that the axes keep their names.
    """
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * np.asarray(zooms)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return VoxelGrid(shape, zooms, affine, axcodes)


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of plane waves of random direction, with unit variance.

    vectors: [N, 3] rad/mm; phases: [N] rad. The field is defined in space, so all images of a subject sample the
    same one.
    """

    vectors: np.ndarray
    phases: np.ndarray

    def __call__(self, lattice: Lattice) -> np.ndarray:
        """Evaluate on a lattice, float32 [I, J, K].

        A plane wave on a lattice is a product of three one-dimensional waves: two products per point and no
        cosine.
        """
        field = np.zeros(lattice.shape, np.float32)
        for vector, phase in zip(self.vectors, self.phases, strict=True):
            start = phase + float(np.sum(vector * lattice.origin))
            turns = [np.sum(vector * step) for step in lattice.steps]
            i, j, k = (
                np.exp(1j * turn * np.arange(n)).astype(np.complex64)
                for turn, n in zip(turns, lattice.shape, strict=True)
            )
            plane = (np.complex64(np.exp(1j * start)) * i)[:, None] * j[None, :]
            field += np.ascontiguousarray(plane.real)[:, :, None] * np.ascontiguousarray(k.real)
            field -= np.ascontiguousarray(plane.imag)[:, :, None] * np.ascontiguousarray(k.imag)
        field *= np.float32(np.sqrt(2.0 / len(self.phases)))
        return field


def random_waves(rng: np.random.Generator, count: int, wavelengths: tuple[float, float]) -> Waves:
    """Draw `count` waves with wavelengths (mm) between the two bounds, log-uniform, in all directions."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    length = np.exp(rng.uniform(np.log(wavelengths[0]), np.log(wavelengths[1]), size=(count, 1)))
    return Waves(2 * np.pi * direction / length, rng.uniform(0, 2 * np.pi, count))


def random_stream(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Generator for `purpose` and `key`, independent of other draws with the same seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), *key)))
