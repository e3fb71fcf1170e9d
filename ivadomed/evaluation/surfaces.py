"""Distances between the surfaces of two masks, in mm.

The surface runs between the voxels: it has an element at each corner whose eight surrounding voxels are not all
equal, with the area given by marching cubes (Lorensen and Cline, 1987). Elements are weighted by area, so the first
and last slice of an object weigh no more on a grid of 0.5 x 0.5 x 5 mm than on one of 1 mm. Everything outside the
image is background; an axis of one voxel has no outside, so the surface of a picture is its outline. Definitions and
results are those of Nikolov et al. (2021) and their ``surface-distance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import edt
import numpy as np
from scipy.spatial import cKDTree

from ivadomed.postprocessing.objects import bounding_box

# The cost of a search tree scales with the elements of one surface, and with those of the other times the elements that
# are about as near as the nearest one, of which there are many far from a surface; that of a distance transform scales
# with the volume.
_VOXELS_PER_ELEMENT = 50
_SAMPLE = 64
_ROUNDING = 1e-5  # of a distance transform in float32
_INSIDE = 255  # code of a corner whose eight voxels all belong to the mask


@dataclass(frozen=True, eq=False)
class Surface:
    """Surface elements of a mask.

    Args:
        codes: [h, w, d] uint8, one bit per voxel around a corner.
        spacing: mm between corners.
    """

    codes: np.ndarray
    spacing: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, spacing: np.ndarray, flat: Sequence[bool]) -> Surface:
        """Surface of a mask [h, w, d]; the axes of ``flat`` have no outside."""
        codes = mask.astype(np.uint8)
        for axis, is_flat in enumerate(flat):
            codes = (
                np.repeat(codes, 2, axis)
                if is_flat
                else np.pad(codes, [(int(i == axis),) * 2 for i in range(3)])
            )
            ahead = np.moveaxis(codes, axis, 0)
            codes = np.moveaxis(ahead[:-1] | ahead[1:] << 2**axis, 0, axis)
        return cls(codes, spacing)

    @property
    def elements(self) -> np.ndarray:
        """[h, w, d] True for corners on the surface."""
        return (self.codes > 0) & (self.codes < _INSIDE)

    def areas(self) -> np.ndarray:
        """[n] mm2 of the elements, in the order of ``numpy.flatnonzero``."""
        return element_areas(self.spacing)[self.codes[self.elements]]

    def distances_to(self, other: Surface) -> np.ndarray:
        """[n] mm from each element to the nearest one of another surface; infinite if that surface is empty."""
        elements, others = self.elements, other.elements
        found = np.flatnonzero(elements)
        apart = ~others.ravel()[found]
        count = int(np.count_nonzero(others))
        axes = [axis for axis, length in enumerate(others.shape) if length > 1]
        if not count:
            return np.full(len(found), np.inf)

        def suits_tree(work: float) -> bool:  # the distance transform needs two axes at least
            return work * _VOXELS_PER_ELEMENT < others.size or len(axes) < 2

        if suits_tree(count):
            tree = cKDTree(_places(np.flatnonzero(others), others.shape) * self.spacing)
            points = _places(found[apart], elements.shape) * self.spacing
            if suits_tree(count + len(points) * _as_near(tree, points)):
                distances = np.zeros(len(found))
                distances[apart] = tree.query(points)[0]
                return distances
        free = np.ascontiguousarray(np.squeeze(~others))
        return edt.edt(free, anisotropy=tuple(self.spacing[axes])).ravel()[found].astype(float)


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances in mm from the elements of each of two surfaces to the other one.

    Args:
        of_prediction: [n] from the surface of the prediction to that of the ground truth.
        of_truth: [m] from the surface of the ground truth to that of the prediction.
            Both are infinite where the other mask is empty.
        areas_of_prediction: [n] mm2 of the elements.
        areas_of_truth: [m] mm2 of the elements.
    """

    of_prediction: np.ndarray
    of_truth: np.ndarray
    areas_of_prediction: np.ndarray
    areas_of_truth: np.ndarray

    @classmethod
    def between(cls, prediction: np.ndarray, truth: np.ndarray, zooms: Sequence[float]) -> SurfaceDistances:
        """Distances between the surfaces of two masks.

        Args:
            prediction: [H, W, D] bool.
            truth: [H, W, D] bool.
            zooms: Voxel size in mm along H, W, D.
        """
        box = bounding_box(prediction | truth)
        if box is None:
            nothing = np.zeros(0)
            return cls(nothing, nothing, nothing, nothing)
        spacing, flat = np.asarray(zooms, float), [length == 1 for length in truth.shape]
        of_prediction, of_truth = (Surface.of(mask[box], spacing, flat) for mask in (prediction, truth))
        return cls(
            of_prediction.distances_to(of_truth),
            of_truth.distances_to(of_prediction),
            of_prediction.areas(),
            of_truth.areas(),
        )

    @property
    def exist(self) -> bool:
        """True if neither mask is empty."""
        return bool(self.of_prediction.size and self.of_truth.size)

    def hausdorff(self, percentile: float = 100) -> float:
        """Larger of the two percentiles of distances from one surface to the other; NaN if a mask is empty.

        100 gives the Hausdorff distance, 95 the HD95.
        """
        if not self.exist:
            return float("nan")
        return max(
            _percentile(self.of_prediction, self.areas_of_prediction, percentile),
            _percentile(self.of_truth, self.areas_of_truth, percentile),
        )

    def average(self) -> float:
        """Average symmetric surface distance: mean over the area of both surfaces; NaN if a mask is empty."""
        if not self.exist:
            return float("nan")
        integral = self.of_prediction @ self.areas_of_prediction + self.of_truth @ self.areas_of_truth
        return float(integral / (self.areas_of_prediction.sum() + self.areas_of_truth.sum()))

    def surface_dice(self, tolerance: float) -> float:
        """Fraction of the area of both surfaces that lies within ``tolerance`` mm of the other one.

        0 if one mask is empty, NaN if both are.
        """
        area = self.areas_of_prediction.sum() + self.areas_of_truth.sum()
        reach = tolerance * (1 + _ROUNDING)
        within = self.areas_of_prediction[self.of_prediction <= reach].sum()
        within += self.areas_of_truth[self.of_truth <= reach].sum()
        return float(within / area) if area else float("nan")


def element_areas(spacing: np.ndarray) -> np.ndarray:
    """[256] mm2 of the surface element of each code, on a grid of ``spacing`` mm along H, W, D."""
    scale = np.prod(spacing) / spacing  # of the three components of an area vector
    return np.linalg.norm(_triangles() * scale, axis=2).sum(axis=1)


@cache
def _triangles() -> np.ndarray:
    """[256, triangles, 3] area vectors of marching cubes in a cube of 1 mm, padded with zeros."""
    from skimage.measure import marching_cubes  # a heavy import, for this table only

    table = np.zeros((256, 5, 3))
    for code in range(1, _INSIDE):
        # A cube and its complement have the same surface; where they are ambiguous, the emptier one decides.
        filled = code if code.bit_count() <= 4 else _INSIDE - code
        cube = (filled >> np.arange(8) & 1).reshape(2, 2, 2, order="F").astype(np.float32)
        vertices, faces, *_ = marching_cubes(cube, 0.5, method="lorensen")
        first, second, third = np.take(vertices, faces, axis=0).swapaxes(0, 1)
        table[code, : len(faces)] = np.cross(second - first, third - first) / 2
    return table


def _percentile(distances: np.ndarray, areas: np.ndarray, percentile: float) -> float:
    """Percentile of distances, weighted by area."""
    order = np.argsort(distances)
    share = np.cumsum(areas[order]) / areas.sum()
    index = int(np.searchsorted(share, percentile / 100))
    return float(distances[order[min(index, len(order) - 1)]])


def _as_near(tree: cKDTree, points: np.ndarray) -> float:
    """Mean number of elements of a tree that are at most 1 % farther away than the nearest one, of some points."""
    some = points[:: max(1, len(points) // _SAMPLE)]
    counts = tree.query_ball_point(some, 1.01 * tree.query(some)[0], return_length=True)
    return float(counts.mean()) if len(some) else 0.0


def _places(flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[n, 3] indices from flat ones."""
    return np.stack(np.unravel_index(flat, shape), axis=1)
