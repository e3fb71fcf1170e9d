"""All slices of a case in one sprite, small enough for a page: the image as JPEG, its labels compressed."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod, sqrt

import numpy as np

from ivadomed.geometry.grid import HWD_OF_RAS
from ivadomed.images.io import jpeg_bytes
from ivadomed.visualize.overlays import intensity_range, surroundings

MOST_VOXELS = 2**22
"""Voxels of a sprite: a browser needs about ten bytes for each."""

_QUALITY = 85
_BYTES_OF_VOXEL = 0.3  # of JSON, about; noise takes more
_LEAST_VOXELS = 64  # of a sprite; fewer show nothing
_MOST_SETS = 2**16
_BITS = 32
_MARGIN = 0.9  # of the bytes that another try aims at
_FULL = 0.6  # of the bytes: no finer try


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Image, prediction and ground truth of a case, to scroll through.

    Args:
        labels: [slices, rows, columns] uint16, places in ``sets``.
        sets: Classes of the prediction and of the ground truth that a voxel is in; the first is of none.
        image: JPEG of all slices, left to right and top to bottom.
        tiles: Slices in a row of ``image``.
        axes: RAS axis of slices, rows and columns; empty for a picture.
        zooms: Size of a voxel of ``labels`` along its axes, in mm (of a picture: relative).
        start: First voxel of the image that is shown, along each axis.
        step: Voxels of the image that one of ``labels`` stands for, along each axis.
        full: Shape of the image.
    """

    labels: np.ndarray
    sets: Sequence[tuple[Sequence[int], Sequence[int]]]
    image: bytes
    tiles: int
    axes: tuple[int, ...]
    zooms: tuple[float, ...]
    start: tuple[int, ...]
    step: tuple[int, ...]
    full: tuple[int, ...]

    @cached_property
    def json(self) -> str:
        """The stack as the script of the report reads it; ASCII without ``<``, ``>`` and ``&``."""
        packed = zlib.compress(self.labels.astype("<u2").tobytes(), 9)
        values = {
            "shape": self.labels.shape,
            "axes": self.axes,
            "zooms": self.zooms,
            "start": self.start,
            "step": self.step,
            "full": self.full,
            "tiles": self.tiles,
            "sets": self.sets,
            "labels": base64.b64encode(packed).decode(),
            "image": base64.b64encode(self.image).decode(),
        }
        return json.dumps(values, separators=(",", ":"))


def stack_slices(
    image: np.ndarray,
    masks: np.ndarray,
    truth: np.ndarray,
    zooms: Sequence[float],
    slice_axis: int | None,
    most_bytes: float,
) -> SliceStack | None:
    """Pack a case into so many bytes of JSON.

    An image that is too large as a whole is first cut to the surroundings of its labels; then the axis with the finest
    voxels is made coarser, again and again. A coarse voxel has the mean of the image, and each class that any of its
    voxels has, so that no object is lost.

    Args:
        image: [H, W, D] intensities.
        masks: [K, H, W, D] prediction, of which 0.5 and more is shown.
        truth: [K, H, W, D] ground truth, likewise.
        zooms: Size of a voxel along H, W, D.
        slice_axis: RAS axis along which slices were taken; None for pictures.
        most_bytes: Size of the result.

    Returns:
        The stack; None where so few bytes show nothing.
    """
    case = _Case(image, masks, truth, zooms, slice_axis, intensity_range(image))
    box = [(0, length) for length in image.shape]
    most_voxels = min(MOST_VOXELS, most_bytes / _BYTES_OF_VOXEL)
    fitting: SliceStack | None = None
    while most_voxels >= _LEAST_VOXELS:
        if prod(stop - start for start, stop in box) > most_voxels:
            box = surroundings(case.marked)
        step = coarsen([stop - start for start, stop in box], zooms, most_voxels)
        stack = case.stack(box, step)
        size = len(stack.json)
        fits = size <= most_bytes and len(stack.sets) <= _MOST_SETS
        if fitting or (fits and (max(step) == 1 or size >= _FULL * most_bytes)):
            return stack if fits else fitting
        fitting = stack if fits else None  # one finer try where there is room
        most_voxels = min(MOST_VOXELS, stack.labels.size * _MARGIN * most_bytes / size)
        if not fits:
            most_voxels = min(most_voxels, stack.labels.size * _MARGIN)
    return fitting


def coarsen(shape: Sequence[int], zooms: Sequence[float], most: float) -> tuple[int, ...]:
    """Voxels to join along each axis, the finest axis first, until ``most`` are left."""
    step = [1] * len(shape)
    while prod(-(-length // n) for length, n in zip(shape, step, strict=True)) > most:
        sizes = [
            zoom * n if n < length else np.inf for zoom, n, length in zip(zooms, step, shape, strict=True)
        ]
        step = [n + (size < min(sizes) * 1.01) for n, size in zip(step, sizes, strict=True)]
    return tuple(step)


@dataclass(frozen=True, eq=False)
class _Case:
    """Arguments of ``stack_slices``, and the intensities that are black and white."""

    image: np.ndarray
    masks: np.ndarray
    truth: np.ndarray
    zooms: Sequence[float]
    slice_axis: int | None
    shown: tuple[float, float]

    @cached_property
    def marked(self) -> np.ndarray:
        """[H, W, D] True where there is a class."""
        marked = np.zeros(self.image.shape, bool)
        for mask in (*self.masks, *self.truth):
            marked |= mask >= 0.5
        return marked

    def stack(self, box: Sequence[tuple[int, int]], step: Sequence[int]) -> SliceStack:
        """The part ``box``, coarser by ``step``."""
        cut = tuple(slice(start, stop) for start, stop in box)
        low, high = self.shown
        grey = np.clip((_means(self.image[cut], step) - low) / max(high - low, 1e-8), 0, 1) * 255
        flags = [_any(mask[cut] >= 0.5, step) for mask in (*self.masks, *self.truth)]
        labels, sets = _join(flags, len(self.masks))
        sprite, tiles = _sprite(_slices_first(grey).astype(np.uint8))
        height, width, depth = (0, 1, 2) if self.slice_axis is None else HWD_OF_RAS[self.slice_axis]
        return SliceStack(
            labels=_slices_first(labels),
            sets=sets,
            image=jpeg_bytes(sprite, _QUALITY),
            tiles=tiles,
            axes=() if self.slice_axis is None else (depth, height, width),
            zooms=_depth_first([zoom * n for zoom, n in zip(self.zooms, step, strict=True)]),
            start=_depth_first([start for start, _ in box]),
            step=_depth_first(step),
            full=_depth_first(self.image.shape),
        )


def _slices_first(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 0, 1)


def _depth_first(values: Sequence[float]) -> tuple:
    height, width, depth = values
    return depth, height, width


def _means(image: np.ndarray, step: Sequence[int]) -> np.ndarray:
    """[H, W, D] means of blocks of voxels; those at the end are smaller."""
    values = image.astype(np.float32, copy=False)
    for axis, n in enumerate(step):
        if n > 1:
            counts = np.full(-(-values.shape[axis] // n), n, np.float32)
            counts[-1] -= -values.shape[axis] % n
            values = _blocks(np.add, values, axis, n)
            values /= np.expand_dims(counts, [a for a in range(values.ndim) if a != axis])
    return values


def _any(mask: np.ndarray, step: Sequence[int]) -> np.ndarray:
    """[H, W, D] True for blocks with a voxel of the mask."""
    for axis, n in enumerate(step):
        if n > 1:
            mask = _blocks(np.logical_or, mask, axis, n)
    return mask


def _blocks(join: np.ufunc, array: np.ndarray, axis: int, n: int) -> np.ndarray:
    """Join every n voxels along an axis: the first of all blocks, then the second; faster than ``reduceat``."""
    before = (slice(None),) * axis
    joined = array[(*before, slice(0, None, n))].copy()
    for offset in range(1, min(n, array.shape[axis])):
        part = array[(*before, slice(offset, None, n))]
        place = joined[(*before, slice(part.shape[axis]))]
        join(place, part, out=place)
    return joined


def _join(flags: Sequence[np.ndarray], classes: int) -> tuple[np.ndarray, list[tuple[list[int], list[int]]]]:
    """One number for each combination of classes: the numbers, and the combinations."""
    marked = np.flatnonzero(np.any(flags, axis=0))
    members = [flag.ravel()[marked] for flag in flags]
    keys = np.zeros(marked.size, np.int64)
    for k, member in enumerate(members):
        keys = 2 * keys + member
        if k % _BITS == _BITS - 1:  # short numbers again, which leave room for more bits
            keys = np.unique(keys, return_inverse=True)[1].ravel()
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    labels = np.zeros(flags[0].shape, np.uint16)
    labels.ravel()[marked] = numbers + 1
    found = [[k for k, member in enumerate(members) if member[place]] for place in first]
    sets = [([k for k in one if k < classes], [k - classes for k in one if k >= classes]) for one in found]
    return labels, [([], []), *sets]


def _sprite(slices: np.ndarray) -> tuple[np.ndarray, int]:
    """Slices [n, rows, columns] as one picture that is about as high as it is wide, and how many are in a row."""
    n, rows, columns = slices.shape
    tiles = min(n, ceil(sqrt(n * rows / columns)))
    filled = np.concatenate([slices, np.zeros((-n % tiles, rows, columns), slices.dtype)])
    return filled.reshape(-1, tiles, rows, columns).swapaxes(1, 2).reshape(-1, tiles * columns), tiles
