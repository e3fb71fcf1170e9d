"""The canvas on which the predicted windows of a case become a volume again."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from ivadomed.geometry.windows import Window, profile
from ivadomed.runtime.device import has_room

CPU = torch.device("cpu")


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
        device: torch.device = CPU,
        in_one: bool = False,
    ) -> None:
        size = windows[0].size
        self._missing = len(windows)
        firsts = [sorted({window.start[axis] for window in windows}) for axis in range(3)]
        assert math.prod(map(len, firsts)) == len(windows), "windows are no grid"
        self._single = all(_are_apart(starts, n) for starts, n in zip(firsts, size, strict=True))
        self._axis = _slowest(windows)
        counts = (shape[0],) if in_one else (1,) * shape[0]
        self._means = [_zeros((count, *shape[1:]), 1 + self._axis) for count in counts]
        layer = 4 * math.prod(shape) // shape[1 + self._axis] * size[self._axis]
        self.device = device if not self._single and has_room(device, layer) else CPU
        self._bands: list[_Band] = []
        if self._single:
            return
        lines = [profile(n, blend) for n in size]
        totals = [_total(n, starts, line) for n, starts, line in zip(shape[1:], firsts, lines, strict=True)]
        self._totals = [torch.from_numpy(np.where(total > 0, total, 1)).to(self.device) for total in totals]
        self._weights = None if blend == "mean" else _outer(lines).to(self.device)
        self._bands = _bands(firsts, size, self._axis)

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
            for mean, part in zip(self._means, self._by_array(prediction), strict=True):
                mean[(slice(None), *window.slices)] = part.numpy()
            return
        weighted = self._by_array(prediction if self._weights is None else prediction * self._weights)
        first, n = window.start[self._axis], window.size[self._axis]
        here = [slice(None), *window.slices]
        here[1 + self._axis] = slice(None)
        one, end = (
            bisect_left(self._bands, place, key=lambda band: band.start) for place in (first, first + n)
        )
        for band in self._bands[one:end]:
            if not band.sums:
                band.sums = [self._room(mean, band) for mean in self._means]
            for total, part in zip(band.sums, weighted, strict=True):
                total[tuple(here)] += part.narrow(1 + self._axis, band.start - first, band.stop - band.start)
            band.missing -= 1
            if band.missing == 0:
                self._finish(band)

    def pop(self) -> np.ndarray:
        """The mean [K, H, W, D] float32 of a canvas that is complete."""
        [whole], self._means = self._means, []
        return whole

    def pop_classes(self) -> Iterator[np.ndarray]:
        """Yield the mean [H, W, D] float32 of each class and release it, to hold large volumes only once."""
        while self._means:
            yield from self._means.pop(0)

    def _by_array(self, prediction: torch.Tensor) -> Sequence[torch.Tensor]:
        return prediction.split([len(mean) for mean in self._means])

    def _room(self, mean: np.ndarray, band: _Band) -> torch.Tensor:
        """Zeros [k, ...] of the shape of a band: on the CPU, those of the volume itself."""
        part = mean[self._place(band)]
        return torch.from_numpy(part) if self._is_in_place else torch.zeros(part.shape, device=self.device)

    @property
    def _is_in_place(self) -> bool:
        return self.device.type == "cpu"

    def _place(self, band: _Band) -> tuple[slice, ...]:
        place = [slice(None)] * 4
        place[1 + self._axis] = slice(band.start, band.stop)
        return tuple(place)

    def _finish(self, band: _Band) -> None:
        """Divide the sums of a band by those of the weights, and move them to the volume."""
        place = self._place(band)
        height, width, depth = (total[part] for total, part in zip(self._totals, place[1:], strict=True))
        for mean, sums in zip(self._means, band.sums, strict=True):
            sums /= height[:, None, None]
            sums /= width[:, None] * depth
            if not self._is_in_place:
                mean[place] = sums.cpu().numpy()
        band.sums = []


@dataclass(eq=False)
class _Band:
    """A part of the volume between two borders of windows.

    Args:
        start: First voxel along the axis of the bands.
        stop: The voxel after its last one.
        missing: Windows still to be added.
        sums: Weighted sums of the windows so far, [k, ...] for each array of the volume; none before the first window
            and after the last one.
    """

    start: int
    stop: int
    missing: int
    sums: list[torch.Tensor] = field(default_factory=list)


def _are_apart(starts: Sequence[int], length: int) -> bool:
    """True if windows with these first voxels do not overlap along their axis."""
    return all(start + length <= following for start, following in pairwise(starts))


def _slowest(windows: Sequence[Window]) -> int:
    """Axis along which windows advance last: depth for slices, else height."""
    depths = [window.start[2] for window in windows]
    return 2 if depths[0] < depths[-1] and depths == sorted(depths) else 0


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


def _outer(lines: Sequence[np.ndarray]) -> torch.Tensor:
    height, width, depth = map(torch.from_numpy, lines)
    return height[:, None, None] * (width[:, None] * depth)
