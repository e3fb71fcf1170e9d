"""Floating-point operations per second of training steps on this machine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from ivadomed.config import load_config
from ivadomed.models.registry import footprint
from ivadomed.training.pace import seconds_per_step

_SIDE = {True: {2: 256, 3: 96}, False: {2: 192, 3: 48}}
_BATCH = {True: {2: 8, 3: 2}, False: {2: 2, 3: 2}}
_BLOCKS = {2: [1, 2, 2, 2, 2], 3: [1, 2, 2, 2]}
_SECONDS = 1.0


@lru_cache
def measure_pace(device: torch.device, n_axes: int, n_filters: int) -> float:
    """Floating-point operations per second of training steps for a network width, measured once per process.

    Narrow networks reach fewer than wide ones: processors compute several feature maps at a time, and the layers
    between convolutions take a larger part of the time.

    Args:
        device: Device of the training.
        n_axes: 2 for slices, 3 for volumes.
        n_filters: Feature maps of the first stage.
    """
    gpu = device.type != "cpu"
    size, batch = (_SIDE[gpu][n_axes],) * n_axes, _BATCH[gpu][n_axes]
    model: dict[str, Any] = {"name": "ResidualEncoderUnet", "is_2d": n_axes == 2, "n_filters": n_filters}
    model |= {"n_blocks": _BLOCKS[n_axes], "depth": len(_BLOCKS[n_axes]) - 1}
    model |= {f"length_{n_axes}D": list(size)}
    changes = {"default_model": model, "training_parameters.batch_size": batch}
    config = load_config({}, changes)
    seconds = seconds_per_step(config.architecture, config.training_parameters, size, device, _SECONDS)
    network = footprint(config.architecture.name, config.architecture.arguments, n_axes)
    return network.training_flops(batch, size) / seconds
