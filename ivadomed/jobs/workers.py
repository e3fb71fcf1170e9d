"""Workers that make calls: processes of this machine or a cluster, with the threads and GPU of each."""

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
        n_jobs: Number of processes; with 1, calls are made sequentially in this process.
        cluster: Address of a Dask scheduler (``tcp://host:8786``) or path of its scheduler file; None: this machine.
        gpus: ``CUDA_VISIBLE_DEVICES`` of each process of this machine; empty for the CPU.

    Raises:
        ConfigError: There are no processes, or more processes than GPUs.
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
        """True if the calls are made in this process."""
        return self.cluster is None and self.n_jobs == 1

    @property
    def portions(self) -> int:
        """Number of parts into which work with a startup cost is divided: a few per worker, for load balancing."""
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
    """Value of ``CUDA_VISIBLE_DEVICES`` for each GPU that shows a process only this one.

    Args:
        gpu_ids: GPU numbers of the configuration, among the GPUs visible to this process.
        environment: Environment whose ``CUDA_VISIBLE_DEVICES`` lists these GPUs.

    Raises:
        ConfigError: A GPU is not visible to this process.
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
    """Resources reserved for this process; None in the requesting process."""

    threads: int | None = None
    gpu: FileLock | None = None
    is_worker: bool = False


_OWN = _Own()


@dataclass(frozen=True)
class GpuQueue:
    """Queue of free GPUs: one kernel lock per GPU, released when the process that holds it ends.

    Args:
        devices: Value of ``CUDA_VISIBLE_DEVICES`` for each GPU.
        folder: Folder of the locks.
    """

    devices: tuple[str, ...]
    folder: Path

    def take(self) -> tuple[FileLock, str]:
        """Acquire the first free GPU.

        Raises:
            MachineError: All GPUs are used by other processes.
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
    """Queue of this process, whose workers keep their GPU between series of calls."""
    if not devices:
        return None
    folder = tempfile.mkdtemp(prefix="ivadomed-gpus-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return GpuQueue(devices, Path(folder))


def settle(threads: int, gpus: GpuQueue | None = None) -> None:
    """Assign threads and GPU to this process permanently: libraries cannot move between GPUs once initialized.

    Args:
        threads: Number of threads of PyTorch.
        gpus: Queue from which to take a GPU; None: no GPU.

    Raises:
        MachineError: All GPUs are used by other processes.
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
    """GPUs of ``gpu_ids`` that a call may use: a worker sees only its own, as number 0."""
    return tuple(gpu_ids[:1]) if not _OWN.is_worker else (0,) * bool(gpu_ids)


def own_threads() -> int | None:
    """Threads of this process; None if it does not share the machine with other workers."""
    return _OWN.threads
