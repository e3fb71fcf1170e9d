"""The canvas on which the predicted windows of a case become a volume again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from ivadomed.geometry.windows import Window, profile
from ivadomed.runtime.device import has_room


class Canvas:
    """Weighted mean of the window predictions of one case, independent of their order.

    Regions without windows (slices excluded by a filter) have a mean of 0. The windows are all combinations of their
    starts along the axes, so the weights of a volume are a product of three vectors and take no memory.

    Predictions are added up on the device of the network, band by band along the axis on which the windows advance
    last: a band lies between two borders of windows, and is moved to the volume as soon as its last window was added.
    With windows in order, the device holds little more than one layer of windows.

    Args:
        shape: [K, H, W, D], classes and preprocessed volume.
        windows: All windows of the case, of one size.
        blend: One of `BLENDS`.
        device: Device on which predictions are added up; the CPU instead if a layer of windows does not fit there.
        in_one: Keep all classes in one array, for ``pop``.
    """

    def __init__(
        self,
        shape: Sequence[int],
        windows: Sequence[Window],
        blend: str = "mean",
        device: torch.device | None = None,
        in_one: bool = False,
    ) -> None:
        size = windows[0].size
        self._missing = len(windows)
        firsts = [sorted({window.start[axis] for window in windows}) for axis in range(3)]
        assert math.prod(map(len, firsts)) == len(windows), "windows are no grid"
        lines = [profile(n, blend) for n in size]
        totals = [_total(n, starts, line) for n, starts, line in zip(shape[1:], firsts, lines, strict=True)]
        self._single = all((total <= 1).all() for total in totals) and blend == "mean"
        self._axis = 0 if size[2] > 1 else 2
        counts = (shape[0],) if in_one else (1,) * shape[0]
        self._arrays = [_zeros((count, *shape[1:]), 1 + self._axis) for count in counts]
        self._means = [mean for array in self._arrays for mean in array]
        layer = 4 * math.prod(shape) // shape[1 + self._axis] * size[self._axis]
        fits = device is not None and not self._single and has_room(device, layer)
        self.device = device if device is not None and fits else torch.device("cpu")
        self._weights = _outer([torch.from_numpy(line) for line in lines]).to(self.device)
        self._totals = [torch.from_numpy(np.where(total > 0, total, 1)).to(self.device) for total in totals]
        self._bands = [] if self._single else _bands(firsts, size, self._axis)

    @property
    def complete(self) -> bool:
        """True once all windows have been added."""
        return self._missing == 0

    def add(self, window: Window, prediction: torch.Tensor) -> None:
        """Add one prediction.

        Args:
            window: Window of the prediction.
            prediction: [K, h, w, d] float32, of the window's size.
        """
        prediction = prediction.to(self.device)
        self._missing -= 1
        if self._single:
            for mean, part in zip(self._means, prediction.numpy(), strict=True):
                mean[window.slices] = part
            return
        weighted = prediction * self._weights
        first, n = window.start[self._axis], window.size[self._axis]
        for band in self._bands:
            if band.start >= first + n or band.stop <= first:
                continue
            if band.sums is None:
                band.sums = torch.zeros(self._shape_of(band), device=self.device)
            here = [slice(None), *window.slices]
            here[1 + self._axis] = slice(None)
            part = weighted.narrow(1 + self._axis, band.start - first, band.stop - band.start)
            band.sums[tuple(here)] += part
            band.missing -= 1
            if band.missing == 0:
                self._finish(band)

    def pop(self) -> np.ndarray:
        """The mean [K, H, W, D] float32 of a canvas that is complete."""
        [whole], self._arrays, self._means = self._arrays, [], []
        return whole

    def pop_classes(self) -> Iterator[np.ndarray]:
        """Yield the mean [H, W, D] float32 of each class and release it, to hold large volumes only once."""
        self._arrays = []
        while self._means:
            yield self._means.pop(0)

    def _shape_of(self, band: _Band) -> list[int]:
        shape = [len(self._means), *self._means[0].shape]
        shape[1 + self._axis] = band.stop - band.start
        return shape

    def _finish(self, band: _Band) -> None:
        """Move the mean of a band to the volume."""
        here = [slice(None)] * 3
        here[self._axis] = slice(band.start, band.stop)
        height, width, depth = (total[part] for total, part in zip(self._totals, here, strict=True))
        assert band.sums is not None
        sums, band.sums = band.sums, None
        sums /= height[:, None, None]
        sums /= width[:, None] * depth
        for mean, part in zip(self._means, sums.cpu().numpy(), strict=True):
            mean[tuple(here)] = part


@dataclass(eq=False)
class _Band:
    """A part of the volume between two borders of windows.

    Args:
        start: First voxel along the axis of the bands.
        stop: The voxel after its last one.
        missing: Windows still to be added.
        sums: [K, ...] weighted sum of the windows so far; None before the first one and after the last one.
    """

    start: int
    stop: int
    missing: int
    sums: torch.Tensor | None = None


def _zeros(shape: Sequence[int], axis: int) -> np.ndarray:
    """Volumes [K, H, W, D] whose bands along an axis are pieces of memory."""
    order = [0, axis, *(other for other in (1, 2, 3) if other != axis)]
    return np.zeros([shape[number] for number in order], np.float32).transpose(np.argsort(order))


def _bands(firsts: Sequence[Sequence[int]], size: Sequence[int], axis: int) -> list[_Band]:
    """Bands along an axis, from the first voxels of the windows along each axis and their size."""
    starts, n = firsts[axis], size[axis]
    beside = math.prod(len(other) for number, other in enumerate(firsts) if number != axis)
    borders = sorted({border for first in starts for border in (first, first + n)})
    bands = []
    for start, stop in pairwise(borders):
        layers = sum(first <= start < first + n for first in starts)
        if layers:
            bands.append(_Band(start, stop, layers * beside))
    return bands


def _total(extent: int, firsts: Sequence[int], weights: np.ndarray) -> np.ndarray:
    """Sum of the weights of all windows along one axis, [extent]."""
    total = np.zeros(extent, np.float32)
    for first in firsts:
        total[first : first + len(weights)] += weights
    return total


def _outer(lines: Sequence[torch.Tensor]) -> torch.Tensor:
    height, width, depth = lines
    return height[:, None, None] * (width[:, None] * depth)
