"""Calls on the workers of a Dask cluster."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed.errors import ConfigError, MachineError
from ivadomed.jobs.answer import Answer, answer_of
from ivadomed.jobs.local import Numbered
from ivadomed.jobs.place import take_place
from ivadomed.runtime.signals import StopRequest

if TYPE_CHECKING:
    from distributed import Client, Future

_POLL = 0.1
"""Seconds between two looks for calls that have ended, workers that have come, and signals."""

_ONE_AT_A_TIME = threading.Lock()


def cluster_answers(
    function: Callable[[Any], Any], items: Iterator[Numbered], address: str, advice: str, listen: bool
) -> Iterator[Answer]:
    """See ``each.answers``.

    Dask gives the call of a worker that died to another one. Each worker has one call at a time, with as many threads
    as Dask says it has.
    """
    run = uuid.uuid4().hex[:8]
    running: dict[Future, int] = {}
    with connected(address) as client, StopRequest(advice) as stop:
        while True:
            for number, item in _next(items, max(1, len(client.ncores())) - len(running)):
                key = f"ivadomed-{run}-{number}"
                running[client.submit(_call, function, number, item, listen, key=key, pure=False)] = number
            if not running:
                return
            time.sleep(_POLL)
            for future in [future for future in running if future.done()]:
                yield _answer(future, running.pop(future))
            if stop.signum is not None:
                client.cancel(list(running))
                stop.check()


def connected(address: str) -> Client:
    """A client of the cluster.

    Args:
        address: Of the scheduler, or the path of its scheduler file.

    Raises:
        ConfigError: Dask is not installed.
        MachineError: No scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError("--cluster needs Dask; install it with: pip install 'ivadomed[cluster]'") from error
    place = {"scheduler_file": address} if Path(address).is_file() else {"address": address}
    try:
        return Client(**place, set_as_default=False)
    except (OSError, ValueError) as error:
        raise MachineError(
            f"--cluster {address}: no Dask scheduler answers ({error}); start one with dask scheduler or "
            "dask-jobqueue and give its address or scheduler file"
        ) from error


def _next(items: Iterator[Numbered], count: int) -> Iterator[Numbered]:
    for _ in range(count):
        try:
            yield next(items)
        except StopIteration:
            return


def _answer(future: Future, number: int) -> Answer:
    if future.status == "finished":
        return future.result()
    error = future.exception()
    if type(error).__name__ == "KilledWorker":
        return Answer(
            number,
            kind=MachineError,
            problem="the workers that tried it died, as happens when memory runs out; give them more memory or use "
            "a smaller batch_size",
        )
    return Answer(number, problem=f"{type(error).__name__}: {error}")


def _call(function: Callable[[Any], Any], number: int, item: Any, listen: bool) -> Answer:
    """A call on a worker. Two trainings in one process would mix their logs and random numbers."""
    from distributed import get_worker

    with _ONE_AT_A_TIME:
        take_place(get_worker().state.nthreads)
        return answer_of(number, function, item, listen)
