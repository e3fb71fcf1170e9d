"""What "auto" stands for in the parameters of a training, which depends on the hardware."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.training.memory_format import resolve_channels_last
from ivadomed.training.number_format import resolve_precision


def resolve_parameters(
    params: TrainingParameters,
    device: torch.device,
    architecture: Architecture,
    size: Sequence[int],
    resumed: Path | None = None,
) -> TrainingParameters:
    """Parameters with the ``precision`` and ``channels_last`` of a training on a device.

    Args:
        params: The ``training_parameters`` section.
        device: Device of the training.
        architecture: Network and its arguments.
        size: Voxels of a sample along each axis.
        resumed: Folder of a run to resume; None: a new one.

    Raises:
        ConfigError: See ``resolve_precision``.
        ModelError: See ``resolve_channels_last``.
    """
    precision = resolve_precision(params.precision, device, architecture, size, params.batch_size)
    last = resolve_channels_last(params.channels_last, device, len(size), precision, architecture, resumed)
    return params.model_copy(update={"precision": precision, "channels_last": last})
