"""`transformation`: the chain of transforms, in the order of the keys."""

from __future__ import annotations

from pydantic import Field

from ivadomed.config.schema import transforms
from ivadomed.registry.section import OrderedSteps


class Transformation(OrderedSteps):
    """Transforms in the order in which they are applied."""

    Resample: transforms.Resample | None = Field(default=None, description="Change the voxel size.")
    CenterCrop: transforms.CenterCrop | None = Field(default=None, description="Crop about the centre.")
    ROICrop: transforms.ROICrop | None = Field(default=None, description="Crop about the region of interest.")
    BoundingBoxCrop: transforms.BoundingBoxCrop | None = Field(
        default=None, description="Crop to the detected bounding box."
    )
    NormalizeInstance: transforms.NormalizeInstance | None = Field(
        default=None, description="Zero mean, unit variance."
    )
    NormalizePercentile: transforms.NormalizePercentile | None = Field(
        default=None, description="Two percentiles to 0 and 1."
    )
    HistogramClipping: transforms.HistogramClipping | None = Field(
        default=None, description="Clip at two percentiles."
    )
    Clahe: transforms.Clahe | None = Field(default=None, description="Adaptive histogram equalisation.")
    DilateGT: transforms.DilateGT | None = Field(
        default=None, description="Dilate lesions of the ground truth."
    )
    RandomAffine: transforms.RandomAffine | None = Field(
        default=None, description="Rotate, translate, scale."
    )
    RandomReverse: transforms.RandomReverse | None = Field(default=None, description="Flip axes.")
    RandomMirror: transforms.RandomMirror | None = Field(
        default=None, description="Flip axes, each with its own probability."
    )
    ElasticTransform: transforms.ElasticTransform | None = Field(
        default=None, description="Smooth deformation."
    )
    RandomShiftIntensity: transforms.RandomShiftIntensity | None = Field(
        default=None, description="Shift intensities."
    )
    AdditiveGaussianNoise: transforms.AdditiveGaussianNoise | None = Field(
        default=None, description="Add noise."
    )
    RandomGamma: transforms.RandomGamma | None = Field(default=None, description="Gamma correction.")
    RandomBrightness: transforms.RandomBrightness | None = Field(
        default=None, description="Scale intensities."
    )
    RandomContrast: transforms.RandomContrast | None = Field(default=None, description="Stretch intensities.")
    RandomLowResolution: transforms.RandomLowResolution | None = Field(
        default=None, description="Simulate thick slices."
    )
    RandomBiasField: transforms.RandomBiasField | None = Field(
        default=None, description="Smooth intensity field."
    )
    RandomBlur: transforms.RandomBlur | None = Field(default=None, description="Gaussian blur.")

    @property
    def chain(self) -> dict[str, transforms.Transform]:
        """Name -> transform, in the order in which they are applied."""
        return {name: getattr(self, name) for name in self._order}
