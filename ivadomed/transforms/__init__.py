"""Transforms of images, labels and regions of interest: plan, apply, invert."""

from __future__ import annotations

from ivadomed.runtime.moved import moved_names
from ivadomed.transforms.affine import RandomAffine
from ivadomed.transforms.base import ImedTransform, Step
from ivadomed.transforms.compose import (
    Compose,
    UndoCompose,
    UndoTransform,
    apply_preprocessing_transforms,
    get_preprocessing_transforms,
    get_subdatasets_transforms,
    prepare_transforms,
)
from ivadomed.transforms.crop import BoundingBoxCrop, CenterCrop, Crop, CroppableArray, CropStep, ROICrop
from ivadomed.transforms.decorators import multichannel_capable, tio_transform, two_dim_compatible
from ivadomed.transforms.elastic import ElasticTransform
from ivadomed.transforms.intensity import (
    AdditiveGaussianNoise,
    Clahe,
    HistogramClipping,
    RandomBiasField,
    RandomBlur,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomShiftIntensity,
)
from ivadomed.transforms.label import DilateGT, NumpyToTensor
from ivadomed.transforms.normalize import NormalizeInstance, NormalizePercentile
from ivadomed.transforms.pipeline import Pipeline, Plan, Stage
from ivadomed.transforms.registry import OLD_NAMES, TRANSFORMS
from ivadomed.transforms.resolution import RandomLowResolution
from ivadomed.transforms.spatial import RandomMirror, RandomReverse, Resample

__all__ = [
    "TRANSFORMS",
    "AdditiveGaussianNoise",
    "BoundingBoxCrop",
    "CenterCrop",
    "Clahe",
    "Compose",
    "Crop",
    "CropStep",
    "CroppableArray",
    "DilateGT",
    "ElasticTransform",
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
    "UndoCompose",
    "UndoTransform",
    "apply_preprocessing_transforms",
    "get_preprocessing_transforms",
    "get_subdatasets_transforms",
    "multichannel_capable",
    "prepare_transforms",
    "tio_transform",
    "two_dim_compatible",
]

_MOVED = {
    **{old: f"ivadomed.transforms.{new}" for old, new in OLD_NAMES.items()},
    "preprare_transforms": "ivadomed.transforms.prepare_transforms",
    "rescale_values_array": "ivadomed.images.heatmaps.rescale_values_array",
}
"""Old names of the manual and where they are now."""

__getattr__ = moved_names(__name__, _MOVED)
