"""Models by name, and the one place where a configuration becomes a network."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models.base import COMMON_KEYS, Network, did_you_mean
from ivadomed.models.classifiers import densenet121, resnet18
from ivadomed.models.countception import Countception
from ivadomed.models.hemis import HeMISUnet
from ivadomed.models.residual_unet import ResidualEncoderUnet
from ivadomed.models.unet import FiLMedUnet, Unet
from ivadomed.models.unet3d import Modified3DUNet, UNet3D

MODELS: dict[str, type[Network]] = {
    "Countception": Countception,
    "FiLMedUnet": FiLMedUnet,
    "HeMISUnet": HeMISUnet,
    "Modified3DUNet": Modified3DUNet,
    "ResidualEncoderUnet": ResidualEncoderUnet,
    "UNet3D": UNet3D,
    "Unet": Unet,
    "densenet121": densenet121,
    "resnet18": resnet18,
}

# What a configuration derives for every class; one of your own takes of it what it has a use for.
DERIVED_KEYS = frozenset({"in_channel", "is_2d", "out_channel"})


def build_model(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Make a model from the model section of a configuration.

    Args:
        name: A key of `MODELS`, or ``package.module:Class`` for a class of your own, which is imported.
        arguments: Constructor arguments, see `check_arguments`.

    Raises:
        ModelError: For an unknown name or argument, or arguments the constructor cannot use.
    """
    cls = model_class(name)
    accepted = check_arguments(name, arguments)
    try:
        return cls(**accepted)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{name}: cannot be built from {accepted}: {_text(error)}.") from error


def check_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the constructor of a model takes.

    Args:
        name: See `build_model`.
        arguments: Arguments; keys of `COMMON_KEYS` (`DERIVED_KEYS` for a class of your own) that the model does
            not take are left out.

    Raises:
        ModelError: For an unknown name or argument.
    """
    accepted = accepted_arguments(model_class(name))
    if accepted is None:
        return dict(arguments)
    ignorable = DERIVED_KEYS if ":" in name else COMMON_KEYS
    for key in arguments:
        if key not in accepted and key not in ignorable:
            hint = did_you_mean(str(key), sorted(accepted | ignorable))
            raise ModelError(
                f"{name}: unknown argument {key!r}; {hint}It accepts {', '.join(sorted(accepted)) or 'none'}."
            )
    return {key: value for key, value in arguments.items() if key in accepted}


def model_class(name: str, allow_import: bool = True) -> type[Network]:
    """The class for `name`, see `build_model`.

    Args:
        name: A key of `MODELS`, or ``package.module:Class``.
        allow_import: Whether the module of a foreign class may be imported; where the name comes from a file
            that somebody else wrote, only modules the user has imported already count.

    Raises:
        ModelError: When there is no such class, or it is not a model.
    """
    if name in MODELS:
        return MODELS[name]
    if ":" not in name:
        raise ModelError(
            f"Unknown model {name!r}; {did_you_mean(name, MODELS)}Known: {', '.join(MODELS)}, "
            "or package.module:Class for your own."
        )
    module_name, _, class_name = name.partition(":")
    if not allow_import and module_name not in sys.modules:
        raise ModelError(
            f"Model {name!r} is not a class of ivadomed, and a model file is not allowed to import one; "
            f"if you trust it, `import {module_name}` before you load the file."
        )
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except Exception as error:  # whatever the module's own code raises
        raise ModelError(
            f"Model {name!r}: {_text(error)}; expected an importable package.module:Class. Install the module "
            "or add its folder to PYTHONPATH."
        ) from error
    if not (isinstance(cls, type) and issubclass(cls, Network)):
        raise ModelError(
            f"Model {name!r} is no network; expected a subclass of ivadomed.models.Network, which is a "
            "torch.nn.Module that says what it needs of a batch."
        )
    return cls


def _text(error: Exception) -> str:
    """What an error of foreign code says; its own message may be just a name."""
    return f"{type(error).__name__}: {error}"


def accepted_arguments(cls: type[Network]) -> set[str] | None:
    """Names the constructor of a model takes; None when a foreign class takes any.

    The ``**kwargs`` of our own classes stand for the base's arguments and for `COMMON_KEYS`.
    """
    names: set[str] = set()
    given: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        if base is nn.Module:
            break
        parameters = list(inspect.signature(base).parameters.values())
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        given |= _FIXED.get(base.__name__, set()) if base.__module__.startswith(_PACKAGE) else set()
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            return names - given
    return names - given if cls.__module__.startswith(_PACKAGE) else None


_PACKAGE = "ivadomed.models."
_FIXED: dict[str, set[str]] = {
    "resnet18": {"block", "layers"},
    "densenet121": {"growth_rate", "block_config", "num_init_features"},
}
