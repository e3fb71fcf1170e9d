"""Intensity transforms; the arithmetic is in `intensity_maths`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np

from ivadomed.errors import ConfigError
from ivadomed.registry.types import (
    STRICT,
    WHOLE,
    Doc,
    Flag,
    Fraction,
    Ge,
    Le,
    Len,
    NonNegativeReal,
    Positive,
    PositiveReal,
    Real,
)
from ivadomed.transforms import intensity_maths as maths
from ivadomed.transforms.arguments import (
    Axes,
    Factors,
    Interval,
    MaybeProbability,
    Probability,
    Symmetric,
    Thickness,
    Widths,
    from_zero,
    symmetric,
)
from ivadomed.transforms.base import ImedTransform, as_type, transform
from ivadomed.transforms.steps import ArrayStep, Frame, IdentityStep, IntensityStep, Step

Percentile = Annotated[Real, Ge(0), Le(100)]
Foreground = Annotated[
    Flag, Doc("Compute statistics only over voxels above the mean, to exclude the background.")
]


class IntensityTransform(ImedTransform):
    """Base of transforms that change values without moving voxels."""

    geometric: ClassVar[bool] = False


class ImageTransform(IntensityTransform):
    """Base of transforms applied only to images, unless `applied_to` is set."""

    default_kinds: ClassVar[frozenset[str]] = frozenset({"im"})


@transform
class NormalizeInstance(IntensityTransform):
    """Subtract the mean and divide by the standard deviation of the sample.

    Each channel is normalized separately; a constant one becomes 0. If the foreground has a single value, all voxels
    are used.
    """

    keeps_type: ClassVar[bool] = False

    foreground: Foreground = False

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Plan the normalization; not random."""
        return IntensityStep.on(
            frame, function=maths.normalize_foreground if self.foreground else maths.normalize
        )


@transform
class ClipAndStandardize(ImageTransform):
    """Clip to fixed bounds, subtract a fixed mean and divide by a fixed standard deviation.

    For intensities with the same meaning in every image, as in CT: the statistics are measured once, over the labelled
    voxels of the data set (nnU-Net; Isensee et al., Nature Methods 2021), e.g. by `ivadomed --init`.
    """

    keeps_type: ClassVar[bool] = False

    lower: Annotated[Real, Doc("Smallest intensity; nnU-Net uses percentile 0.5.", -900.0)]
    upper: Annotated[Real, Doc("Largest intensity (> lower); nnU-Net uses percentile 99.5.", 300.0)]
    mean: Annotated[Real, Doc("Mean of the labelled voxels, which becomes 0.", 100.0)]
    std: Annotated[
        PositiveReal, Doc("Standard deviation of the labelled voxels (> 0), which becomes 1.", 75.0)
    ]

    @staticmethod
    def problems(lower: float, upper: float, **_: Any) -> list[str]:
        """Compare the arguments with each other."""
        return [f"lower: {lower:g} is not below upper {upper:g}"] if lower >= upper else []

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Plan the normalization; not random."""
        numbers = {"low": self.lower, "high": self.upper, "mean": self.mean, "std": self.std}
        return IntensityStep.on(frame, function=maths.clip_and_standardize, arguments=numbers)


@transform
class NormalizePercentile(ImageTransform):
    """Scale two percentiles of the sample to 0 and 1 and clip to them.

    Each channel is scaled separately; a constant one becomes 0. If the two percentiles are equal, minimum and maximum
    are used instead.
    """

    keeps_type: ClassVar[bool] = False

    min_percentile: Annotated[Percentile, Doc("Percentile (0 to 100) that becomes 0.", 1.0)] = 0.5
    max_percentile: Annotated[Percentile, Doc("Percentile (0 to 100) that becomes 1.", 99.0)] = 99.5
    foreground: Foreground = False

    @staticmethod
    def problems(min_percentile: float, max_percentile: float, foreground: bool) -> list[str]:
        """Compare the arguments with each other."""
        return _order_problems(min_percentile, max_percentile)

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Plan the normalization; not random."""
        change = partial(
            maths.scale_percentiles,
            low=self.min_percentile,
            high=self.max_percentile,
            foreground_only=self.foreground,
        )
        return ArrayStep.on(frame, function=change)


@transform
class HistogramClipping(IntensityTransform):
    """Clip intensities at two percentiles."""

    min_percentile: Annotated[Percentile, Doc("Lower percentile (0 to 100).", 1.0)] = 5.0
    max_percentile: Annotated[Percentile, Doc("Upper percentile (0 to 100).", 99.0)] = 95.0

    @staticmethod
    def problems(min_percentile: float, max_percentile: float) -> list[str]:
        """Compare the arguments with each other."""
        return _order_problems(min_percentile, max_percentile)

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Plan the clipping; not random."""
        limits = {"low": self.min_percentile, "high": self.max_percentile}
        return IntensityStep.on(frame, function=maths.clip_percentiles, arguments=limits)


@transform
class Clahe(IntensityTransform):
    """Contrast limited adaptive histogram equalization.

    The result is in [0, 1]. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994;
    defaults from Zheng et al., IEEE TMI 37(9), 2018.
    """

    keeps_type: ClassVar[bool] = False

    clip_limit: Annotated[PositiveReal, Doc("Clipping limit (> 0).", 2.0)] = 3.0
    kernel_size: Annotated[
        tuple[Positive, ...], Len(2, 3), Doc("Size of the tiles in voxels (> 0).", [16, 16])
    ] = (8, 8)

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Plan the equalization; not random.

        Raises:
            ConfigError: `kernel_size` does not have one entry per spatial axis.
        """
        n = len(frame.shape)
        if len(self.kernel_size) != n:
            raise ConfigError(
                f"transformation.Clahe.kernel_size: {list(self.kernel_size)}; {n} entries expected, "
                f"one per axis of the {n}D samples"
            )
        change = partial(maths.equalize_adaptive, clip_limit=self.clip_limit, kernel_size=self.kernel_size)
        return ArrayStep.on(frame, function=change)


@transform
class RandomShiftIntensity(IntensityTransform):
    """Add a random constant to all intensities."""

    shift_range: Annotated[Interval, Doc("Range of the constant, in units of intensity.", [-0.1, 0.1])]
    prob: Probability = 0.1

    @property
    def probability(self) -> float:
        """The argument `prob`."""
        return self.prob

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the offset."""
        drawn = {"offset": float(rng.uniform(*self.shift_range))}
        return IntensityStep.on(frame, function=maths.add, arguments=drawn, drawn=drawn)

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Subtract the offset recorded in the metadata, for image samples only."""
        record = metadata[0] if isinstance(metadata, (list, tuple)) else metadata
        if record is None or "offset" not in record:
            return sample, metadata
        offset = record["offset"]

        def undone(x: Any) -> Any:
            return as_type(x - offset, x.dtype) if isinstance(x, np.ndarray) else x - offset

        return [undone(x) for x in sample] if isinstance(sample, (list, tuple)) else undone(sample), metadata


@transform
class AdditiveGaussianNoise(IntensityTransform):
    """Add Gaussian noise."""

    mean: Annotated[Real, Doc("Mean of the noise, in units of intensity.", 0.1)] = 0.0
    std: Annotated[
        NonNegativeReal, Doc("Standard deviation of the noise (>= 0), in units of intensity.", 0.02)
    ] = 0.01
    p: MaybeProbability = None

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the seed of the noise, because the number of channels is not known here."""
        arguments = {"mean": self.mean, "std": self.std, "seed": int(rng.integers(2**63))}
        return IntensityStep.on(frame, function=maths.add_noise, arguments=arguments)


@transform
class RandomGamma(IntensityTransform):
    """Raise intensities, scaled to 0..1, to a random exponent.

    They are scaled back afterwards; each channel keeps its range.
    """

    log_gamma_range: Annotated[
        Symmetric,
        Doc("Range of the natural logarithm of the exponent; a number d means [-d, d].", [-0.3, 0.3]),
    ]
    p: Probability = 0.5
    p_inverted: Annotated[
        Fraction | None,
        Doc("Probability (0 to 1) of inverting the image before and back after; null: never.", 0.25),
    ] = None

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the exponent, and whether the image is inverted."""
        exponent = float(np.exp(rng.uniform(*symmetric(self.log_gamma_range))))
        inverted = self.p_inverted is not None and bool(rng.random() < self.p_inverted)
        return _by_factor(frame, maths.gamma, "gamma", exponent=exponent, inverted=inverted)


@transform
class RandomBrightness(ImageTransform):
    """Multiply all intensities by a random factor; use it after NormalizeInstance, which would undo it.

    Equivalent to the brightness augmentation of nnU-Net.
    """

    factor_range: Annotated[Factors, Doc("Range of the factor (> 0).", [0.9, 1.1])] = (0.75, 1.25)
    p: Probability = 0.15

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the factor."""
        return _by_factor(frame, maths.brighten, "brightness", factor=float(rng.uniform(*self.factor_range)))


@transform
class RandomContrast(ImageTransform):
    """Multiply the deviation of intensities from their mean by a random factor; use it after NormalizeInstance.

    Equivalent to the contrast augmentation of nnU-Net.
    """

    factor_range: Annotated[Factors, Doc("Range of the factor (> 0).", [0.9, 1.1])] = (0.75, 1.25)
    keep_range: Annotated[Flag, Doc("Clip to the original intensity range of the sample.")] = True
    p: Probability = 0.15

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the factor."""
        factor = float(rng.uniform(*self.factor_range))
        return _by_factor(
            frame, maths.stretch_contrast, "contrast_factor", factor=factor, keep_range=self.keep_range
        )


@transform
class RandomLowResolution(ImageTransform):
    """Simulate anisotropy: thick voxels along an axis, resampled to the original grid.

    A thick voxel has the mean of the voxels it covers; values are interpolated linearly between centers of thick
    voxels. Similar to RandomAnisotropy of TorchIO and the low-resolution simulation of nnU-Net.
    """

    factor_range: Annotated[
        Thickness, Doc("Range of the thickness (>= 1) of the thick voxels, in voxels.", [1.0, 3.0])
    ] = (1.5, 4.0)
    axes: Annotated[
        Axes,
        Doc(
            "Axes reduced together: 0 height, 1 width, 2 depth. null: one axis, drawn at random.",
            [2],
        ),
    ] = None
    p: Probability = 0.25

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the axis and the factor; an axis that the sample lacks is skipped."""
        n = len(frame.shape)
        factor = float(rng.uniform(*self.factor_range))
        axes = [int(rng.integers(n))] if self.axes is None else [a for a in self.axes if a < n]
        counts = tuple(max(round(m / factor), 1) if a in axes else m for a, m in enumerate(frame.shape))
        if counts == frame.shape:
            return IdentityStep.on(frame)
        drawn = {"low_resolution": [factor, axes]}
        return IntensityStep.on(
            frame, function=maths.lower_resolution, arguments={"counts": counts}, drawn=drawn
        )


@transform
class RandomBiasField(IntensityTransform):
    """Multiply by a random smooth field (Van Leemput et al., 1999).

    Simulates the bias field of MR receive coils.
    """

    coefficients: Annotated[
        Symmetric,
        Doc("Largest magnitude of the polynomial's coefficients, or their [smallest, largest].", 0.5),
    ]
    order: Annotated[int, STRICT, Ge(0), Le(20), WHOLE, Doc("Order of the polynomial (0 to 20).", 3)]
    p: Probability = 0.5

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw the coefficients."""
        count = len(maths.monomials(len(frame.shape), self.order))
        drawn = rng.uniform(*symmetric(self.coefficients), count).tolist()
        arguments = {"order": self.order, "coefficients": drawn}
        return IntensityStep.on(
            frame, function=maths.multiply_bias, arguments=arguments, drawn={"bias_field": drawn}
        )


@transform
class RandomBlur(IntensityTransform):
    """Blur with a Gaussian of random width."""

    sigma_range: Annotated[
        Widths, Doc("Range of the standard deviation, in voxels; a number s means [0, s].", [0.0, 2.0])
    ]
    p: Probability = 0.5

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Draw a standard deviation per axis."""
        sigmas = rng.uniform(*from_zero(self.sigma_range), len(frame.shape)).tolist()
        return IntensityStep.on(
            frame, function=maths.blur, arguments={"sigmas": sigmas}, drawn={"blur": sigmas}
        )


def _by_factor(frame: Frame, function: Any, name: str, **arguments: Any) -> Step:
    """Step of a function whose first argument is a factor or exponent, recorded under a name; 1 is the identity."""
    first = next(iter(arguments.values()))
    if first == 1:
        return IdentityStep.on(frame)
    return IntensityStep.on(frame, function=function, arguments=arguments, drawn={name: first})


def _order_problems(lower: float, upper: float) -> list[str]:
    return [f"min_percentile: {lower} is not below max_percentile {upper}"] if lower >= upper else []
