"""Random smooth deformation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ivadomed.transforms.arguments import flag, interval, number
from ivadomed.transforms.base import ImedTransform, Step, identity_step
from ivadomed.transforms.smoothing import smooth_field
from ivadomed.transforms.warp import WarpStep


class ElasticTransform(ImedTransform):
    """Deform by a smooth random displacement field.

    Uniform noise in [-1, 1] per voxel and axis, smoothed by a Gaussian and multiplied by alpha: Simard et
    al., "Best practices for convolutional neural networks applied to visual document analysis", ICDAR 2003.
    A sigma above 2 voxels lets one number stand for several voxels, see `smoothing.CELLS`.
    The inverse is iterated, see `warp.invert_field`.

    Args:
        alpha_range: [smallest, largest] factor of the field, voxels.
        sigma_range: [smallest, largest] standard deviation of the Gaussian, voxels.
        p: Probability that the transform is applied.
        physical: `alpha_range` and `sigma_range` are in mm: the field has, in mm, the size and the smoothness
            that it would have on voxels of 1 mm.
    """

    def __init__(
        self,
        alpha_range: Sequence[float],
        sigma_range: Sequence[float],
        p: float = 0.1,
        physical: bool = False,
    ) -> None:
        self.physical = flag("ElasticTransform", "physical", physical)
        self.alpha_range = interval("ElasticTransform", "alpha_range", alpha_range)
        self.sigma_range = interval("ElasticTransform", "sigma_range", sigma_range, 0)
        self.p = number("ElasticTransform", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to deform, alpha, sigma and the field."""
        if rng.random() >= self.p:
            return identity_step(shape, zooms)
        alpha, sigma = rng.uniform(*self.alpha_range), rng.uniform(*self.sigma_range)
        if alpha == 0:
            return identity_step(shape, zooms)
        n = len(shape)
        lengths = tuple(zooms) if self.physical else (1.0,) * n
        moving = [m > 1 for m in shape]  # nothing moves, or is smoothed, out of the plane of a single slice
        sigmas = [sigma / z if moves else 0.0 for z, moves in zip(lengths, moving, strict=True)]
        # Smoothing over many small voxels averages more of them than over few large ones: the deviation of the result
        # is proportional to the root of a voxel's size, and is divided by it.
        size = math.prod(z for z, moves in zip(lengths, moving, strict=True) if moves)
        amplitudes = [alpha * moves / (z * math.sqrt(size)) for z, moves in zip(lengths, moving, strict=True)]
        return WarpStep(
            shape_in=tuple(shape),
            shape_out=tuple(shape),
            zooms_in=tuple(zooms),
            zooms_out=tuple(zooms),
            drawn={"elastic": [float(alpha), float(sigma)]},
            matrix=np.eye(n),
            offset=np.zeros(n),
            field=smooth_field(shape, sigmas, amplitudes, rng).numpy(),
        )
