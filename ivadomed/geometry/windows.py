"""Windows on a volume, and the canvas that reassembles their predictions.

A 2D slice, a 2D patch and a 3D patch are all windows, so a single engine handles them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ivadomed.errors import DataError


@dataclass(frozen=True)
class Window:
    """A box in the preprocessed volume of one case.

    Args:
        case: Index of the case.
        start: First voxel along H, W, D.
        size: Voxels along H, W, D; a slice or 2D patch has 1 along D.
    """

    case: int
    start: tuple[int, int, int]
    size: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index into an array [..., H, W, D]."""
        height, width, depth = (slice(a, a + n) for a, n in zip(self.start, self.size, strict=True))
        return height, width, depth


class Windows:
    """Many windows in a single numeric array.

    Accessing a Python object writes its reference count, and so copies its page into every worker process that
    does; a numeric array stays shared.

    Args:
        windows: Windows to store, in order.
    """

    def __init__(self, windows: Iterable[Window]) -> None:
        rows = [(window.case, *window.start, *window.size) for window in windows]
        self._rows = np.array(rows, np.int32).reshape(-1, 7)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def largest(self) -> int:
        """Voxels of the largest window."""
        return int(self._rows[:, 4:].astype(np.int64).prod(axis=1).max(initial=0))

    def __getitem__(self, index: int) -> Window:
        case, h, w, d, height, width, depth = self._rows[index].tolist()
        return Window(case, (h, w, d), (height, width, depth))


def starts(extent: int, length: int, stride: int) -> list[int]:
    """First voxels of windows that cover an axis; the last one is shifted back to end with the axis."""
    firsts = list(range(0, extent - length + 1, stride))
    if firsts[-1] + length < extent:
        firsts.append(extent - length)
    return firsts


def tile(shape: Sequence[int], length: Sequence[int], stride: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Starts of windows of ``length`` every ``stride`` voxels that cover ``shape``, first axis slowest.

    Raises:
        DataError: The image is smaller than a window.
    """
    check_fits(shape, length)
    return product(*map(starts, shape, length, stride))


PATCH_REMEDY = "reduce the patch length or pad the image with CenterCrop"


def check_fits(shape: Sequence[int], length: Sequence[int], remedy: str = PATCH_REMEDY) -> None:
    """Refuse patches that are larger than an image.

    Args:
        shape: Voxels of the image after preprocessing.
        length: Patch size along the same axes; empty for whole slices or volumes.
        remedy: Remedy for the message.

    Raises:
        DataError: A patch is larger than the image.
    """
    if any(n < size for n, size in zip(shape, length, strict=True)):
        raise DataError(
            f"a patch of {_size(length)} voxels does not fit an image of {_size(shape)} voxels after preprocessing: "
            f"{remedy}"
        )


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


BLENDS = ("mean", "gaussian")
"""Averaging of overlapping windows: uniform, or weighted towards the center of a window."""


def profile(length: int, blend: str) -> np.ndarray:
    """Weights along one axis of a window, [length] float32.

    "gaussian" has a standard deviation of one eighth of the window, as in Isensee et al., "nnU-Net", Nature Methods
    2021: near its border, a window sees less context than its neighbor.
    """
    if blend == "mean" or length == 1:
        return np.ones(length, np.float32)
    distance = (np.arange(length) - (length - 1) / 2) / (length / 8)
    return np.exp(-0.5 * distance**2).astype(np.float32)


class Canvas:
    """Weighted mean of the window predictions of one case, independent of their order.

    Regions without windows (slices excluded by a filter) have a mean of 0. The windows are all combinations of
    their starts along the axes, so the weights of a volume are a product of three vectors and take no memory.

    Args:
        shape: [K, H, W, D], classes and preprocessed volume.
        windows: All windows of the case, of one size.
        blend: One of `BLENDS`.
    """

    def __init__(self, shape: Sequence[int], windows: Sequence[Window], blend: str = "mean") -> None:
        self._sums: list[np.ndarray] = [np.zeros(shape[1:], np.float32) for _ in range(shape[0])]
        self._missing = len(windows)
        firsts = [sorted({window.start[axis] for window in windows}) for axis in range(3)]
        assert math.prod(map(len, firsts)) == len(windows), "windows are no grid"
        self._profiles = [profile(n, blend) for n in windows[0].size]
        self._totals = [
            _total(extent, starts, line)
            for extent, starts, line in zip(shape[1:], firsts, self._profiles, strict=True)
        ]
        self._single = all((total <= 1).all() for total in self._totals) and blend == "mean"

    @property
    def complete(self) -> bool:
        """True once all windows have been added."""
        return self._missing == 0

    def add(self, window: Window, prediction: np.ndarray) -> None:
        """Add one prediction.

        Args:
            window: Window of the prediction.
            prediction: [K, h, w, d], of the window's size.
        """
        if not self._single:
            prediction = prediction * _outer(self._profiles)
        for total, part in zip(self._sums, prediction, strict=True):
            total[window.slices] += part
        self._missing -= 1

    def pop_classes(self) -> Iterator[np.ndarray]:
        """Yield the mean [H, W, D] float32 of each class and release it, to hold large volumes only once."""
        height, width, depth = (np.where(total > 0, total, 1) for total in self._totals)
        while self._sums:
            total = self._sums.pop(0)
            if not self._single:
                total /= height[:, None, None]
                total /= width[:, None] * depth
            yield total


def _total(extent: int, firsts: Sequence[int], weights: np.ndarray) -> np.ndarray:
    """Sum of the weights of all windows along one axis, [extent]."""
    total = np.zeros(extent, np.float32)
    for first in firsts:
        total[first : first + len(weights)] += weights
    return total


def _outer(lines: Sequence[np.ndarray]) -> np.ndarray:
    height, width, depth = lines
    return height[:, None, None] * (width[:, None] * depth)
