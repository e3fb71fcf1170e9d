"""Calls on the workers of a Dask cluster."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed.errors import ConfigError, MachineError
from ivadomed.jobs.result import JobResult, run_job
from ivadomed.jobs.workers import settle
from ivadomed.runtime.signals import StopRequest

if TYPE_CHECKING:
    from distributed import Client, Future

_POLL = 0.1
"""Seconds between checks for finished calls, new workers and signals."""

_ONE_AT_A_TIME = threading.Lock()


def cluster_results(
    function: Callable[[Any], Any], items: Iterator[tuple[int, Any]], address: str, advice: str, listen: bool
) -> Iterator[JobResult]:
    """See ``calls.run_jobs``.

    Dask reassigns the call of a dead worker to another one. Each worker makes one call at a time, with the number of
    threads that Dask reports for it.
    """
    run = uuid.uuid4().hex[:8]
    running: dict[Future, int] = {}
    with connected(address) as client, StopRequest(advice) as stop:
        while True:
            for number, item in islice(items, max(0, max(1, len(client.ncores())) - len(running))):
                key = f"ivadomed-{run}-{number}"
                running[client.submit(_call, function, number, item, listen, key=key, pure=False)] = number
            if not running:
                return
            time.sleep(_POLL)
            for future in [future for future in running if future.done()]:
                yield _result(future, running.pop(future))
            if stop.signum is not None:
                client.cancel(list(running))
                stop.check()


def connected(address: str) -> Client:
    """Connect to a cluster.

    Args:
        address: Address of the scheduler, or path of its scheduler file.

    Raises:
        ConfigError: Dask is not installed.
        MachineError: No scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError("--cluster needs Dask; install it with: pip install 'ivadomed[cluster]'") from error
    where = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        return Client(**where, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MachineError(
            f"--cluster {address}: no Dask scheduler answers ({error}); start one with dask scheduler or "
            "dask-jobqueue and give its address or scheduler file"
        ) from error


def _result(future: Future, number: int) -> JobResult:
    if future.status == "finished":
        return future.result()
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return JobResult(
            number,
            kind=MachineError,
            problem="the workers that tried it died, as happens when memory runs out; give them more memory or use "
            "a smaller batch_size",
        )
    return JobResult(number, problem=f"{type(error).__name__}: {error}")


def _call(function: Callable[[Any], Any], number: int, item: Any, listen: bool) -> JobResult:
    """Make a call on a worker, one at a time: parallel trainings in a process would mix logs and random numbers."""
    from distributed import get_worker

    with _ONE_AT_A_TIME:
        settle(get_worker().state.nthreads)
        return run_job(number, function, item, listen)
