"""Random changes of intensity, and two that bring out contrast; the arithmetic is in `intensity_maths`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ivadomed.errors import ConfigError
from ivadomed.transforms import intensity_maths as maths
from ivadomed.transforms.arguments import flag, interval, number
from ivadomed.transforms.base import ImedTransform, Step, as_type, identity_step, intensity_step


class HistogramClipping(ImedTransform):
    """Clip intensities at two percentiles of the sample.

    Args:
        min_percentile: Lower limit, between 0 and 100.
        max_percentile: Upper limit, between 0 and 100.
    """

    geometric: ClassVar[bool] = False

    def __init__(self, min_percentile: float = 5.0, max_percentile: float = 95.0) -> None:
        self.min_percentile = number("HistogramClipping", "min_percentile", min_percentile, 0, 100)
        self.max_percentile = number(
            "HistogramClipping", "max_percentile", max_percentile, self.min_percentile, 100
        )

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Plan the clipping; nothing is drawn."""
        clip = partial(maths.clip_percentiles, low=self.min_percentile, high=self.max_percentile)
        return intensity_step(shape, zooms, clip)


class Clahe(ImedTransform):
    """Contrast Limited Adaptive Histogram Equalization, result in [0, 1].

    Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994; defaults from
    Zheng et al., IEEE TMI 37(9), 2018.

    Args:
        clip_limit: Clipping limit; larger gives more contrast.
        kernel_size: Size in voxels of the regions whose histograms are equalised, one per spatial axis.
    """

    geometric: ClassVar[bool] = False
    keeps_type: ClassVar[bool] = False

    def __init__(self, clip_limit: float = 3.0, kernel_size: Sequence[int] = (8, 8)) -> None:
        self.clip_limit = number("Clahe", "clip_limit", clip_limit, 0)
        self.kernel_size = tuple(int(k) for k in kernel_size)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Plan the equalisation; nothing is drawn.

        Raises:
            ConfigError: `kernel_size` does not have one entry per spatial axis.
        """
        if len(self.kernel_size) != len(shape):
            raise ConfigError(
                f"transformation.Clahe.kernel_size: {list(self.kernel_size)}; {len(shape)} entries expected, "
                f"one per axis of the {len(shape)}D samples"
            )
        change = partial(maths.equalize_adaptive, clip_limit=self.clip_limit, kernel_size=self.kernel_size)
        return intensity_step(shape, zooms, change)


class RandomShiftIntensity(ImedTransform):
    """Add a random offset to all intensities.

    Args:
        shift_range: [smallest, largest] offset.
        prob: Probability that the transform is applied.
    """

    geometric: ClassVar[bool] = False

    def __init__(self, shift_range: Sequence[float], prob: float = 0.1) -> None:
        self.shift_range = interval("RandomShiftIntensity", "shift_range", shift_range)
        self.prob = number("RandomShiftIntensity", "prob", prob, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to shift, and the offset."""
        if rng.random() >= self.prob:
            return identity_step(shape, zooms)
        offset = float(rng.uniform(*self.shift_range))
        return intensity_step(shape, zooms, partial(maths.add, offset=offset), {"offset": offset})

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Subtract the offset recorded in the metadata, for samples that are images."""
        record = metadata[0] if isinstance(metadata, (list, tuple)) else metadata
        if record is None or "offset" not in record:
            return sample, metadata
        offset = record["offset"]

        def undone(x: Any) -> Any:
            return as_type(x - offset, x.dtype) if isinstance(x, np.ndarray) else x - offset

        return [undone(x) for x in sample] if isinstance(sample, (list, tuple)) else undone(sample), metadata


class AdditiveGaussianNoise(ImedTransform):
    """Add Gaussian noise.

    Args:
        mean: Mean of the noise.
        std: Standard deviation of the noise.
    """

    geometric: ClassVar[bool] = False

    def __init__(self, mean: float = 0.0, std: float = 0.01) -> None:
        self.mean = number("AdditiveGaussianNoise", "mean", mean)
        self.std = number("AdditiveGaussianNoise", "std", std, 0)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw the seed of the noise: the number of channels is not known here."""
        seed = int(rng.integers(2**63))
        return intensity_step(shape, zooms, partial(maths.add_noise, mean=self.mean, std=self.std, seed=seed))


class RandomGamma(ImedTransform):
    """Raise intensities to a random power, scaled to 0..1 before and back after; each channel keeps its range.

    Args:
        log_gamma_range: [smallest, largest] natural logarithm of the exponent; one number d means [-d, d].
        p: Probability that the transform is applied.
    """

    geometric: ClassVar[bool] = False

    def __init__(self, log_gamma_range: float | Sequence[float], p: float = 0.5) -> None:
        self.log_gamma_range = interval("RandomGamma", "log_gamma_range", log_gamma_range, symmetric=True)
        self.p = number("RandomGamma", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to apply, and the exponent."""
        if rng.random() >= self.p:
            return identity_step(shape, zooms)
        exponent = float(np.exp(rng.uniform(*self.log_gamma_range)))
        if exponent == 1:
            return identity_step(shape, zooms)
        return intensity_step(shape, zooms, partial(maths.gamma, exponent=exponent), {"gamma": exponent})


class RandomBrightness(ImedTransform):
    """Multiply all intensities by a random factor (nnU-Net's brightness).

    It belongs after `NormalizeInstance`, which would take the factor away again.

    Args:
        factor_range: [smallest, largest] factor, above 0.
        p: Probability that the transform is applied.
    """

    geometric: ClassVar[bool] = False
    default_kinds: ClassVar[frozenset[str]] = frozenset({"im"})

    def __init__(self, factor_range: Sequence[float] = (0.75, 1.25), p: float = 0.15) -> None:
        self.factor_range = interval("RandomBrightness", "factor_range", factor_range, 0)
        self.p = number("RandomBrightness", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to apply, and the factor."""
        if rng.random() >= self.p:
            return identity_step(shape, zooms)
        factor = float(rng.uniform(*self.factor_range))
        if factor == 1:
            return identity_step(shape, zooms)
        return intensity_step(shape, zooms, partial(maths.brighten, factor=factor), {"brightness": factor})


class RandomContrast(ImedTransform):
    """Multiply the distance of all intensities from their mean by a random factor (nnU-Net's contrast).

    It belongs after `NormalizeInstance`, which would take the factor away again.

    Args:
        factor_range: [smallest, largest] factor, above 0.
        keep_range: Clip to the smallest and largest intensity that there were.
        p: Probability that the transform is applied.
    """

    geometric: ClassVar[bool] = False
    default_kinds: ClassVar[frozenset[str]] = frozenset({"im"})

    def __init__(
        self, factor_range: Sequence[float] = (0.75, 1.25), keep_range: bool = True, p: float = 0.15
    ) -> None:
        self.factor_range = interval("RandomContrast", "factor_range", factor_range, 0)
        self.keep_range = flag("RandomContrast", "keep_range", keep_range)
        self.p = number("RandomContrast", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to apply, and the factor."""
        if rng.random() >= self.p:
            return identity_step(shape, zooms)
        factor = float(rng.uniform(*self.factor_range))
        if factor == 1:
            return identity_step(shape, zooms)
        change = partial(maths.stretch_contrast, factor=factor, keep_range=self.keep_range)
        return intensity_step(shape, zooms, change, {"contrast_factor": factor})


class RandomBiasField(ImedTransform):
    """Multiply with a smooth random field, as the coils of an MR scanner do.

    Args:
        coefficients: Largest magnitude of the polynomial's coefficients, or their [smallest, largest].
        order: Degree of the polynomial.
        p: Probability that the transform is applied.
    """

    geometric: ClassVar[bool] = False

    def __init__(self, coefficients: float | Sequence[float], order: int, p: float = 0.5) -> None:
        self.coefficients = interval("RandomBiasField", "coefficients", coefficients, symmetric=True)
        self.order = int(number("RandomBiasField", "order", order, 0, 20))
        self.p = number("RandomBiasField", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to apply, once, and the coefficients."""
        if rng.random() >= self.p:
            return identity_step(shape, zooms)
        drawn = rng.uniform(*self.coefficients, len(maths.monomials(len(shape), self.order))).tolist()
        change = partial(maths.multiply_bias, order=self.order, coefficients=drawn)
        return intensity_step(shape, zooms, change, {"bias_field": drawn})


class RandomBlur(ImedTransform):
    """Blur with a Gaussian of random width per axis.

    Args:
        sigma_range: [smallest, largest] standard deviation in voxels; one number s means [0, s].
        p: Probability that the transform is applied.
    """

    geometric: ClassVar[bool] = False

    def __init__(self, sigma_range: float | Sequence[float], p: float = 0.5) -> None:
        self.sigma_range = interval("RandomBlur", "sigma_range", sigma_range, 0)
        self.p = number("RandomBlur", "p", p, 0, 1)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Draw whether to apply, and a standard deviation per axis."""
        if rng.random() >= self.p:
            return identity_step(shape, zooms)
        sigmas = rng.uniform(*self.sigma_range, len(shape)).tolist()
        return intensity_step(shape, zooms, partial(maths.blur, sigmas=sigmas), {"blur": sigmas})
