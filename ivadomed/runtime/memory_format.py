"""Memory format of images and weights, and number of samples per call of a network.

The fastest choice depends on the processor, the number of axes and the sizes. It is made by a rule, not by timing:
the same configuration, seed and machine must give the same results, and formats differ by rounding. The rule
summarizes the tables of ``testing/benchmarks/bench_cpu.py``, which compares all choices with it. On hardware that was
not measured, trainings use channels last, as PyTorch recommends, and predictions keep the format of the images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

_MEASURED = "AVX2"
"""Vector instructions of the processors that were measured, without bfloat16."""

_CALL_VALUES = {2: 1_600_000, 3: 3_500_000}
"""Values of the first feature maps of all samples of a call, which caches should hold, by the number of axes.

Deep levels of 3D networks have few voxels: several samples at a time share the loading of their weights.
"""


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
    return max(1, _CALL_VALUES[len(size)] // (n_filters * math.prod(size)))


def _is_measured(device: torch.device, capability: str | None) -> bool:
    return device.type == "cpu" and (capability or torch.backends.cpu.get_cpu_capability()) == _MEASURED
