"""Windows on a volume, and their weights where they overlap.

A 2D slice, a 2D patch and a 3D patch are all windows, so a single engine handles them.
"""

from __future__ import annotations

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
