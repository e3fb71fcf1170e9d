"""Transforms that move voxels without turning them: resampling to a voxel size, random mirroring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivadomed.errors import ConfigError
from ivadomed.transforms.arguments import axes_of, number, numbers
from ivadomed.transforms.base import ImedTransform, Step, identity_step
from ivadomed.transforms.resampling import resize
from ivadomed.transforms.warp import FlipStep


@dataclass(frozen=True, eq=False, kw_only=True)
class ResampleStep(Step):
    """Resize between two grids, see `resampling.resize`."""

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resize to `shape_out` with this spline order."""
        return resize(x, self.shape_out, order)

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resize to `shape_in` with this spline order."""
        return resize(x, self.shape_in, order)


class Resample(ImedTransform):
    """Resample to a voxel size.

    Spline order 2 for images, 1 for labels; the first and last sample of an axis keep their place, and the
    shape is rounded to whole voxels, as in ivadomed 2.9.10. No low-pass filter before downsampling.

    Args:
        hspace: Voxel size along the first axis, mm.
        wspace: Along the second axis, mm.
        dspace: Along the third axis, mm; not used in 2D.
    """

    fixed: ClassVar[bool] = True

    def __init__(self, hspace: float, wspace: float, dspace: float = 1.0) -> None:
        spaces = {"hspace": hspace, "wspace": wspace, "dspace": dspace}
        self.hspace, self.wspace, self.dspace = (number("Resample", k, v, 1e-9) for k, v in spaces.items())

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Round the resampled extent of every axis to whole voxels (at least one)."""
        target = (self.hspace, self.wspace, self.dspace)[: len(shape)]
        # The order of the divisions decides how halves are rounded; this one is that of 2.9.10.
        out = tuple(max(round(n * (z / t)), 1) for n, z, t in zip(shape, zooms, target, strict=True))
        return ResampleStep(
            shape_in=tuple(shape),
            shape_out=out,
            zooms_in=tuple(zooms),
            zooms_out=target,
            drawn={"preresample_shape": tuple(shape)},
        )


class RandomMirror(ImedTransform):
    """Mirror each of some axes with its own probability.

    Args:
        p: Probability of each axis, or one per entry of `axes`.
        axes: Axes that may be mirrored, 0 height, 1 width, 2 depth; None for all.
    """

    def __init__(self, p: float | Sequence[float] = 0.5, axes: Sequence[int] | None = None) -> None:
        self.axes = axes_of("RandomMirror", axes)
        self.p: float | tuple[float, ...]
        if isinstance(p, (list, tuple)):
            self.p = numbers("RandomMirror", "p", p, 0, 1)
            if len(self.p) != len(self.axes or ()):
                raise ConfigError(
                    f"transformation.RandomMirror.p: {p!r}; one number, or one for each entry of axes expected"
                )
        else:
            self.p = number("RandomMirror", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw which axes to mirror; an axis that the sample does not have is passed over."""
        axes = range(len(shape)) if self.axes is None else self.axes
        chances = (self.p,) * len(axes) if isinstance(self.p, float) else self.p
        drawn = [rng.random() < chance for chance in chances]
        flips = [False] * len(shape)
        for axis, mirrored in zip(axes, drawn, strict=True):
            if axis < len(shape):
                flips[axis] = mirrored
        return flip_step(shape, zooms, flips)


class RandomReverse(ImedTransform):
    """Mirror every axis with probability 1/2."""

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw which axes to mirror."""
        return flip_step(shape, zooms, [bool(v) for v in rng.integers(0, 2, len(shape))])


def flip_step(shape: Sequence[int], zooms: Sequence[float], flips: Sequence[bool]) -> Step:
    """Build the step that mirrors the axes whose entry in `flips` is true."""
    if not any(flips):
        return identity_step(shape, zooms)
    return FlipStep(
        shape_in=tuple(shape),
        shape_out=tuple(shape),
        zooms_in=tuple(zooms),
        zooms_out=tuple(zooms),
        drawn={"reverse": list(flips)},
        axes=tuple(k for k, flip in enumerate(flips) if flip),
    )
