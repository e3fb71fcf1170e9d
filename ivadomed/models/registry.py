"""Networks by name: build a network from a configuration, and estimate its size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ivadomed.errors import ModelError
from ivadomed.models import classifiers, countception, hemis, residual_unet, unet, unet3d
from ivadomed.models.base import COMMON_KEYS, MODELS, Network, example_inputs
from ivadomed.registry import did_you_mean, parameters

# Network modules of this package, imported to register them.
_ROOM = {module.__name__ for module in (classifiers, countception, hemis, residual_unet, unet, unet3d)}
# Arguments that a configuration derives for any class; a custom class receives those it accepts.
_DERIVED_KEYS = frozenset({"in_channel", "is_2d", "out_channel"})
_PER_PARAMETER = 16
"""Bytes per parameter: weight, gradient and the two averages of Adam, in float32."""
_IN_FLIGHT = 1.5
"""Peak memory of a step relative to the saved activations: gradients, convolution workspace (measured: 1.3 to 1.5)."""


def build_model(name: str, arguments: Mapping[str, Any]) -> Network:
    """Build a model from the model section of a configuration.

    Args:
        name: A key of `MODELS`, or ``package.module:Class`` for a custom class, which is imported.
        arguments: Constructor arguments, see `check_arguments`.

    Raises:
        ModelError: Unknown name or argument, or arguments that the constructor rejects.
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
    """Select the arguments accepted by the constructor of a model.

    Args:
        name: See `build_model`.
        arguments: Arguments; keys that a configuration may contain or derive for any network (`COMMON_KEYS`; for a
            custom class, channels and dimensions) but that this one does not accept are dropped.

    Raises:
        ModelError: Unknown name or argument.
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
    """Class for a name, see `build_model`.

    Args:
        name: A key of `MODELS`, or ``package.module:Class``.
        allow_import: False if the name comes from an untrusted file; only modules that the user has already imported
            are then considered.

    Raises:
        ModelError: The class does not exist, or is not a network.
    """
    return _as_network(MODELS.find(name, allow_import))


def _as_network(cls: type[nn.Module]) -> type[Network]:
    """Return the class, or, for a plain ``torch.nn.Module``, a subclass that is also a `Network` on the image only."""
    if issubclass(cls, Network):
        return cls
    return type(cls.__name__, (cls, Network), {"__module__": cls.__module__, "__doc__": cls.__doc__})


@dataclass(frozen=True)
class Footprint:
    """Size of a network.

    Args:
        parameters: Number of weights.
        bytes_per_voxel: Memory that a float32 forward pass saves for the backward pass, per voxel of one sample.
        flops_per_voxel: Floating-point operations of a forward pass, per voxel of one sample.
    """

    parameters: int
    bytes_per_voxel: float
    flops_per_voxel: float = 0.0

    def training_bytes(self, batch_size: int, size: tuple[int, ...]) -> int:
        """Approximate memory of a training step.

        Args:
            batch_size: Samples.
            size: Voxels of a sample along each axis.
        """
        kept = self.bytes_per_voxel * batch_size * math.prod(size)
        return round(self.parameters * _PER_PARAMETER + _IN_FLIGHT * kept)

    def training_flops(self, batch_size: int, size: tuple[int, ...]) -> float:
        """Floating-point operations of a training step: the backward pass has twice those of the forward pass.

        Args:
            batch_size: Samples.
            size: Voxels of a sample along each axis.
        """
        return 3 * self.flops_per_voxel * batch_size * math.prod(size)


def footprint(name: str, arguments: Mapping[str, Any], n_axes: int) -> Footprint:
    """Build a network, measure one forward pass of a small image, and discard both.

    The memory of a convolutional network scales with the number of voxels, so a small image predicts large ones.
    The state of the random number generator is preserved.

    Args:
        name: See `build_model`.
        arguments: Constructor arguments.
        n_axes: 2 or 3.

    Raises:
        ModelError: The network cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        model = build_model(name, arguments).train()
        channels = len(arguments["contrasts"]) if "contrasts" in arguments else arguments.get("in_channel", 1)
        size = model.example_size(n_axes)
        # Two samples: batch normalization cannot normalize a single sample of one voxel.
        batch = example_inputs(model, (2, channels, *size))
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # a node that holds its own output, with its history, is never freed

        counter = FlopCounterMode(display=False)
        with saved_tensors_hooks(keep, lambda tensor: tensor), counter:
            output = model(*model.inputs(batch))
        total = sum(count for pointer, count in kept.items() if pointer not in weights)
        del output
    voxels = 2 * math.prod(size)
    weights_in_all = sum(p.numel() for p in model.parameters())
    return Footprint(weights_in_all, total / voxels, counter.get_total_flops() / voxels)
