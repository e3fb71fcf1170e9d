"""Workers requested by the user, with the GPUs of the configuration."""

from __future__ import annotations

from collections.abc import Sequence

from ivadomed.errors import ConfigError
from ivadomed.jobs.workers import Workers, visible_gpus
from ivadomed.runtime.device import define_device, present_gpus
from ivadomed.runtime.memory import job_count


def choose_workers(jobs: int | None, cluster: str | None, gpu_ids: Sequence[int] = ()) -> Workers:
    """Workers for the options ``--jobs`` and ``--cluster``.

    Args:
        jobs: Processes, see ``job_count``; None: one per GPU, one on a CPU.
        cluster: Address or scheduler file of a Dask cluster; None: this machine.
        gpu_ids: GPUs for the calls; empty: none.

    Raises:
        ConfigError: Both options are given, a GPU does not exist, or the number of processes is invalid.
    """
    if cluster is not None:
        if jobs is not None:
            raise ConfigError("--jobs and --cluster: pass one; a cluster has as many jobs as it has workers")
        return Workers(cluster=cluster)
    cuda, _ = define_device(gpu_ids)
    gpus = visible_gpus(present_gpus(gpu_ids)) if cuda else ()
    if jobs is None:
        return Workers(max(1, len(gpus)), gpus=gpus)
    return Workers(len(gpus) if gpus and jobs == -1 else job_count(jobs), gpus=gpus)
