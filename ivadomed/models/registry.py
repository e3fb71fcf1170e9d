"""Networks by name, and the one place where a configuration becomes a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models import classifiers, countception, hemis, residual_unet, unet, unet3d
from ivadomed.models.base import COMMON_KEYS, MODELS, Network
from ivadomed.registry import did_you_mean, parameters

__all__ = ["MODELS", "build_model", "check_arguments", "model_class"]

# Modules of networks of this package, imported to register them.
_ROOM = {module.__name__ for module in (classifiers, countception, hemis, residual_unet, unet, unet3d)}
# What a configuration derives for every class; one of your own takes of it what it has a use for.
_DERIVED_KEYS = frozenset({"in_channel", "is_2d", "out_channel"})


def build_model(name: str, arguments: Mapping[str, Any]) -> Network:
    """Make a model from the model section of a configuration.

    Args:
        name: A key of `MODELS`, or ``package.module:Class`` for a class of your own, which is imported.
        arguments: Constructor arguments, see `check_arguments`.

    Raises:
        ModelError: For an unknown name or argument, or arguments the constructor cannot use.
    """
    accepted = check_arguments(name, arguments)
    try:
        return model_class(name)(**accepted)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{name}: cannot be built from {accepted}: {type(error).__name__}: {error}."
        ) from error


def check_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that the constructor of a model takes.

    Args:
        name: See `build_model`.
        arguments: Arguments; keys that a configuration may hold or derive for any network (`COMMON_KEYS`, for a class
            of your own the channels and dimensions) and this one does not take are left out.

    Raises:
        ModelError: For an unknown name or argument.
    """
    cls = model_class(name)
    known, takes_any = parameters(cls)
    if takes_any and cls.__module__ not in _ROOM:
        return dict(arguments)
    ignorable = _DERIVED_KEYS if ":" in name else COMMON_KEYS
    for key in arguments:
        if key not in known and key not in ignorable:
            hint = did_you_mean(key, sorted({*known, *ignorable}), ";")
            accepted = ", ".join(sorted(known)) or "none"
            raise ModelError(f"{name}: unknown argument {key!r}{hint} It accepts {accepted}.")
    return {key: value for key, value in arguments.items() if key in known}


def model_class(name: str, allow_import: bool = True) -> type[Network]:
    """Class of a name, see `build_model`.

    Args:
        name: A key of `MODELS`, or ``package.module:Class``.
        allow_import: False where the name comes from a file that somebody else wrote; only modules that the user has
            imported already count then.

    Raises:
        ModelError: When there is no such class, or it is no network.
    """
    return _as_network(MODELS.find(name, allow_import))


def _as_network(cls: type[nn.Module]) -> type[Network]:
    """A class itself, or, of a plain ``torch.nn.Module``, one that is a `Network` too: it is given the image."""
    if issubclass(cls, Network):
        return cls
    return type(cls.__name__, (cls, Network), {"__module__": cls.__module__, "__doc__": cls.__doc__})
