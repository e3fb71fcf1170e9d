"""Random rotation, scaling and translation."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ivadomed.transforms.arguments import flag, interval, numbers
from ivadomed.transforms.base import STEPS_KEY, ImedTransform, Step, identity_step
from ivadomed.transforms.warp import WarpStep

logger = logging.getLogger(__name__)


class RandomAffine(ImedTransform):
    """Rotate, scale and translate by random amounts.

    An output voxel o reads ``S^-1 R (o - c) + c + t`` with linear interpolation (order 0: nearest); points
    outside give zero. In 3D the rotation is in one plane of axes, drawn at random. As in ivadomed 2.9.10 all
    of that happens on the voxel grid: an angle is one of the space only where voxels are square, c is
    shape / 2, and translations are whole voxels. With `physical` it happens in mm, c is the centre of the
    image, and translations are of any length.

    Args:
        degrees: Largest rotation in degrees, or [smallest, largest].
        translate: Largest displacement per axis: a fraction (0 to 1) of its length, in mm with `physical`.
        scale: s per axis: the factor is drawn from [1 - s, 1 + s]. Two values [a, b] with b > 1 are the
            range of factors that configurations before 2.0 wrote.
        physical: Measure in mm instead of on the voxel grid.
    """

    def __init__(
        self,
        degrees: float | Sequence[float] = 0,
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        physical: bool = False,
    ) -> None:
        self.physical = flag("RandomAffine", "physical", physical)
        self.degrees = interval("RandomAffine", "degrees", degrees, symmetric=True)
        self.translate = numbers("RandomAffine", "translate", translate or (), 0, np.inf if physical else 1)
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
        sizes, shifts = rng.uniform(-1, 1, (2, n)).tolist()
        scale = [1 + s * u for s, u in zip(self.scale, sizes, strict=False)]
        if self.physical:
            shift = [t * u / z for t, u, z in zip(self.translate, shifts, zooms, strict=False)]
        else:
            shift = [float(round(t * u * m)) for t, u, m in zip(self.translate, shifts, shape, strict=False)]
        return affine_step(shape, zooms, angle, axes, scale, shift, self.physical)

    def recall(self, shape: tuple[int, ...], zooms: tuple[float, ...], metadata: Any) -> Step | None:
        """Take the recorded step, or the numbers under ``rotation``, ``scale`` and ``translation``."""
        step = super().recall(shape, zooms, metadata)
        if step is not None or "rotation" not in metadata:
            return step
        angle, axes = metadata["rotation"]
        scale = metadata.get("scale", ())
        shift = metadata.get("translation", ())
        return affine_step(shape, zooms, angle, axes, scale, shift, self.physical)

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Undo in the two steps of 2.9.10: rotation and scale, then the translation by whole voxels (not in mm).

        Voxels that the translation alone moved out of the field of view come back as zero;
        `WarpStep.invert`, which predictions go through, restores all that rotation brought back in.
        """
        out, metadata = super().undo_transform(sample, metadata)
        if self.physical:
            return out, metadata
        record = metadata[0] if isinstance(metadata, (list, tuple)) else metadata
        shift = record[STEPS_KEY]["RandomAffine"].drawn.get("translation", ())
        arrays = [out] if hasattr(out, "shape") else [a for a in out if a is not None]
        for array in arrays:  # new arrays, made by the inversion above
            _clear_shifted(array, shift)
        return out, metadata


def affine_step(
    shape: Sequence[int],
    zooms: Sequence[float],
    angle: float,
    axes: Sequence[int] = (0, 1),
    scale: Sequence[float] = (),
    translation: Sequence[float] = (),
    physical: bool = False,
) -> Step:
    """Build the step of a rotation, scaling and translation; an axis of one voxel is not scaled or shifted.

    Args:
        shape: Spatial shape.
        zooms: Voxel size, mm.
        angle: Radians, in the plane of `axes`.
        axes: Two different axes.
        scale: Factor per axis; 1 for axes not given.
        translation: Voxels per axis; 0 for axes not given.
        physical: Rotate in mm about the centre of the image, not on the voxel grid about shape / 2.
    """
    n = len(shape)
    factors = [s if m > 1 else 1.0 for s, m in zip((*scale, *(1.0,) * n), shape, strict=False)]
    shift = [float(t) if m > 1 else 0.0 for t, m in zip((*translation, *(0.0,) * n), shape, strict=False)]
    if angle == 0 and not any(shift) and all(f == 1 for f in factors):
        return identity_step(shape, zooms)
    a, b = sorted(axes)
    # Right-handed rotations about the third axis: (0, 2) turns the other way round than (0, 1) and (1, 2).
    cosine, sine = math.cos(angle), math.sin(angle) * (-1 if (a, b) == (0, 2) else 1)
    # Between grids of mm and of voxels: Z^-1 R Z.
    stretch = zooms[b] / zooms[a] if physical else 1.0
    matrix = [[1 / factors[i] if i == j else 0.0 for j in range(n)] for i in range(n)]
    matrix[a][a], matrix[a][b] = cosine / factors[a], sine * stretch / factors[a]
    matrix[b][a], matrix[b][b] = -sine / stretch / factors[b], cosine / factors[b]
    centre = [(m - 1) / 2 if physical else m / 2 for m in shape]
    offset = [
        c + t - sum(v * w for v, w in zip(row, centre, strict=True))
        for c, t, row in zip(centre, shift, matrix, strict=True)
    ]
    return WarpStep(
        shape_in=tuple(shape),
        shape_out=tuple(shape),
        zooms_in=tuple(zooms),
        zooms_out=tuple(zooms),
        drawn={"rotation": [angle, [a, b]], "scale": factors, "translation": shift},
        matrix=np.array(matrix),
        offset=np.array(offset),
    )


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
