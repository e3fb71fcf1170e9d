"""What a process that makes calls has to itself: threads and a GPU."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from ivadomed.errors import MachineError


@dataclass
class _Own:
    """Of this process: its place among those that make calls, None in the process that asks for them."""

    threads: int | None = None
    gpu: FileLock | None = None
    is_worker: bool = False


_OWN = _Own()


@dataclass(frozen=True)
class GpuQueue:
    """The free GPUs: a lock of the kernel for each, which goes with the process that holds it.

    Args:
        devices: ``CUDA_VISIBLE_DEVICES`` that shows just this GPU, of each.
        folder: Where the locks are.
    """

    devices: tuple[str, ...]
    folder: Path

    def take(self) -> tuple[FileLock, str]:
        """The first free GPU.

        Raises:
            MachineError: Other processes have all of them.
        """
        for number, device in enumerate(self.devices):
            lock = FileLock(self.folder / f"gpu-{number}.lock", thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return lock, device
        raise MachineError(f"no GPU is free among {', '.join(self.devices)}")


@cache
def gpu_queue(devices: tuple[str, ...]) -> GpuQueue | None:
    """The queue of this process; the workers that it asks keep their GPU from one series of calls to the next."""
    if not devices:
        return None
    folder = tempfile.mkdtemp(prefix="ivadomed-gpus-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return GpuQueue(devices, Path(folder))


def take_place(threads: int, gpus: GpuQueue | None = None) -> None:
    """Settle this process, for as long as it lives: what a library has once set up on a GPU stays there.

    Args:
        threads: Of PyTorch.
        gpus: Where to take one; None: none.

    Raises:
        MachineError: Other processes have all the GPUs.
    """
    if gpus is not None and _OWN.gpu is None:
        _OWN.gpu, os.environ["CUDA_VISIBLE_DEVICES"] = gpus.take()
    _OWN.is_worker = True
    if _OWN.threads != threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # for a PyTorch that is loaded later
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        _OWN.threads = threads


def own_gpus(gpu_ids: Sequence[int]) -> tuple[int, ...]:
    """The one GPU of ``gpu_ids`` that a call may use: a worker sees just its own, as number 0."""
    return tuple(gpu_ids[:1]) if not _OWN.is_worker else (0,) * bool(gpu_ids)


def own_threads() -> int | None:
    """Threads of this process; None where it does not share the machine with other workers."""
    return _OWN.threads
