"""Memory format of images and weights.

The fastest choice depends on the processor, the number of axes and the network. It is made by a rule, not by timing:
the same configuration, seed and machine must give the same results, and formats differ by rounding. The rule
summarizes the tables of ``testing/benchmarks/bench_cpu.py``, which compares both formats with it. On hardware that was
not measured, trainings use channels last, as PyTorch recommends, and predictions keep the format of the images.
"""

from __future__ import annotations

import torch

_MEASURED = "AVX2"
"""Vector instructions of the processors that were measured, without bfloat16."""

_NARROW = 16
"""Feature maps up to which 2D networks with instance normalization train faster in channels last, by 6 to 21 %; with 32
they are 14 % slower, and those with batch normalization by up to 33 %."""


def channels_last(n_axes: int) -> torch.memory_format:
    """PyTorch's channels-last format of images with two or three axes."""
    return torch.channels_last if n_axes == 2 else torch.channels_last_3d


def trains_channels_last(
    device: torch.device,
    n_axes: int,
    precision: str,
    instance_norm: int | None = None,
    capability: str | None = None,
) -> bool:
    """True if a training is to keep images and weights in the channels-last format.

    Args:
        device: Device of the training.
        n_axes: 2 or 3.
        precision: "32", "bf16" or "16".
        instance_norm: Feature maps of the first stage of a network with instance normalization; None: another network.
        capability: Vector instructions, see ``torch.backends.cpu.get_cpu_capability``; None: those of this processor.
    """
    if n_axes == 3 or precision != "32" or not _is_measured(device, capability):
        return True
    return instance_norm is not None and instance_norm <= _NARROW


def predicts_channels_last(device: torch.device, capability: str | None = None) -> bool:
    """True if a network is to predict in the channels-last format; arguments as of ``trains_channels_last``."""
    return _is_measured(device, capability)


def _is_measured(device: torch.device, capability: str | None) -> bool:
    return device.type == "cpu" and (capability or torch.backends.cpu.get_cpu_capability()) == _MEASURED
