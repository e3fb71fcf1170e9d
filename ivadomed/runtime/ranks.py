"""Rank of this process in a distributed training, from the environment of its launcher.

Several processes train one network together, one per GPU. ``torchrun`` and SLURM (``srun``) start them and set
environment variables; without them there is one process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ivadomed.errors import ConfigError

_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
# SLURM assigns no port; jobs that share a node must not use the same one.
_FIRST_PORT, _PORTS = 15000, 10000


@dataclass(frozen=True)
class World:
    """The processes of one training, and the rank of this one.

    Args:
        rank: Rank of this process, from 0.
        size: Number of processes on all machines.
        local_rank: Rank of this process on its machine, from 0.
        local_size: Number of processes per machine.
        address: Machine of process 0.
        port: Port on which process 0 listens.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    address: str = "127.0.0.1"
    port: int = 0

    @property
    def is_first(self) -> bool:
        """Return True if this process writes the files and reports to the user."""
        return self.rank == 0

    @property
    def node(self) -> int:
        """Index of the machine, from 0."""
        return self.rank // self.local_size

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return self.size // self.local_size

    def environment(self) -> dict[str, str]:
        """The environment variables that ``torchrun`` would set for this process."""
        values = (self.rank, self.size, self.local_rank, self.local_size, self.address, self.port)
        return dict(zip(_TORCHRUN, map(str, values), strict=True))


ALONE = World()


def current_world(environment: Mapping[str, str] = os.environ) -> World:
    """World described by the environment; a single process if it describes none.

    Raises:
        ConfigError: SLURM runs different numbers of processes on its machines.
    """
    if all(name in environment for name in _TORCHRUN):
        *numbers, port = (name for name in _TORCHRUN if name != "MASTER_ADDR")
        rank, size, local_rank, local_size = (int(environment[name]) for name in numbers)
        return World(rank, size, local_rank, local_size, environment["MASTER_ADDR"], int(environment[port]))
    # The script of a batch job also has SLURM_NTASKS, but only srun starts that many processes.
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in environment:
        return _slurm_world(environment)
    return ALONE


def is_first_process() -> bool:
    """Return True if this process writes the files and reports to the user."""
    return current_world().is_first


def _slurm_world(environment: Mapping[str, str]) -> World:
    per_node = environment.get("SLURM_STEP_TASKS_PER_NODE", environment["SLURM_STEP_NUM_TASKS"])
    if not (count := re.fullmatch(r"(\d+)(\(x\d+\))?", per_node)):
        raise ConfigError(
            f"SLURM runs {per_node} processes on its machines; give each the same number with --ntasks-per-node"
        )
    return World(
        rank=int(environment["SLURM_PROCID"]),
        size=int(environment["SLURM_STEP_NUM_TASKS"]),
        local_rank=int(environment["SLURM_LOCALID"]),
        local_size=int(count[1]),
        address=environment.get("MASTER_ADDR") or _first_host(environment.get("SLURM_STEP_NODELIST", "")),
        port=int(environment.get("MASTER_PORT") or _FIRST_PORT + int(environment["SLURM_JOB_ID"]) % _PORTS),
    )


def _first_host(nodes: str) -> str:
    """First host of a list such as ``node[3-5,8],other1``."""
    if not (match := re.match(r"([^\[,]+)(?:\[(\d+))?", nodes)):
        return "127.0.0.1"
    return match[1] + (match[2] or "")
