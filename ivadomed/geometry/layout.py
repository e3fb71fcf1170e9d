"""Order of the axes in memory.

NIfTI files store voxels with the first axis fastest, networks read them with the last axis fastest, and 2D networks
read slices. To bring a volume of 512x512x300 voxels from one order to another, NumPy goes through memory in strides of
a slice, which takes ten times as long as a plain copy; in small blocks it takes as long.
"""

from __future__ import annotations

import numpy as np

_BLOCK = 8
"""Entries along the fastest axis of the target that are copied at a time."""

_WORTHWHILE = 32
"""Least entries along the fastest axis of the source: below, the blocks are too small."""


def copy_voxels(target: np.ndarray, source: np.ndarray) -> None:
    """Copy an array into another one of the same shape, whatever the order of their axes in memory."""
    if target.ndim > 1:
        to, of = _fastest(target), _fastest(source)
        if to != of and source.shape[of] >= _WORTHWHILE and target.shape[to] > _BLOCK:
            _copy_blocks(target, source, to, of)
            return
    target[...] = source


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array with its last axis fastest in memory; itself if it already is."""
    if array.flags.c_contiguous:
        return array
    result = np.empty(array.shape, array.dtype)
    copy_voxels(result, array)
    return result


def empty_like(array: np.ndarray, count: int) -> np.ndarray:
    """Room for several float32 arrays [count, *array.shape], each with the order of axes of an array."""
    order = sorted(range(array.ndim), key=lambda axis: (-abs(array.strides[axis]), axis))
    room = np.empty((count, *(array.shape[axis] for axis in order)), np.float32)
    return room.transpose(0, *(1 + order.index(axis) for axis in range(array.ndim)))


def _fastest(array: np.ndarray) -> int:
    """Axis of the shortest stride; of several, the last."""
    axes = [axis for axis in range(array.ndim) if array.shape[axis] > 1 and array.strides[axis]]
    return min(axes, key=lambda axis: (abs(array.strides[axis]), -axis), default=array.ndim - 1)


def _copy_blocks(target: np.ndarray, source: np.ndarray, to: int, of: int) -> None:
    order = [*(axis for axis in range(target.ndim) if axis not in (to, of)), of, to]
    into, out = target.transpose(order), source.transpose(order)
    for place in np.ndindex(into.shape[:-2]):
        plane, stored = into[place], out[place]
        for first in range(0, plane.shape[1], _BLOCK):
            plane[:, first : first + _BLOCK] = stored[:, first : first + _BLOCK]
