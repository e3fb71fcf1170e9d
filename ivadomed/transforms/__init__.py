"""Transforms of images, labels and regions of interest: plan, apply, invert."""

from __future__ import annotations

from ivadomed.runtime.moved import moved_names
from ivadomed.transforms.base import OLD_NAMES, TRANSFORMS, ImedTransform
from ivadomed.transforms.fixed import (
    BoundingBoxCrop,
    CenterCrop,
    Crop,
    CroppableArray,
    CropStep,
    Resample,
    ROICrop,
)
from ivadomed.transforms.intensity import (
    AdditiveGaussianNoise,
    Clahe,
    ClipAndStandardize,
    HistogramClipping,
    NormalizeInstance,
    NormalizePercentile,
    RandomBiasField,
    RandomBlur,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomLowResolution,
    RandomShiftIntensity,
)
from ivadomed.transforms.label import DilateGT, NumpyToTensor
from ivadomed.transforms.pipeline import Pipeline, Plan, Stage
from ivadomed.transforms.spatial import ElasticTransform, RandomAffine, RandomMirror, RandomReverse
from ivadomed.transforms.steps import Frame, Step

__all__ = [
    "TRANSFORMS",
    "AdditiveGaussianNoise",
    "BoundingBoxCrop",
    "CenterCrop",
    "Clahe",
    "ClipAndStandardize",
    "Crop",
    "CropStep",
    "CroppableArray",
    "DilateGT",
    "ElasticTransform",
    "Frame",
    "HistogramClipping",
    "ImedTransform",
    "NormalizeInstance",
    "NormalizePercentile",
    "NumpyToTensor",
    "Pipeline",
    "Plan",
    "ROICrop",
    "RandomAffine",
    "RandomBiasField",
    "RandomBlur",
    "RandomBrightness",
    "RandomContrast",
    "RandomGamma",
    "RandomLowResolution",
    "RandomMirror",
    "RandomReverse",
    "RandomShiftIntensity",
    "Resample",
    "Stage",
    "Step",
]

_MOVED = {
    **{old: f"ivadomed.transforms.{new}" for old, new in OLD_NAMES.items()},
    "preprare_transforms": "ivadomed.compat.transforms.prepare_transforms",
    "rescale_values_array": "ivadomed.images.heatmaps.rescale_values_array",
}
"""Old names from the manual, and their current places."""

_DOCUMENTED = {
    "ivadomed.compat.transforms": "Compose UndoCompose UndoTransform apply_preprocessing_transforms "
    "get_preprocessing_transforms get_subdatasets_transforms multichannel_capable prepare_transforms "
    "tio_transform two_dim_compatible"
}
"""API of ivadomed 2.x, by implementing module."""

__getattr__ = moved_names(__name__, _MOVED, _DOCUMENTED)
