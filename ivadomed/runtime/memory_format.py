"""Memory format of images and weights, and the number of samples that a network predicts at a time.

Which is fastest depends on the processor, the axes and the sizes. What is here is a rule, not a stopwatch: the same
configuration, seed and machine must give the same numbers, and formats differ by roundings. The rule follows from the
tables of ``testing/benchmarks/bench_cpu.py``, which shows every choice beside that of the rule. Where nothing was
measured it is what PyTorch's documentation advises for training, channels last, and what needs no copies for
prediction, the format that images come in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

_MEASURED = "AVX2"
"""Vector instructions of the processors that were measured, without bfloat16."""

_CALL_VALUES = 1 << 20
"""Values of the feature maps of the first level, of all samples of a call: 4 MB, which a cache holds."""


def channels_last(n_axes: int) -> torch.memory_format:
    """PyTorch's channels-last format of images with two or three axes."""
    return torch.channels_last if n_axes == 2 else torch.channels_last_3d


def trains_channels_last(
    device: torch.device, n_axes: int, precision: str, capability: str | None = None
) -> bool:
    """True if a training is to keep images and weights in the channels-last format.

    Args:
        device: Device of the training.
        n_axes: 2 or 3.
        precision: "32", "bf16" or "16".
        capability: Vector instructions, see ``torch.backends.cpu.get_cpu_capability``; None: those of this processor.
    """
    return n_axes == 3 or precision != "32" or not _is_measured(device, capability)


def predicts_channels_last(device: torch.device, capability: str | None = None) -> bool:
    """True if a network is to predict in the channels-last format; arguments as of ``trains_channels_last``."""
    return _is_measured(device, capability)


def samples_per_call(
    device: torch.device, n_filters: int, size: Sequence[int], capability: str | None = None
) -> int | None:
    """Samples that a network is to predict at a time; None: as many as there are.

    Args:
        device: Device of the network.
        n_filters: Feature maps of its first convolution.
        size: Voxels of a sample along each axis.
        capability: As of ``trains_channels_last``.
    """
    if not _is_measured(device, capability):
        return None
    return max(1, _CALL_VALUES // (n_filters * math.prod(size)))


def _is_measured(device: torch.device, capability: str | None) -> bool:
    return device.type == "cpu" and (capability or torch.backends.cpu.get_cpu_capability()) == _MEASURED
