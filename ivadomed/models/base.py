"""Base classes of the networks: their interface beyond ``forward``, and the registry of networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from ivadomed.errors import ModelError
from ivadomed.registry import Registry, did_you_mean, parameters
from ivadomed.registry.types import STRICT, WHOLE, Doc, Fraction, Ge, Le, Lt, Positive, Real

MODELS: Registry[type[nn.Module]] = Registry(
    nn.Module,
    place="Model {name!r}",
    unknown="Unknown model {name!r}",
    no_argument="{name}: unknown argument {key!r}",
    expected="network; expected a subclass of ivadomed.models.Network or of torch.nn.Module",
    error=ModelError,
)
"""Networks by name; `ivadomed.models.registry` imports all of this package."""
network = MODELS.register

# Constructor arguments shared by several networks; those with a Doc are keys of the configuration.
Depth = Annotated[Positive, Doc("Number of downsampling steps (> 0).", 4)]
Dropout = Annotated[Real, Ge(0), Lt(1), Doc("Probability (0 to < 1) of dropout.", 0.2)]
Momentum = Annotated[Fraction, Doc("Momentum (0 to 1) of batch normalization.", 0.4)]
Activation = Annotated[
    Literal["sigmoid", "relu", "softmax"],
    Doc("Last layer: `sigmoid`, `softmax`, or `relu` (normalized to 0..1)."),
]
Filters = Annotated[
    Positive,
    Doc(
        "Filters of the first convolution (> 0), doubled per level. null: 64, in 3D U-Nets 16, in "
        "ResidualEncoderUnet 32.",
        32,
    ),
]
Switch = Annotated[int, STRICT, Ge(0), Le(1), WHOLE]

# Keys that a model section of a configuration may contain although some or all models ignore them.
COMMON_KEYS = frozenset(
    (
        *("applied", "attention", "bn_momentum", "contrasts", "csv_path", "depth", "dropout_rate"),
        *("film_layers", "film_onehotencoder", "final_activation", "folder_name", "hdf5_path", "in_channel"),
        *("is_2d", "length_2D", "length_3D", "metadata", "missing_probability", "missing_probability_growth"),
        *("multichannel", "n_filters", "n_metadata", "name", "out_channel", "path_hdf5", "ram", "roi_lst"),
        *("stride_2D", "stride_3D", "target_lst"),
    )
)


class ModelBatch(Protocol):
    """The part of a batch that a network may access.

    Attributes:
        image: ``[B, C, H, W]`` or ``[B, C, H, W, D]``, normalized intensities.
        condition: Vector that the prediction is conditioned on: metadata ``[B, n_metadata]`` for FiLM, present
            contrasts ``[B, n_contrasts]`` for HeMIS, None for other networks.
    """

    @property
    def image(self) -> Tensor: ...

    @property
    def condition(self) -> Tensor | None: ...


class Network(nn.Module):
    """A network that extracts its forward arguments from a batch.

    The training loop and the prediction engine call ``model(*model.inputs(batch))`` for every network.

    Attributes:
        channels_last: Allow the channels-last memory format, which is faster for most networks.
        instance_norm: Whether layers are normalized by sample (`blocks.InstanceNorm2d`).
    """

    channels_last: ClassVar[bool] = True
    instance_norm: ClassVar[bool] = False

    @classmethod
    def refuse_unknown(cls, given: Iterable[str]) -> None:
        """Raise for arguments that no network has; keys of the model section of a configuration are accepted.

        Args:
            given: Names of the arguments that a constructor does not use.

        Raises:
            TypeError: One of them is probably misspelled.
        """
        for name in given:
            if name not in COMMON_KEYS:
                known = list(parameters(cls)[0])
                hint = did_you_mean(name, known, f"; it accepts {', '.join(known)}")
                raise TypeError(f"{cls.__name__}() has no argument {name!r}{hint}")

    def inputs(self, batch: ModelBatch) -> tuple[Any, ...]:
        """Forward arguments for `batch`: only the image, unless a subclass needs more."""
        return (batch.image,)

    def condition_input(self) -> tuple[str, int] | None:
        """Name and length of the condition vector per image, as used in exported files.

        None for networks that need only the image.
        """
        return None

    def example_size(self, n_axes: int) -> tuple[int, ...]:
        """Voxels per axis of a small image that the network can segment."""
        return (32,) * n_axes

    @classmethod
    def size_fault(cls, size: Sequence[int], arguments: Mapping[str, Any]) -> str | None:
        """Reason why samples are too small for training, or None.

        Args:
            size: Voxels of a sample along each axis.
            arguments: Constructor arguments.
        """
        return None


class PoolingNetwork(Network):
    """A network that halves its samples `depth` times, which sets their minimum size."""

    depth: int

    def example_size(self, n_axes: int) -> tuple[int, ...]:
        """Two voxels at the bottom, at least 32."""
        return (max(32, 2 ** (self.depth + 1)),) * n_axes

    @classmethod
    def size_fault(cls, size: Sequence[int], arguments: Mapping[str, Any]) -> str | None:
        """Each pooling halves the sample, so it needs 2 ** depth voxels along each axis."""
        depth = arguments.get("depth", 3)
        return None if min(size) >= 2**depth else f"depth {depth} requires {2**depth} voxels along each axis"


@dataclass(frozen=True, eq=False)
class Inputs:
    """The smallest `ModelBatch`."""

    image: Tensor
    condition: Tensor | None = None


def example_inputs(model: Network, shape: Sequence[int]) -> Inputs:
    """Random inputs of a network, identical in every call.

    Args:
        model: The network.
        shape: Image shape, ``[B, C, ...]``. Every other entry of a condition is 1, shifted from sample to sample.
    """
    image = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    wanted = model.condition_input()
    if wanted is None:
        return Inputs(image)
    row = torch.arange(wanted[1]) % 2 == 0
    return Inputs(image, torch.stack([row.roll(sample) for sample in range(shape[0])]).float())
