"""The transforms a configuration can name."""

from __future__ import annotations

import difflib
import importlib
import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from ivadomed.errors import ConfigError
from ivadomed.transforms.affine import RandomAffine
from ivadomed.transforms.base import ImedTransform
from ivadomed.transforms.crop import BoundingBoxCrop, CenterCrop, ROICrop
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
from ivadomed.transforms.resolution import RandomLowResolution
from ivadomed.transforms.spatial import RandomMirror, RandomReverse, Resample

TRANSFORMS: dict[str, type[ImedTransform]] = {
    "Resample": Resample,
    "CenterCrop": CenterCrop,
    "ROICrop": ROICrop,
    "BoundingBoxCrop": BoundingBoxCrop,
    "NormalizeInstance": NormalizeInstance,
    "NormalizePercentile": NormalizePercentile,
    "HistogramClipping": HistogramClipping,
    "Clahe": Clahe,
    "RandomAffine": RandomAffine,
    "ElasticTransform": ElasticTransform,
    "RandomReverse": RandomReverse,
    "RandomMirror": RandomMirror,
    "RandomShiftIntensity": RandomShiftIntensity,
    "AdditiveGaussianNoise": AdditiveGaussianNoise,
    "RandomGamma": RandomGamma,
    "RandomBrightness": RandomBrightness,
    "RandomContrast": RandomContrast,
    "RandomLowResolution": RandomLowResolution,
    "RandomBiasField": RandomBiasField,
    "RandomBlur": RandomBlur,
    "DilateGT": DilateGT,
    "NumpyToTensor": NumpyToTensor,
}

OLD_NAMES: dict[str, str] = {
    "CenterCrop2D": "CenterCrop",
    "CenterCrop3D": "CenterCrop",
    "ROICrop2D": "ROICrop",
    "Clage": "Clahe",
    "AdditionGaussianNoise": "AdditiveGaussianNoise",
}

_SELECTION = ("applied_to", "dataset_type")  # keys of every entry that are not arguments of its class


def current_name(name: str) -> str:
    """Return the present name of a transform, with a DeprecationWarning for an old one.

    Raises:
        ConfigError: There is no such transform.
    """
    if name in OLD_NAMES:
        new = OLD_NAMES[name]
        warnings.warn(f"the transform {name} is called {new} since 2.0", DeprecationWarning, stacklevel=3)
        return new
    transform_class(name)
    return name


def transform_class(name: str) -> type[ImedTransform]:
    """The class for a name.

    Args:
        name: A key of `TRANSFORMS`, to which classes can be added, or ``package.module:Class``, which is imported.

    Raises:
        ConfigError: There is no such transform.
    """
    if name in TRANSFORMS:
        return TRANSFORMS[name]
    if ":" not in name:
        raise ConfigError(f"transformation.{name}: no such transform{_nearest(name, TRANSFORMS)}")
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the module's own code raises
        raise ConfigError(
            f"transformation.{name}: cannot be imported ({type(error).__name__}: {error}); expected an importable "
            "package.module:Class; add its folder to PYTHONPATH"
        ) from error
    if not (isinstance(found, type) and issubclass(found, ImedTransform)):
        raise ConfigError(
            f"transformation.{name}: is no transform; expected a subclass of transforms.ImedTransform"
        )
    return found


def build(name: str, arguments: Mapping[str, Any]) -> ImedTransform:
    """Build a transform from its entry in the configuration, ``applied_to`` and ``dataset_type`` left aside.

    Raises:
        ConfigError: Unknown name, unknown or missing argument, or a value out of range.
    """
    cls = transform_class(current_name(name))
    chosen = {k: v for k, v in arguments.items() if k not in _SELECTION}
    # A class without a constructor of its own shows object's (*args, **kwargs).
    known = {} if cls.__init__ is object.__init__ else inspect.signature(cls).parameters
    for key in chosen:
        if key not in known:
            raise ConfigError(f"transformation.{name}.{key}: no such argument{_nearest(key, known)}")
    missing = [k for k, p in known.items() if p.default is p.empty and k not in chosen]
    if missing:
        raise ConfigError(f"transformation.{name}: {', '.join(missing)} must be given")
    return cls(**chosen)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    """Return the tail of an error message: the nearest known name, or all of them."""
    close = difflib.get_close_matches(name, list(known), 1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known: {', '.join(known) or 'none'}"
