"""Windows on a volume and the canvas that puts their predictions together again.

A 2D slice, a 2D patch and a 3D patch are all windows, so one engine serves them.
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
    """Many windows as one array of numbers.

    Looking at a Python object writes its reference count, and so copies its page into every worker process that looks;
    an array of numbers stays shared.

    Args:
        windows: What to hold, in order.
    """

    def __init__(self, windows: Iterable[Window]) -> None:
        rows = [(window.case, *window.start, *window.size) for window in windows]
        self._rows = np.array(rows, np.int32).reshape(-1, 7)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> Window:
        case, h, w, d, height, width, depth = self._rows[place].tolist()
        return Window(case, (h, w, d), (height, width, depth))


def starts(extent: int, length: int, stride: int) -> list[int]:
    """First voxels of windows that cover an axis; the last one is moved back to end with the axis."""
    firsts = list(range(0, extent - length + 1, stride))
    if firsts[-1] + length < extent:
        firsts.append(extent - length)
    return firsts


def tile(shape: Sequence[int], length: Sequence[int], stride: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Starts of windows of ``length`` every ``stride`` voxels that cover ``shape``, first axis slowest.

    Raises:
        DataError: The image is smaller than a window.
    """
    if any(n < size for n, size in zip(shape, length, strict=True)):
        raise DataError(
            f"a patch of {_size(length)} voxels does not fit an image of {_size(shape)} voxels after "
            "preprocessing: reduce the patch length or pad the image with CenterCrop"
        )
    return product(*map(starts, shape, length, stride))


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


class Canvas:
    """Weighted mean of the window predictions of one case, whatever the order in which they arrive.

    Where no window lies (slices that a filter left out) the mean is 0.

    Args:
        shape: [K, H, W, D], classes and preprocessed volume.
        n_windows: Number of windows that complete it.
    """

    def __init__(self, shape: Sequence[int], n_windows: int) -> None:
        self._sum = np.zeros(shape, np.float32)
        self._weight = np.zeros(shape[1:], np.float32)
        self._missing = n_windows

    @property
    def complete(self) -> bool:
        """Whether all windows have arrived."""
        return self._missing == 0

    def add(self, window: Window, prediction: np.ndarray, weight: np.ndarray | float = 1.0) -> None:
        """Add one prediction.

        Args:
            window: Where it belongs.
            prediction: [K, h, w, d], of the window's size.
            weight: Scalar or [h, w, d], the same for all classes.
        """
        self._sum[(slice(None), *window.slices)] += prediction * weight
        self._weight[window.slices] += weight
        self._missing -= 1

    def mean(self) -> np.ndarray:
        """[K, H, W, D] float32."""
        return self._sum / np.where(self._weight > 0, self._weight, 1.0)
