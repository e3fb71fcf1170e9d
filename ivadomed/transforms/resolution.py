"""Simulated low resolution: what a scan with thick slices, resampled to thin ones, looks like."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np

from ivadomed.transforms.arguments import axes_of, interval, number
from ivadomed.transforms.base import ImedTransform, Step, identity_step, intensity_step
from ivadomed.transforms.resampling import apply_along_axis


class RandomLowResolution(ImedTransform):
    """Lower the resolution along one random axis, or along given ones, and come back to the old grid.

    A thick voxel has the mean of what it covers; between the centres of thick voxels it is linear. TorchIO's
    RandomAnisotropy and nnU-Net's simulation of low resolution do much the same.

    Args:
        factor_range: [smallest, largest] thickness of the thick voxels in voxels, from 1 on.
        axes: The axes that are lowered, all by one factor; None for one axis drawn at random.
        p: Probability that the transform is applied.
    """

    geometric: ClassVar[bool] = False
    default_kinds: ClassVar[frozenset[str]] = frozenset({"im"})

    def __init__(
        self, factor_range: Sequence[float] = (1.5, 4.0), axes: Sequence[int] | None = None, p: float = 0.25
    ) -> None:
        self.factor_range = interval("RandomLowResolution", "factor_range", factor_range, 1)
        self.axes = axes_of("RandomLowResolution", axes)
        self.p = number("RandomLowResolution", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to apply, the axis and the factor; an axis that the sample does not have is passed over."""
        if rng.random() >= self.p:
            return identity_step(shape, zooms)
        factor = float(rng.uniform(*self.factor_range))
        axes = (
            [int(rng.integers(len(shape)))] if self.axes is None else [a for a in self.axes if a < len(shape)]
        )
        counts = [max(round(n / factor), 1) if a in axes else n for a, n in enumerate(shape)]
        if counts == list(shape):
            return identity_step(shape, zooms)
        change = partial(lower_resolution, counts=tuple(counts))
        return intensity_step(shape, zooms, change, {"low_resolution": [factor, axes]})


def lower_resolution(x: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Bring every spatial axis to a number of thick voxels and back.

    Args:
        x: [C, *spatial].
        counts: Thick voxels per spatial axis, at most as many as there are voxels.

    Returns:
        [C, *spatial] float32
    """
    x = np.asarray(x, dtype=np.float32)
    for axis, count in enumerate(counts, start=1):
        if count < x.shape[axis]:
            x = apply_along_axis(thick_matrix(x.shape[axis], count), x, axis)
    return x


@lru_cache(maxsize=64)
def thick_matrix(n: int, count: int) -> np.ndarray:
    """Matrix [n, n] float32 that averages a line of n voxels over `count` equal parts and interpolates them."""
    edges = np.linspace(0, n, count + 1)
    voxels = np.arange(n)
    covered = np.minimum(edges[1:, None], voxels + 1) - np.maximum(edges[:-1, None], voxels)
    down = np.maximum(covered, 0) * (count / n)
    at = np.clip((voxels + 0.5) * count / n - 0.5, 0, count - 1)
    up = np.maximum(1 - np.abs(at[:, None] - np.arange(count)), 0)
    return (up @ down).astype(np.float32)
