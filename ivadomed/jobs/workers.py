"""Workers that make calls: processes of this machine or a cluster, and the threads and GPU that each of them has."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from ivadomed.errors import ConfigError, MachineError
from ivadomed.runtime.memory import available_cores


@dataclass(frozen=True)
class Workers:
    """Processes that make calls.

    Args:
        n_jobs: Processes; with 1 the calls are made in this process, one after the other.
        cluster: Address of a Dask scheduler (``tcp://host:8786``) or path of its scheduler file; None: this machine.
        gpus: ``CUDA_VISIBLE_DEVICES`` of each process of this machine; empty when they compute on the CPU.

    Raises:
        ConfigError: There is no process, or there are more than GPUs.
    """

    n_jobs: int = 1
    cluster: str | None = None
    gpus: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.n_jobs < 1:
            raise ConfigError(f"--jobs: {self.n_jobs}; expected 1 or more")
        if self.gpus and self.n_jobs > len(self.gpus):
            raise ConfigError(
                f"--jobs: {self.n_jobs} processes, but gpu_ids lists {len(self.gpus)} GPU(s), each for one process"
            )

    @property
    def here(self) -> bool:
        """True when the calls are made in this process."""
        return self.cluster is None and self.n_jobs == 1

    @property
    def portions(self) -> int:
        """Number of parts to cut work into that has a cost to begin with: a few for each worker, to even out."""
        return 4 * self.n_jobs if self.cluster is None else 64

    @property
    def threads(self) -> int:
        """Threads of each process of this machine: its share of the cores, at most ``OMP_NUM_THREADS``."""
        share = max(1, available_cores() // self.n_jobs)
        limit = os.environ.get("OMP_NUM_THREADS", "")
        return min(share, int(limit)) if limit.isdigit() and int(limit) else share


ONE = Workers()
"""This process."""


def visible_gpus(gpu_ids: Sequence[int], environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """``CUDA_VISIBLE_DEVICES`` that shows a process just one GPU, for each GPU.

    Args:
        gpu_ids: Numbers of the configuration, which count the GPUs that this process sees.
        environment: Its ``CUDA_VISIBLE_DEVICES`` says which these are.

    Raises:
        ConfigError: This process sees no such GPU.
    """
    if "CUDA_VISIBLE_DEVICES" not in environment:
        return tuple(map(str, gpu_ids))
    seen = [name.strip() for name in environment["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
    if unseen := [index for index in gpu_ids if index >= len(seen)]:
        raise ConfigError(
            f"gpu_ids: no GPU {unseen[0]}; CUDA_VISIBLE_DEVICES={environment['CUDA_VISIBLE_DEVICES']} shows "
            f"{len(seen)}, counted from 0"
        )
    return tuple(seen[index] for index in gpu_ids)


@dataclass
class _Own:
    """What this process has to itself; None in the process that asks for the calls."""

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


def settle(threads: int, gpus: GpuQueue | None = None) -> None:
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
