"""How large a network is: parameters, and the memory that a training step takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from ivadomed.models.base import example_inputs
from ivadomed.models.registry import build_model

_PER_PARAMETER = 16
"""Bytes: weight, gradient and the two averages of Adam, in float32."""
_IN_FLIGHT = 1.5
"""Peak of a step over what the forward pass keeps: gradients, work space of convolutions (measured: 1.3 to 1.5)."""


@dataclass(frozen=True)
class Footprint:
    """Size of a network.

    Args:
        parameters: Number of weights.
        bytes_per_voxel: What a forward pass in float32 keeps for the backward pass, per voxel of one sample.
    """

    parameters: int
    bytes_per_voxel: float

    def training_bytes(self, batch_size: int, size: tuple[int, ...]) -> int:
        """Memory of a training step, about.

        Args:
            batch_size: Samples.
            size: Voxels of a sample along each axis.
        """
        kept = self.bytes_per_voxel * batch_size * math.prod(size)
        return round(self.parameters * _PER_PARAMETER + _IN_FLIGHT * kept)


def footprint(name: str, arguments: Mapping[str, Any], n_axes: int) -> Footprint:
    """Build a network, look at one forward pass of a small image, and forget both.

    All that a convolutional network keeps grows with the number of voxels, so a small image tells about large ones.
    The generator of random numbers is left as it was.

    Args:
        name: See `build_model`.
        arguments: Of its constructor.
        n_axes: 2 or 3.

    Raises:
        ModelError: The network cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        model = build_model(name, arguments).train()
        channels = len(arguments["contrasts"]) if "contrasts" in arguments else arguments.get("in_channel", 1)
        size = model.example_size(n_axes)
        # Two samples: batch normalisation has nothing to normalise in a single one of one voxel.
        batch = example_inputs(model, (2, channels, *size))
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # a node that keeps its own output, with its history, is never freed

        with saved_tensors_hooks(keep, lambda tensor: tensor):
            output = model(*model.inputs(batch))
        total = sum(count for pointer, count in kept.items() if pointer not in weights)
        del output
    return Footprint(sum(p.numel() for p in model.parameters()), total / (2 * math.prod(size)))
