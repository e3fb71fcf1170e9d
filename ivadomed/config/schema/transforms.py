"""The transforms and their arguments, one model per class of `ivadomed.transforms`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from ivadomed.config.schema.base import BY_VALUE
from ivadomed.registry.section import Section, refuse
from ivadomed.registry.types import (
    WHOLE,
    DatasetType,
    Flag,
    Fraction,
    NonNegative,
    NonNegativeReal,
    Positive,
    PositiveReal,
    Real,
)

Interval = tuple[Real, Real]
PerAxis = Annotated[tuple[NonNegativeReal, ...], Field(min_length=2, max_length=3)]


def _degrees(value: Any) -> float | tuple[float, float]:
    entries = list(value) if isinstance(value, (list, tuple)) else [value]
    numbers = all(isinstance(entry, (int, float)) and not isinstance(entry, bool) for entry in entries)
    if numbers and len(entries) == 2 and entries[0] <= entries[1]:
        return entries[0], entries[1]
    if numbers and not isinstance(value, (list, tuple)) and value >= 0:
        return value
    raise ValueError("expected the largest rotation in degrees (>= 0), or [smallest, largest]")


Degrees = Annotated[
    float | tuple[float, float],
    PlainValidator(_degrees, json_schema_input_type=float | tuple[float, float]),
    BY_VALUE,
]
FOREGROUND = "Measure over the voxels above the mean only, so that the background does not count."
Factors = tuple[PositiveReal, PositiveReal]
Axis = Annotated[int, Strict(), Field(ge=0, le=2), WHOLE]
CropSize = Annotated[tuple[Positive, ...], Field(min_length=2, max_length=3)]


_FLAGS = ("foreground", "physical")


class Transform(Section):
    """What every transform takes."""

    applied_to: tuple[Literal["im", "gt", "roi"], ...] | None = Field(
        default=None,
        description="Kinds of data it is applied to: `im`, `gt`, `roi`. null: all three; the image alone for "
        "RandomBrightness, RandomContrast, RandomLowResolution and NormalizePercentile.",
        examples=[["im", "gt"]],
    )
    dataset_type: tuple[DatasetType, ...] | None = Field(
        default=None,
        description="Sets it is applied to: `training`, `validation`, `testing`. null: all three.",
        examples=[["training"]],
    )

    @model_serializer(mode="wrap")
    def _without_idle_flags(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Packaged models are read by older versions too, which refuse keys that they do not know.
        return {key: value for key, value in handler(self).items() if key not in _FLAGS or value}

    def used_in(self, dataset_type: str) -> bool:
        """Whether the transform is part of the chain of that set."""
        return self.dataset_type is None or dataset_type in self.dataset_type

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments (JSON-ready) and `applied_to`; keys left at null are absent."""
        return self.model_dump(mode="json", exclude={"dataset_type"}, exclude_none=True)


def _require_order(**intervals: Interval) -> None:
    refuse(
        [
            f"{key}: {list(interval)} is not ordered; expected [smallest, largest]"
            for key, interval in intervals.items()
            if interval[0] > interval[1]
        ]
    )


def _axis_problems(axes: tuple[int, ...] | None) -> list[str]:
    if axes is None or (axes and len(set(axes)) == len(axes)):
        return []
    return [f"axes: {list(axes)}; expected different axes, at least one, or null"]


def _require_percentiles(lower: float, upper: float) -> None:
    if lower >= upper:
        refuse([f"min_percentile: {lower} is not below max_percentile {upper}"])


class Resample(Transform):
    """Change the voxel size."""

    hspace: PositiveReal = Field(description="Voxel size along the height, in mm (> 0).", examples=[0.75])
    wspace: PositiveReal = Field(description="Voxel size along the width, in mm (> 0).", examples=[0.75])
    dspace: PositiveReal = Field(
        default=1.0, description="Voxel size along the depth, in mm (> 0); 3D models only.", examples=[0.5]
    )


class Crop(Transform):
    """A crop, padded with zeros where the image is smaller."""

    size: CropSize = Field(
        description="Height and width (2D models) or height, width and depth (3D models) in voxels (> 0).",
        examples=[[128, 128]],
    )


class CenterCrop(Crop):
    """Crop about the image's centre."""


class ROICrop(Crop):
    """Crop about the centre of mass of the region of interest; needs `roi_params.suffix`."""


class BoundingBoxCrop(Crop):
    """Crop to the bounding box found by the object detection model."""


class NormalizeInstance(Transform):
    """Subtract the mean and divide by the standard deviation of the sample."""

    foreground: Flag = Field(default=False, description=FOREGROUND)


class NormalizePercentile(Transform):
    """Scale two percentiles of the sample to 0 and 1 and clip to them."""

    min_percentile: Real = Field(
        default=0.5, ge=0, le=100, description="Percentile (0 to 100) that becomes 0.", examples=[1.0]
    )
    max_percentile: Real = Field(
        default=99.5, ge=0, le=100, description="Percentile (0 to 100) that becomes 1.", examples=[99.0]
    )
    foreground: Flag = Field(default=False, description=FOREGROUND)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_percentiles(self.min_percentile, self.max_percentile)
        return self


class HistogramClipping(Transform):
    """Clip intensities at two percentiles."""

    min_percentile: Real = Field(
        default=5.0, ge=0, le=100, description="Lower percentile (0 to 100).", examples=[1.0]
    )
    max_percentile: Real = Field(
        default=95.0, ge=0, le=100, description="Upper percentile (0 to 100).", examples=[99.0]
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_percentiles(self.min_percentile, self.max_percentile)
        return self


class Clahe(Transform):
    """Contrast limited adaptive histogram equalisation."""

    clip_limit: PositiveReal = Field(default=3.0, description="Clipping limit (> 0).", examples=[2.0])
    kernel_size: tuple[Positive, ...] = Field(
        default=(8, 8),
        min_length=2,
        max_length=3,
        description="Size of the tiles in voxels (> 0).",
        examples=[[16, 16]],
    )


class DilateGT(Transform):
    """Dilate lesions of the ground truth at random, by their size."""

    dilation_factor: NonNegativeReal = Field(description="Strength (>= 0); 0 disables it.", examples=[0.15])


class RandomAffine(Transform):
    """Random rotation, translation and scaling."""

    degrees: Degrees = Field(
        default=0.0, description="Largest rotation in degrees (>= 0), or [smallest, largest].", examples=[10]
    )
    translate: PerAxis | None = Field(
        default=None,
        description="Largest translation per axis, as a fraction (0 to 1) of the image's size; in mm with "
        "`physical`. null: none.",
        examples=[[0.05, 0.05]],
    )
    scale: PerAxis | None = Field(
        default=None,
        description="Largest relative change of size per axis, e.g. 0.1 for 0.9 to 1.1. null: none.",
        examples=[[0.1, 0.1]],
    )
    physical: Flag = Field(
        default=False,
        description="Rotate and translate in mm, about the image's centre; false: on the voxel grid, where a "
        "rotation of voxels that are no squares shears.",
    )

    @model_validator(mode="after")
    def _fractions(self) -> Self:
        if not self.physical and self.translate and max(self.translate) > 1:
            refuse(
                [f"translate: {list(self.translate)} has more than 1; expected fractions of the image's size"]
            )
        return self


class RandomMirror(Transform):
    """Flip axes, each with its own probability."""

    p: Fraction | tuple[Fraction, ...] = Field(
        default=0.5,
        description="Probability (0 to 1) of each axis, or a list with one per entry of `axes`.",
        examples=[[0.5, 0.25]],
    )
    axes: tuple[Axis, ...] | None = Field(
        default=None,
        description="Axes that may be flipped: 0 height, 1 width, 2 depth (3D models). null: all.",
        examples=[[0, 1]],
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        problems = _axis_problems(self.axes)
        if isinstance(self.p, tuple) and len(self.p) != len(self.axes or ()):
            problems.append(
                f"p: {list(self.p)} has {len(self.p)} entries; expected one number, or one per entry of axes"
            )
        refuse(problems)
        return self


class RandomReverse(Transform):
    """Flip each axis with probability one half."""


class ElasticTransform(Transform):
    """Random smooth deformation (Simard et al., 2003)."""

    alpha_range: Interval = Field(
        description="Range of the strength of the deformation, in voxels; in mm with `physical`.",
        examples=[[28.0, 30.0]],
    )
    sigma_range: Interval = Field(
        description="Range of the smoothness (standard deviation), in voxels; in mm with `physical`.",
        examples=[[3.5, 4.5]],
    )
    p: Fraction = Field(default=0.1, description="Probability (0 to 1).", examples=[0.5])
    physical: Flag = Field(
        default=False,
        description="Deform by the same in mm whatever the voxel size; false: on the voxel grid.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(alpha_range=self.alpha_range, sigma_range=self.sigma_range)
        return self


class RandomShiftIntensity(Transform):
    """Add a random constant to all intensities."""

    shift_range: Interval = Field(
        description="Range of the constant, in units of intensity.", examples=[[-0.1, 0.1]]
    )
    prob: Fraction = Field(default=0.1, description="Probability (0 to 1).", examples=[0.5])

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(shift_range=self.shift_range)
        return self


class AdditiveGaussianNoise(Transform):
    """Add Gaussian noise."""

    mean: Real = Field(default=0.0, description="Mean of the noise, in units of intensity.", examples=[0.1])
    std: NonNegativeReal = Field(
        default=0.01,
        description="Standard deviation of the noise (>= 0), in units of intensity.",
        examples=[0.02],
    )


class RandomGamma(Transform):
    """Raise intensities to a random exponent, between the sample's smallest and largest one."""

    log_gamma_range: Interval = Field(
        description="Range of the natural logarithm of the exponent.", examples=[[-0.3, 0.3]]
    )
    p: Fraction = Field(default=0.5, description="Probability (0 to 1).", examples=[0.3])

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(log_gamma_range=self.log_gamma_range)
        return self


class RandomBiasField(Transform):
    """Multiply by a random smooth field (Van Leemput et al., 1999)."""

    coefficients: Real = Field(
        description="Largest magnitude of the polynomial's coefficients.", examples=[0.5]
    )
    order: NonNegative = Field(description="Order of the polynomial (>= 0).", examples=[3])
    p: Fraction = Field(default=0.5, description="Probability (0 to 1).", examples=[0.3])


class RandomBlur(Transform):
    """Blur with a Gaussian of random width."""

    sigma_range: Interval = Field(
        description="Range of the standard deviation, in voxels.", examples=[[0.0, 2.0]]
    )
    p: Fraction = Field(default=0.5, description="Probability (0 to 1).", examples=[0.3])

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(sigma_range=self.sigma_range)
        return self


class RandomBrightness(Transform):
    """Multiply all intensities by a random factor; after NormalizeInstance, which would undo it."""

    factor_range: Factors = Field(
        default=(0.75, 1.25), description="Range of the factor (> 0).", examples=[[0.9, 1.1]]
    )
    p: Fraction = Field(default=0.15, description="Probability (0 to 1).", examples=[0.3])

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(factor_range=self.factor_range)
        return self


class RandomContrast(RandomBrightness):
    """Multiply the distance of intensities from their mean by a random factor; after NormalizeInstance."""

    keep_range: Flag = Field(
        default=True, description="Clip to the smallest and largest intensity that the sample had before."
    )


class RandomLowResolution(Transform):
    """Thick voxels along an axis, resampled to the old grid: simulated anisotropy."""

    factor_range: Factors = Field(
        default=(1.5, 4.0),
        description="Range of the thickness (>= 1) of the thick voxels, in voxels.",
        examples=[[1.0, 3.0]],
    )
    axes: tuple[Axis, ...] | None = Field(
        default=None,
        description="Axes that are lowered together: 0 height, 1 width, 2 depth. null: one axis, drawn at random.",
        examples=[[2]],
    )
    p: Fraction = Field(default=0.25, description="Probability (0 to 1).", examples=[0.5])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _require_order(factor_range=self.factor_range)
        problems = _axis_problems(self.axes)
        if self.factor_range[0] < 1:
            problems.append(
                f"factor_range: {list(self.factor_range)} begins below 1; expected voxels from 1 on"
            )
        refuse(problems)
        return self
