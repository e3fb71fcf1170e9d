"""The memory format of a training."""

from __future__ import annotations

from pathlib import Path

import torch

from ivadomed.config.run_files import CHECKPOINT
from ivadomed.config.schema.run import Architecture
from ivadomed.models.registry import model_class
from ivadomed.models.sizing import N_FILTERS
from ivadomed.runtime.memory_format import trains_channels_last
from ivadomed.training.checkpoint import read_checkpoint


def resolve_channels_last(
    wanted: bool | str,
    device: torch.device,
    n_axes: int,
    precision: str,
    architecture: Architecture,
    resumed: Path | None = None,
) -> bool:
    """What "auto" stands for here; a training that is resumed, perhaps on another machine, keeps its format.

    Args:
        wanted: ``training_parameters.channels_last``.
        device: Device of the training.
        n_axes: Axes of a sample, 2 or 3.
        precision: See ``resolve_precision``.
        architecture: Network and its arguments.
        resumed: Folder of a run to resume; None: a new one.

    Raises:
        ModelError: There is no usable checkpoint to resume from.
    """
    if isinstance(wanted, bool):
        return wanted
    kept = None if resumed is None else read_checkpoint(resumed / CHECKPOINT).get("channels_last")
    if kept is not None:
        return bool(kept)
    normalizes_instances = model_class(architecture.name).instance_norm
    width = architecture.arguments.get("n_filters", N_FILTERS) if normalizes_instances else None
    return trains_channels_last(device, n_axes, precision, width)


def memory_format_text(channels_last: bool | str, wanted: bool | str) -> str:
    """The memory format in words; what "auto" takes differs between machines, and so do roundings."""
    name = "channels last" if channels_last else "contiguous"
    return f"{name} (auto)" if wanted == "auto" else name
