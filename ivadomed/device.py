"""Where the computation runs and in which precision."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from ivadomed.errors import ConfigError

log = logging.getLogger(__name__)

_CPU_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and ARM names in /proc/cpuinfo


def define_device(gpu_id: int | Sequence[int] | None) -> tuple[bool, torch.device]:
    """Choose the device.

    Args:
        gpu_id: GPU to use (the first of several), or None or an empty list for the CPU.

    Returns:
        Whether CUDA is used, and the device. Without CUDA, Apple's GPU is used when there is one.

    Raises:
        ConfigError: CUDA is there but has no such GPU.
    """
    ids = [] if gpu_id is None else [gpu_id] if isinstance(gpu_id, int) else list(gpu_id)
    if not ids:
        return False, torch.device("cpu")
    if torch.cuda.is_available():
        if not 0 <= ids[0] < torch.cuda.device_count():
            raise ConfigError(
                f"gpu_ids: no GPU {ids[0]}; this machine has {torch.cuda.device_count()}, counted from 0"
            )
        return True, torch.device("cuda", ids[0])
    if torch.backends.mps.is_available():
        return False, torch.device("mps")
    return False, torch.device("cpu")


def fabric_precision(precision: str, device: torch.device) -> str:
    """Translate ``training_parameters.precision`` into Lightning Fabric's name.

    Args:
        precision: "auto", "32", "bf16" or "16". "auto" takes bf16 where the hardware computes in it.
        device: Where the training runs.

    Raises:
        ConfigError: "16" on a CPU, which has no half precision arithmetic.
    """
    if precision == "auto":
        fast = (
            torch.cuda.is_bf16_supported(including_emulation=False)
            if device.type == "cuda"
            else _cpu_has_bf16(device)
        )
        return "bf16-mixed" if fast else "32-true"
    if precision == "16" and device.type == "cpu":
        raise ConfigError('training_parameters.precision: "16" needs a GPU; use "auto", "32" or "bf16"')
    return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[precision]


def _cpu_has_bf16(device: torch.device) -> bool:
    info = Path("/proc/cpuinfo")
    return (
        device.type == "cpu" and info.is_file() and not _CPU_BF16_FLAGS.isdisjoint(info.read_text().split())
    )


CPU_BATCH_VOXELS = 1 << 19
"""Two slices of 512 x 512: on a CPU more at a time are no faster, and their feature maps take gigabytes."""

_GPU_BATCH_VOXELS = 1 << 23


def batch_voxels(device: torch.device) -> int:
    """Most voxels (per channel) that a network predicts at a time."""
    return CPU_BATCH_VOXELS if device.type == "cpu" else _GPU_BATCH_VOXELS


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a device does not suffice.

    The CPU's allocator and Apple's GPU raise plain RuntimeErrors, onnxruntime one of its own.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return any(sign in str(error).lower() for sign in ("out of memory", "can't allocate memory", "bad_alloc"))
