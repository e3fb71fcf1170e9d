"""Random transforms that move voxels: affine maps, flips and elastic deformation."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated, Any

import numpy as np

from ivadomed.registry.types import Doc, Flag, Fraction, Len, NonNegativeReal
from ivadomed.transforms.arguments import (
    Axes,
    Factors,
    Interval,
    MaybeProbability,
    Probability,
    Symmetric,
    Widths,
    from_zero,
    symmetric,
)
from ivadomed.transforms.base import STEPS_KEY, ImedTransform, transform
from ivadomed.transforms.smoothing import smooth_field
from ivadomed.transforms.steps import Frame, IdentityStep, Step
from ivadomed.transforms.warp import FlipStep, WarpStep

logger = logging.getLogger(__name__)

PerAxis = Annotated[tuple[NonNegativeReal, ...], Len(2, 3)]


@transform
class RandomAffine(ImedTransform):
    """Random rotation, translation and scaling.

    An output voxel o reads ``S^-1 R (o - c) + c + t`` with linear interpolation (order 0: nearest); points
    outside give zero. In 3D, the rotation is in a random plane of two axes. As in ivadomed 2.9.10, all of this is
    done on the voxel grid: angles are true only for square voxels, c is shape / 2, and translations are whole
    voxels. With `physical`, it is done in mm, c is the center of the image, and translations are of any length. A
    `scale` of two values [a, b] with b > 1 is a range of factors, as written in configurations before 2.0.
    """

    degrees: Annotated[Symmetric, Doc("Largest rotation in degrees (>= 0), or [smallest, largest].", 10)] = (
        0.0
    )
    translate: Annotated[
        PerAxis | None,
        Doc(
            "Largest translation per axis, as a fraction (0 to 1) of the image's size; in mm with `physical`. "
            "null: none.",
            [0.05, 0.05],
        ),
    ] = None
    scale: Annotated[
        PerAxis | None,
        Doc("Largest relative change of size per axis, e.g. 0.1 for 0.9 to 1.1. null: none.", [0.1, 0.1]),
    ] = None
    physical: Annotated[
        Flag,
        Doc(
            "Rotate and translate in mm, about the image's center; false: on the voxel grid, where rotation "
            "of non-square voxels shears the image."
        ),
    ] = False
    scale_range: Annotated[
        Factors | None,
        Doc(
            "Range of a scale factor (> 0) common to all axes, drawn uniformly on a logarithmic scale; "
            "null: none.",
            [0.7, 1.4],
        ),
    ] = None
    p: MaybeProbability = None

    def __post_init__(self) -> None:
        """Convert a `scale` from configurations before 2.0."""
        super().__post_init__()
        if self.scale and _is_range(self.scale):
            spread = max(1 - self.scale[0], self.scale[1] - 1)
            logger.warning(
                "RandomAffine.scale %s is a range of factors; read as +-%g on every axis", self.scale, spread
            )
            self.scale = (spread,) * 3

    @staticmethod
    def problems(
        translate: Sequence[float] | None, scale: Sequence[float] | None, physical: bool, **_: Any
    ) -> list[str]:
        """Compare the arguments with each other."""
        found = []
        if not physical and translate and max(translate) > 1:
            found.append(
                f"translate: {list(translate)} has values above 1; expected fractions of the image's size"
            )
        if scale and max(scale) > 1 and not _is_range(scale):
            found.append(
                f"scale: {list(scale)} has values above 1; expected relative changes, 0.1 for 0.9 to 1.1"
            )
        return found

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw angle, plane, scale and displacement."""
        n = len(frame.shape)
        angle = math.radians(rng.uniform(*symmetric(self.degrees)))
        # A rotation out of the plane of a single slice would move voxels out of it.
        planes = [p for p in combinations(range(n), 2) if n == 2 or all(frame.shape[a] > 1 for a in p)] or [
            (0, 1)
        ]
        axes = planes[int(rng.integers(len(planes)))] if len(planes) > 1 else planes[0]
        sizes, shifts = rng.uniform(-1, 1, (2, n)).tolist()
        scale = [1 + s * u for s, u in zip(self.scale or (), sizes, strict=False)]
        if self.scale_range:
            smallest, largest = map(math.log, self.scale_range)
            together = math.exp(rng.uniform(smallest, largest))
            scale = [together * s for s in (scale or (1.0,) * n)]
        if self.physical:
            shift = [t * u / z for t, u, z in zip(self.translate or (), shifts, frame.zooms, strict=False)]
        else:
            shift = [
                float(round(t * u * m))
                for t, u, m in zip(self.translate or (), shifts, frame.shape, strict=False)
            ]
        return affine_step(frame, angle, axes, scale, shift, self.physical)

    def recall(self, frame: Frame, metadata: Any) -> Step | None:
        """Use the recorded step, or the numbers under ``rotation``, ``scale`` and ``translation``."""
        step = super().recall(frame, metadata)
        if step is not None or "rotation" not in metadata:
            return step
        angle, axes = metadata["rotation"]
        scale = metadata.get("scale", ())
        shift = metadata.get("translation", ())
        return affine_step(frame, angle, axes, scale, shift, self.physical)

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Undo in the two steps of 2.9.10: rotation and scale, then the translation by whole voxels (not in mm).

        Voxels that only the translation moved out of the field of view become zero;
        `WarpStep.invert`, which is used for predictions, restores everything that the rotation brought back in.
        """
        out, metadata = super().undo_transform(sample, metadata)
        if self.physical:
            return out, metadata
        record = metadata[0] if isinstance(metadata, (list, tuple)) else metadata
        shift = record[STEPS_KEY]["RandomAffine"].drawn.get("translation", ())
        arrays = [out] if hasattr(out, "shape") else [a for a in out if a is not None]
        for array in arrays:  # new arrays from the inversion above
            _clear_shifted(array, shift)
        return out, metadata


@transform
class RandomReverse(ImedTransform):
    """Flip each axis with probability 0.5."""

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw which axes to flip."""
        return _flip(frame, [bool(v) for v in rng.integers(0, 2, len(frame.shape))])


@transform
class RandomMirror(ImedTransform):
    """Flip axes, each with its own probability."""

    p: Annotated[
        Fraction | tuple[Fraction, ...],
        Doc("Probability (0 to 1) of each axis, or a list with one per entry of `axes`.", [0.5, 0.25]),
    ] = 0.5
    axes: Annotated[
        Axes, Doc("Axes that may be flipped: 0 height, 1 width, 2 depth (3D models). null: all.", [0, 1])
    ] = None

    @staticmethod
    def problems(p: float | tuple[float, ...], axes: tuple[int, ...] | None) -> list[str]:
        """Compare the arguments with each other."""
        if not isinstance(p, tuple) or len(p) == len(axes or ()):
            return []
        return [f"p: {list(p)} has {len(p)} entries; expected one number, or one per entry of axes"]

    @property
    def probability(self) -> None:
        """None: every axis has its own probability."""

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw which axes to flip; an axis that the sample lacks is skipped."""
        n = len(frame.shape)
        axes = range(n) if self.axes is None else self.axes
        chances = self.p if isinstance(self.p, tuple) else (self.p,) * len(axes)
        drawn = {axis: rng.random() < chance for axis, chance in zip(axes, chances, strict=True)}
        return _flip(frame, [drawn.get(axis, False) for axis in range(n)])


@transform
class ElasticTransform(ImedTransform):
    """Random smooth deformation (Simard et al., 2003).

    Uniform noise in [-1, 1] per voxel and axis, smoothed by a Gaussian and multiplied by alpha: Simard et
    al., "Best practices for convolutional neural networks applied to visual document analysis", ICDAR 2003.
    With a sigma above 2 voxels, one number represents several voxels, see `smoothing.CELLS`.
    The inverse is iterative, see `warp.invert_field`. With `physical`, the field has, in mm, the magnitude and
    smoothness of a field on voxels of 1 mm.
    """

    alpha_range: Annotated[
        Interval,
        Doc("Range of the strength of the deformation, in voxels; in mm with `physical`.", [28.0, 30.0]),
    ]
    sigma_range: Annotated[
        Widths,
        Doc("Range of the smoothness (standard deviation), in voxels; in mm with `physical`.", [3.5, 4.5]),
    ]
    p: Probability = 0.1
    physical: Annotated[
        Flag, Doc("Deform equally in mm, whatever the voxel size; false: on the voxel grid.")
    ] = False

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw alpha, sigma and the field."""
        alpha, sigma = rng.uniform(*self.alpha_range), rng.uniform(*from_zero(self.sigma_range))
        if alpha == 0:
            return IdentityStep.on(frame)
        n = len(frame.shape)
        lengths = frame.zooms if self.physical else (1.0,) * n
        moving = [m > 1 for m in frame.shape]  # no motion or smoothing out of the plane of a single slice
        sigmas = [sigma / z if moves else 0.0 for z, moves in zip(lengths, moving, strict=True)]
        # Smoothing over small voxels averages more of them than over large ones: the standard deviation of the result
        # is proportional to the square root of the voxel size, and is divided by it.
        size = math.prod(z for z, moves in zip(lengths, moving, strict=True) if moves)
        amplitudes = [alpha * moves / (z * math.sqrt(size)) for z, moves in zip(lengths, moving, strict=True)]
        return WarpStep.on(
            frame,
            drawn={"elastic": [float(alpha), float(sigma)]},
            matrix=np.eye(n),
            offset=np.zeros(n),
            field=smooth_field(frame.shape, sigmas, amplitudes, rng).numpy(),
        )


def affine_step(
    frame: Frame,
    angle: float,
    axes: Sequence[int] = (0, 1),
    scale: Sequence[float] = (),
    translation: Sequence[float] = (),
    physical: bool = False,
) -> Step:
    """Build the step of a rotation, scaling and translation; axes with a single voxel are not scaled or shifted.

    Args:
        frame: The grid.
        angle: Radians, in the plane of `axes`.
        axes: Two different axes.
        scale: Factor per axis; 1 for axes not given.
        translation: Voxels per axis; 0 for axes not given.
        physical: Rotate in mm about the center of the image, rather than on the voxel grid about shape / 2.
    """
    shape, n = frame.shape, len(frame.shape)
    factors = [s if m > 1 else 1.0 for s, m in zip((*scale, *(1.0,) * n), shape, strict=False)]
    shift = [float(t) if m > 1 else 0.0 for t, m in zip((*translation, *(0.0,) * n), shape, strict=False)]
    if angle == 0 and not any(shift) and all(f == 1 for f in factors):
        return IdentityStep.on(frame)
    a, b = sorted(axes)
    # Right-handed rotations about the third axis: (0, 2) rotates in the opposite direction to (0, 1) and (1, 2).
    cosine, sine = math.cos(angle), math.sin(angle) * (-1 if (a, b) == (0, 2) else 1)
    # Conversion between mm and voxels: Z^-1 R Z.
    stretch = frame.zooms[b] / frame.zooms[a] if physical else 1.0
    matrix = [[1 / factors[i] if i == j else 0.0 for j in range(n)] for i in range(n)]
    matrix[a][a], matrix[a][b] = cosine / factors[a], sine * stretch / factors[a]
    matrix[b][a], matrix[b][b] = -sine / stretch / factors[b], cosine / factors[b]
    centre = [(m - 1) / 2 if physical else m / 2 for m in shape]
    offset = [
        c + t - sum(v * w for v, w in zip(row, centre, strict=True))
        for c, t, row in zip(centre, shift, matrix, strict=True)
    ]
    return WarpStep.on(
        frame,
        drawn={"rotation": [angle, [a, b]], "scale": factors, "translation": shift},
        matrix=np.array(matrix),
        offset=np.array(offset),
    )


def _is_range(scale: Sequence[float]) -> bool:
    return len(scale) == 2 and scale[0] <= 1 < scale[1]


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


def _flip(frame: Frame, flips: Sequence[bool]) -> Step:
    """Build the step that flips the axes marked True."""
    if not any(flips):
        return IdentityStep.on(frame)
    axes = tuple(axis for axis, flip in enumerate(flips) if flip)
    return FlipStep.on(frame, drawn={"reverse": list(flips)}, axes=axes)
