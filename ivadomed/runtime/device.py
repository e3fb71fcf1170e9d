"""Where the computation runs and in which precision."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path

import torch

from ivadomed.errors import ConfigError
from ivadomed.runtime.ranks import World

log = logging.getLogger(__name__)

_CPU_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and ARM names in /proc/cpuinfo


def define_device(gpu_id: int | Sequence[int] | None) -> tuple[bool, torch.device]:
    """Choose the device.

    Args:
        gpu_id: GPU to use (the first available one of several), or None or an empty list for the CPU.

    Returns:
        Whether CUDA is used, and the device. Without CUDA, Apple's GPU is used when there is one. A GPU that the
        machine does not have means the CPU, as in ivadomed 2.9.10; ``warn_of_absent_gpus`` says so.
    """
    ids = [] if gpu_id is None else [int(gpu_id)] if isinstance(gpu_id, int | Integral) else list(gpu_id)
    if not ids:
        return False, torch.device("cpu")
    if torch.cuda.is_available():
        there = present_gpus(ids)
        return (True, torch.device("cuda", there[0])) if there else (False, torch.device("cpu"))
    if torch.backends.mps.is_available():
        return False, torch.device("mps")
    return False, torch.device("cpu")


def present_gpus(gpu_ids: Sequence[int]) -> tuple[int, ...]:
    """Those of the GPUs that this machine has; Apple's one, which has no number, stands for any."""
    if torch.cuda.is_available():
        return tuple(index for index in gpu_ids if 0 <= index < torch.cuda.device_count())
    return tuple(gpu_ids) if torch.backends.mps.is_available() else ()


def chosen_device(gpu_id: int | None) -> torch.device:
    """The device for a GPU that a caller names; one that is not there gets a warning.

    0, the default of many callers, means the CPU where there is no GPU.
    """
    if gpu_id is not None and (gpu_id != 0 or torch.cuda.is_available()):
        warn_of_absent_gpus([gpu_id], "gpu_id")
    return define_device(gpu_id)[1]


def warn_of_absent_gpus(gpu_ids: Sequence[int], name: str = "gpu_ids") -> None:
    """Say which of the GPUs to use this machine does not have, and what is used in their place.

    Args:
        gpu_ids: Their numbers.
        name: Key or argument that gives them.
    """
    there = present_gpus(gpu_ids)
    if len(there) == len(gpu_ids):
        return
    if not torch.cuda.is_available():
        given = gpu_ids[0] if name == "gpu_id" else list(gpu_ids)
        log.warning("%s: %s, but CUDA is not available: working on the CPU.", name, given)
        return
    where = f"GPU {', '.join(map(str, there))}" if there else "the CPU"
    absent = [index for index in gpu_ids if index not in there]
    log.warning("%s: %s: working on %s.", name, _absence(*absent), where)


def _absence(*indices: int) -> str:
    names = ", ".join(map(str, indices))
    return f"no GPU {names}; this machine has {torch.cuda.device_count()}, counted from 0"


def cuda(
    input_var: torch.Tensor | list[torch.Tensor], cuda_available: bool = True, non_blocking: bool = False
) -> torch.Tensor | list[torch.Tensor]:
    """Move a tensor, or each of a list, to the current CUDA device.

    Args:
        input_var: The tensor or tensors.
        cuda_available: False: return what was given.
        non_blocking: Do not wait for copies from page-locked memory.
    """
    if not cuda_available:
        return input_var
    if isinstance(input_var, list):
        return [x.to("cuda", non_blocking=non_blocking) for x in input_var]
    return input_var.to("cuda", non_blocking=non_blocking)


def training_devices(gpu_ids: Sequence[int], world: World) -> tuple[torch.device, ...]:
    """The devices that a training uses on this machine, one per process.

    Args:
        gpu_ids: GPUs to use; empty: the CPU.
        world: The processes that were started from outside; when that is one, there is a device for each GPU.

    Raises:
        ConfigError: A GPU is listed twice, or there is not one for each process.
    """
    cuda, first = define_device(gpu_ids)
    if not cuda:
        if first.type == "mps" and world.size > 1:
            raise ConfigError("gpu_ids: Apple's GPU serves one process; start the training without torchrun")
        return (first,) * world.local_size
    if len(set(gpu_ids)) < len(gpu_ids):
        raise ConfigError(f"gpu_ids: {list(gpu_ids)} lists a GPU twice")
    there = present_gpus(gpu_ids)
    if world.size > 1 and len(there) < len(gpu_ids) and len(there) != world.local_size:
        raise ConfigError(f"gpu_ids: {_absence(*(index for index in gpu_ids if index not in there))}")
    devices = tuple(torch.device("cuda", index) for index in there)
    if world.size == 1 or len(devices) == world.local_size:
        return devices
    if (
        len(devices) == 1 and torch.cuda.device_count() == 1
    ):  # each process was given a GPU that it alone sees
        return devices * world.local_size
    raise ConfigError(
        f"gpu_ids: lists {len(devices)} GPU(s), but {world.local_size} processes were started on this machine; list "
        "one GPU for each"
    )


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


@contextmanager
def fixed_shapes(device: torch.device) -> Iterator[None]:
    """Context in which convolutions see the same shapes over and over: a CUDA GPU tries which algorithm is quickest.

    Args:
        device: Where they are computed.
    """
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


_CPU_BATCH_VALUES = 1 << 23
"""Values of the largest feature maps of a batch that is predicted on a CPU, 32 MB: more samples at a time are no
faster, fewer load the weights of the deep levels more often (``testing/benchmarks/bench_cpu.py``)."""

_GPU_BATCH_VOXELS = 1 << 23
_USUAL_FILTERS = 16


def batch_voxels(device: torch.device, n_filters: int | None = None) -> int:
    """Most voxels (per channel) that a network predicts at a time.

    Args:
        device: Device of the network.
        n_filters: Feature maps of its first convolution; None: not known.
    """
    if device.type != "cpu":
        return _GPU_BATCH_VOXELS
    return max(1, _CPU_BATCH_VALUES // (n_filters or _USUAL_FILTERS))


_SHARE_OF_FREE = 4
"""Part of the free memory of a GPU that one volume may take; the rest is for feature maps."""


def has_room(device: torch.device, n_bytes: int) -> bool:
    """True if a volume of this size may lie on a device next to the feature maps of a network.

    On a CPU this is the business of ``check_memory``. Apple's GPU has no memory of its own: volumes stay where they
    are.
    """
    if device.type != "cuda":
        return device.type == "cpu"
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return n_bytes * _SHARE_OF_FREE <= free + unused


_HALF_CAPABILITY = (7, 0)
"""CUDA devices that compute in half precision faster than in float32 (tensor cores)."""


def predicts_in_half(device: torch.device, precision: str) -> bool:
    """True if a network is to predict in half precision (fp16), which changes masks by less than 0.001 Dice.

    bf16, with 8 bits instead of 11, changes some by more (``docs/inference.md``).

    Args:
        device: Device of the network.
        precision: ``training_parameters.precision`` of the network; "32" keeps float32.
    """
    return (
        device.type == "cuda"
        and precision != "32"
        and torch.cuda.get_device_capability(device) >= _HALF_CAPABILITY
    )
