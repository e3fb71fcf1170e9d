"""Where calls are made: so many processes of this machine, or a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ivadomed.errors import ConfigError
from ivadomed.runtime.cores import available_cores


@dataclass(frozen=True)
class Workers:
    """Who makes the calls.

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
        """Whether the calls are made in this process."""
        return self.cluster is None and self.n_jobs == 1

    @property
    def portions(self) -> int:
        """Into how many parts to cut work that has a cost to begin with: a few for each worker, to even out."""
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
