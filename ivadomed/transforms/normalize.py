"""Transforms that bring the intensities of every sample to one range."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import numpy as np

from ivadomed.transforms import intensity_maths as maths
from ivadomed.transforms.arguments import flag, number
from ivadomed.transforms.base import ImedTransform, Step, intensity_step


class NormalizeInstance(ImedTransform):
    """Bring every channel of a sample to mean 0 and standard deviation 1; a constant one to 0.

    Args:
        foreground: Take mean and standard deviation over the foreground alone, the voxels above the mean of the
            channel, so that they do not depend on how much background is in view. All voxels are normalized with
            them. Where the foreground has one value only, it is as without.
    """

    geometric: ClassVar[bool] = False
    keeps_type: ClassVar[bool] = False

    def __init__(self, foreground: bool = False) -> None:
        self.foreground = flag("NormalizeInstance", "foreground", foreground)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Plan the normalization; nothing is drawn."""
        return intensity_step(
            shape, zooms, maths.normalize_foreground if self.foreground else maths.normalize
        )


class NormalizePercentile(ImedTransform):
    """Bring two percentiles of every channel of a sample to 0 and 1 and clip what lies beyond; a constant one to 0.

    Where the two percentiles are one value, minimum and maximum stand in for them.

    Args:
        min_percentile: Becomes 0, between 0 and 100.
        max_percentile: Becomes 1, between 0 and 100.
        foreground: Take the percentiles over the voxels above the mean of the channel, as in `NormalizeInstance`.
    """

    geometric: ClassVar[bool] = False
    keeps_type: ClassVar[bool] = False
    default_kinds: ClassVar[frozenset[str]] = frozenset({"im"})

    def __init__(
        self, min_percentile: float = 0.5, max_percentile: float = 99.5, foreground: bool = False
    ) -> None:
        self.min_percentile = number("NormalizePercentile", "min_percentile", min_percentile, 0, 100)
        self.max_percentile = number(
            "NormalizePercentile", "max_percentile", max_percentile, self.min_percentile, 100
        )
        self.foreground = flag("NormalizePercentile", "foreground", foreground)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Plan the normalization; nothing is drawn."""
        change = partial(
            maths.scale_percentiles,
            low=self.min_percentile,
            high=self.max_percentile,
            foreground_only=self.foreground,
        )
        return intensity_step(shape, zooms, change)
