"""All slices of a case in one sprite, small enough for a web page: image as JPEG, labels compressed."""

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
"""Maximum number of voxels of a sprite: a browser needs about ten bytes for each."""

_QUALITY = 85
_BYTES_OF_VOXEL = 0.3  # of JSON, approximately; noise takes more
_LEAST_VOXELS = 64  # of a sprite; fewer show nothing useful
_MOST_SETS = 2**16
_BITS = 32
_MARGIN = 0.9  # fraction of the bytes that the next attempt aims at
_FULL = 0.6  # fraction of the bytes above which no finer attempt is made


@dataclass(frozen=True, eq=False)
class SliceStack:
    """Image, prediction and ground truth of a case, for scrolling.

    Args:
        labels: [slices, rows, columns] uint16, indices in ``sets``.
        sets: Combinations of predicted and true classes of a voxel; the first one is empty.
        image: JPEG of all slices, left to right and top to bottom.
        tiles: Number of slices per row of ``image``.
        axes: RAS axis of slices, rows and columns; empty for a picture.
        zooms: Voxel size of ``labels`` along its axes, in mm (for a picture: relative).
        start: First voxel of the image shown, along each axis.
        step: Number of image voxels per voxel of ``labels``, along each axis.
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
        """The stack in the format of the report's script; ASCII without ``<``, ``>`` and ``&``."""
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
    """Pack a case into a limited number of bytes of JSON.

    An image that is too large is first cropped around its labels; then the axis with the finest voxels is coarsened
    repeatedly. A coarse voxel has the mean of the image, and every class that any of its voxels has, so no object is
    lost.

    Args:
        image: [H, W, D] intensities.
        masks: [K, H, W, D] prediction, thresholded at 0.5.
        truth: [K, H, W, D] ground truth, likewise.
        zooms: Voxel size along H, W, D.
        slice_axis: RAS axis along which slices were extracted; None for pictures.
        most_bytes: Maximum size of the result.

    Returns:
        The stack; None if the limit is too small to show anything.
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
        fitting = stack if fits else None  # one finer attempt if there is room
        most_voxels = min(MOST_VOXELS, stack.labels.size * _MARGIN * most_bytes / size)
        if not fits:
            most_voxels = min(most_voxels, stack.labels.size * _MARGIN)
    return fitting


def coarsen(shape: Sequence[int], zooms: Sequence[float], most: float) -> tuple[int, ...]:
    """Number of voxels to merge along each axis, finest axis first, until at most ``most`` voxels are left."""
    step = [1] * len(shape)
    while prod(-(-length // n) for length, n in zip(shape, step, strict=True)) > most:
        sizes = [
            zoom * n if n < length else np.inf for zoom, n, length in zip(zooms, step, shape, strict=True)
        ]
        step = [n + (size < min(sizes) * 1.01) for n, size in zip(step, sizes, strict=True)]
    return tuple(step)


@dataclass(frozen=True, eq=False)
class _Case:
    """Arguments of ``stack_slices``, and the intensities shown as black and as white."""

    image: np.ndarray
    masks: np.ndarray
    truth: np.ndarray
    zooms: Sequence[float]
    slice_axis: int | None
    shown: tuple[float, float]

    @cached_property
    def marked(self) -> np.ndarray:
        """[H, W, D] True where any class is present."""
        marked = np.zeros(self.image.shape, bool)
        for mask in (*self.masks, *self.truth):
            marked |= mask >= 0.5
        return marked

    def stack(self, box: Sequence[tuple[int, int]], step: Sequence[int]) -> SliceStack:
        """The part ``box``, coarsened by ``step``."""
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
    """[H, W, D] means of blocks of voxels; blocks at the end may be smaller."""
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
    """Reduce every n voxels along an axis: first voxels of all blocks, then second ones; faster than ``reduceat``."""
    before = (slice(None),) * axis
    joined = array[(*before, slice(0, None, n))].copy()
    for offset in range(1, min(n, array.shape[axis])):
        part = array[(*before, slice(offset, None, n))]
        place = joined[(*before, slice(part.shape[axis]))]
        join(place, part, out=place)
    return joined


def _join(flags: Sequence[np.ndarray], classes: int) -> tuple[np.ndarray, list[tuple[list[int], list[int]]]]:
    """Number the combinations of classes; return the numbers and the combinations."""
    marked = np.flatnonzero(np.any(flags, axis=0))
    members = [flag.ravel()[marked] for flag in flags]
    keys = np.zeros(marked.size, np.int64)
    for k, member in enumerate(members):
        keys = 2 * keys + member
        if k % _BITS == _BITS - 1:  # renumber, which frees bits
            keys = np.unique(keys, return_inverse=True)[1].ravel()
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    labels = np.zeros(flags[0].shape, np.uint16)
    labels.ravel()[marked] = numbers + 1
    found = [[k for k, member in enumerate(members) if member[place]] for place in first]
    sets = [([k for k in one if k < classes], [k - classes for k in one if k >= classes]) for one in found]
    return labels, [([], []), *sets]


def _sprite(slices: np.ndarray) -> tuple[np.ndarray, int]:
    """Tile slices [n, rows, columns] into a roughly square picture; also return the number per row."""
    n, rows, columns = slices.shape
    tiles = min(n, ceil(sqrt(n * rows / columns)))
    filled = np.concatenate([slices, np.zeros((-n % tiles, rows, columns), slices.dtype)])
    return filled.reshape(-1, tiles, rows, columns).swapaxes(1, 2).reshape(-1, tiles * columns), tiles
