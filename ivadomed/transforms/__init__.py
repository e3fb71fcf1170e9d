"""Transforms of images, labels and regions of interest: plan, apply, invert."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

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
from ivadomed.transforms.intensity import (
    AdditiveGaussianNoise,
    Clahe,
    HistogramClipping,
    NormalizeInstance,
    RandomBiasField,
    RandomBlur,
    RandomGamma,
    RandomShiftIntensity,
)
from ivadomed.transforms.label import DilateGT, NumpyToTensor
from ivadomed.transforms.pipeline import Pipeline, Plan, Stage
from ivadomed.transforms.registry import OLD_NAMES, TRANSFORMS
from ivadomed.transforms.spatial import ElasticTransform, RandomAffine, RandomReverse, Resample

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
    "NumpyToTensor",
    "Pipeline",
    "Plan",
    "ROICrop",
    "RandomAffine",
    "RandomBiasField",
    "RandomBlur",
    "RandomGamma",
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

_MOVED: dict[str, str] = {
    **{old: f"ivadomed.transforms.{new}" for old, new in OLD_NAMES.items()},
    "preprare_transforms": "ivadomed.transforms.prepare_transforms",
    "rescale_values_array": "ivadomed.maths.rescale_values_array",
}
"""Old names of the manual and where they are now."""


def __getattr__(name: str) -> Any:
    """Resolve old names, with a DeprecationWarning."""
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"{__name__}.{name} is now {_MOVED[name]}", DeprecationWarning, stacklevel=2)
    module, _, attribute = _MOVED[name].rpartition(".")
    return getattr(importlib.import_module(module), attribute)
