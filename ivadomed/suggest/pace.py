"""Floating-point operations per second that training steps reach on this machine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch

from ivadomed.config import load_config
from ivadomed.models.registry import footprint
from ivadomed.training.pace import seconds_per_step

# A residual U-Net as it is suggested on either; small feature maps reach less than large ones.
_FILTERS, _SIDE = {True: 32, False: 12}, {True: 96, False: 48}


@lru_cache(maxsize=1)
def measure_pace(device: torch.device) -> float:
    """Floating-point operations per second of steps of a residual 3D U-Net, measured once per process.

    Args:
        device: Device of the training.
    """
    gpu = device.type != "cpu"
    size = (_SIDE[gpu],) * 3
    model = {
        "name": "ResidualEncoderUnet",
        "is_2d": False,
        "n_filters": _FILTERS[gpu],
        "length_3D": list(size),
    }
    changes: dict[str, Any] = {"default_model": model, "training_parameters.batch_size": 2}
    config = load_config({}, changes)
    seconds = seconds_per_step(config.architecture, config.training_parameters, size, device)
    network = footprint(config.architecture.name, config.architecture.arguments, len(size))
    return network.training_flops(2, size) / seconds
