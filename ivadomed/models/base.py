"""What every network of the package offers beyond ``forward``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn


class ModelBatch(Protocol):
    """The part of a batch a network may ask for.

    Attributes:
        image: ``[B, C, H, W]`` or ``[B, C, H, W, D]``, normalised intensities.
        condition: What the prediction is conditioned on: metadata ``[B, n_metadata]`` for FiLM, present
            contrasts ``[B, n_contrasts]`` for HeMIS, None for other networks.
    """

    @property
    def image(self) -> Tensor: ...

    @property
    def condition(self) -> Tensor | None: ...


class Network(nn.Module):
    """A network that knows how to read its forward arguments off a batch.

    The training loop and the prediction engine call ``model(*model.inputs(batch))`` for all of them.

    Attributes:
        channels_last: Whether the channels-last memory format may be used; it is faster for most networks.
    """

    channels_last: ClassVar[bool] = True

    def inputs(self, batch: ModelBatch) -> tuple[Any, ...]:
        """Forward arguments for `batch`: the image alone, unless a subclass needs more."""
        return (batch.image,)

    def condition_input(self) -> tuple[str, int] | None:
        """Name and length of the vector per image that the network needs beside it, in files that export it.

        None for networks that need the image only.
        """
        return None

    def example_size(self, n_axes: int) -> tuple[int, ...]:
        """Voxels per axis of a small image the network can segment."""
        return (32,) * n_axes

    @classmethod
    def size_fault(cls, size: Sequence[int], arguments: Mapping[str, Any]) -> str | None:
        """Why samples are too small to be trained on, or None.

        Args:
            size: Voxels of a sample along each axis.
            arguments: Of the constructor.
        """
        return None


@dataclass(frozen=True, eq=False)
class Inputs:
    """The smallest `ModelBatch`."""

    image: Tensor
    condition: Tensor | None = None


def example_inputs(model: Network, shape: Sequence[int]) -> Inputs:
    """Random inputs of a network, the same in every call.

    Args:
        model: The network.
        shape: Of the image, ``[B, C, ...]``. Of a condition every other entry is 1, shifted from sample to sample.
    """
    image = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    wanted = model.condition_input()
    if wanted is None:
        return Inputs(image)
    row = torch.arange(wanted[1]) % 2 == 0
    return Inputs(image, torch.stack([row.roll(sample) for sample in range(shape[0])]).float())


def pooling_fault(size: Sequence[int], depth: int) -> str | None:
    """See `Network.size_fault`, of a network that halves its samples `depth` times."""
    least = 2**depth
    return None if min(size) >= least else f"depth {depth} takes {least} voxels along each axis"
