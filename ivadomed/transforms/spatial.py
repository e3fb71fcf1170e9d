"""Transforms that move voxels: resampling, random affine and elastic deformation, random mirroring."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from ivadomed.transforms.arguments import interval, number, numbers
from ivadomed.transforms.base import STEPS_KEY, ImedTransform, Step, identity_step
from ivadomed.transforms.resampling import resize, smooth
from ivadomed.transforms.warp import FlipStep, WarpStep

logger = logging.getLogger(__name__)


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


class RandomAffine(ImedTransform):
    """Rotate, scale and translate by random amounts, on the voxel grid, about the centre shape / 2.

    An output voxel o reads ``S^-1 R (o - c) + c + t`` with linear interpolation (order 0: nearest); points
    outside give zero.
    In 3D the rotation is in one plane of axes, drawn at random; translations are whole voxels.

    Args:
        degrees: Largest rotation in degrees, or [smallest, largest].
        translate: Largest displacement per axis as a fraction of its length, between 0 and 1.
        scale: s per axis: the factor is drawn from [1 - s, 1 + s]. Two values [a, b] with b > 1 are the
            range of factors that configurations before 2.0 wrote.
    """

    def __init__(
        self,
        degrees: float | Sequence[float] = 0,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        self.degrees = interval("RandomAffine", "degrees", degrees, symmetric=True)
        self.translate = numbers("RandomAffine", "translate", translate or (), 0, 1)
        if scale is not None and len(scale) == 2 and scale[0] <= 1 < scale[1]:
            spread = max(1 - scale[0], scale[1] - 1)
            logger.warning(
                "RandomAffine.scale %s is a range of factors; read as +-%g on every axis", scale, spread
            )
            scale = (spread,) * 3
        self.scale = numbers("RandomAffine", "scale", scale or (), 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw angle, plane, scale and displacement."""
        n = len(shape)
        angle = math.radians(rng.uniform(*self.degrees))
        # A rotation out of the plane of a single slice would leave it.
        planes = [p for p in combinations(range(n), 2) if n == 2 or all(shape[a] > 1 for a in p)] or [(0, 1)]
        axes = planes[int(rng.integers(len(planes)))] if len(planes) > 1 else planes[0]
        scale = [rng.uniform(1 - s, 1 + s) for s in self.scale[:n]]
        shift = [
            float(round(rng.uniform(-t * m, t * m))) for t, m in zip(self.translate, shape, strict=False)
        ]
        return affine_step(shape, zooms, angle, axes, scale, shift)

    def recall(self, shape: tuple[int, ...], zooms: tuple[float, ...], metadata: Any) -> Step | None:
        """Take the recorded step, or the numbers under ``rotation``, ``scale`` and ``translation``."""
        step = super().recall(shape, zooms, metadata)
        if step is not None or "rotation" not in metadata:
            return step
        angle, axes = metadata["rotation"]
        scale = metadata.get("scale", ())
        shift = metadata.get("translation", ())
        return affine_step(shape, zooms, angle, axes, scale, shift)

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Undo in the two steps of 2.9.10: rotation and scale, then the translation by whole voxels.

        Voxels that the translation alone moved out of the field of view come back as zero;
        `WarpStep.invert`, which predictions go through, restores all that rotation brought back in.
        """
        out, metadata = super().undo_transform(sample, metadata)
        record = metadata[0] if isinstance(metadata, (list, tuple)) else metadata
        shift = record[STEPS_KEY]["RandomAffine"].drawn.get("translation", ())
        arrays = [out] if hasattr(out, "shape") else [a for a in out if a is not None]
        for array in arrays:  # new arrays, made by the inversion above
            _clear_shifted(array, shift)
        return out, metadata


class ElasticTransform(ImedTransform):
    """Deform by a smooth random displacement field.

    Uniform noise in [-1, 1] per voxel and axis, smoothed by a Gaussian and multiplied by alpha: Simard et
    al., "Best practices for convolutional neural networks applied to visual document analysis", ICDAR 2003.
    The inverse is iterated, see `warp.invert_field`.

    Args:
        alpha_range: [smallest, largest] factor of the field, voxels.
        sigma_range: [smallest, largest] standard deviation of the Gaussian, voxels.
        p: Probability that the transform is applied.
    """

    def __init__(self, alpha_range: Sequence[float], sigma_range: Sequence[float], p: float = 0.1) -> None:
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
        n = len(shape)
        field = np.zeros((n, *shape), np.float32)
        for k in range(n):
            if shape[k] > 1:  # nothing moves out of the plane of a single slice
                rng.random(out=field[k], dtype=np.float32)
                field[k] = 2 * field[k] - 1
        if sigma > 0:
            for axis in range(n):
                field = smooth(field, sigma, axis + 1)
        field *= np.float32(alpha)
        return WarpStep(
            shape_in=tuple(shape),
            shape_out=tuple(shape),
            zooms_in=tuple(zooms),
            zooms_out=tuple(zooms),
            drawn={"elastic": [float(alpha), float(sigma)]},
            matrix=np.eye(n),
            offset=np.zeros(n),
            field=field,
        )


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
        flips = [bool(v) for v in rng.integers(0, 2, len(shape))]
        if not any(flips):
            return identity_step(shape, zooms)
        return FlipStep(
            shape_in=tuple(shape),
            shape_out=tuple(shape),
            zooms_in=tuple(zooms),
            zooms_out=tuple(zooms),
            drawn={"reverse": flips},
            axes=tuple(k for k, flip in enumerate(flips) if flip),
        )


def affine_step(
    shape: Sequence[int],
    zooms: Sequence[float],
    angle: float,
    axes: Sequence[int] = (0, 1),
    scale: Sequence[float] = (),
    translation: Sequence[float] = (),
) -> Step:
    """Build the step of a rotation, scaling and translation.

    Args:
        shape: Spatial shape.
        zooms: Voxel size, carried through.
        angle: Radians, in the plane of `axes`, on the voxel grid.
        axes: Two different axes.
        scale: Factor per axis; 1 for axes not given.
        translation: Voxels per axis; 0 for axes not given.
    """
    n = len(shape)
    factors, shift = np.ones(n), np.zeros(n)
    factors[: len(scale)] = scale[:n]
    shift[: len(translation)] = translation[:n]
    a, b = sorted(axes)
    # Right-handed rotations about the third axis: (0, 2) turns the other way round than (0, 1) and (1, 2).
    sine = math.sin(angle) * (-1 if (a, b) == (0, 2) else 1)
    rotation = np.eye(n)
    rotation[a, a] = rotation[b, b] = math.cos(angle)
    rotation[a, b], rotation[b, a] = sine, -sine
    matrix = rotation / factors[:, None]
    centre = np.asarray(shape) / 2
    step = WarpStep(
        shape_in=tuple(shape),
        shape_out=tuple(shape),
        zooms_in=tuple(zooms),
        zooms_out=tuple(zooms),
        drawn={"rotation": [angle, [a, b]], "scale": factors.tolist(), "translation": shift.tolist()},
        matrix=matrix,
        offset=centre + shift - matrix @ centre,
    )
    return identity_step(shape, zooms) if step.is_identity else step


def _clear_shifted(array: Any, shift: Sequence[float]) -> None:
    """Zero the voxels o of `array` for which ``o - shift`` lies outside it."""
    for axis, s in enumerate(shift):
        index: list[slice] = [slice(None)] * array.ndim
        lead = array.ndim - len(shift)
        if s > 0:
            index[lead + axis] = slice(0, int(s))
        elif s < 0:
            index[lead + axis] = slice(array.shape[lead + axis] + int(s), None)
        else:
            continue
        array[tuple(index)] = 0
