"""A function applied to many items, wherever the workers are."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ivadomed.jobs.answer import Answer
from ivadomed.jobs.cluster import cluster_answers
from ivadomed.jobs.local import local_answers
from ivadomed.jobs.workers import Workers

_AGAIN = "start again"


def answers(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    workers: Workers,
    advice: str = _AGAIN,
    listen: bool = False,
) -> Iterator[Answer]:
    """Call ``function(item)`` for each item; answers come in the order in which calls end.

    A call that fails stops no other one. An item is taken when a worker is free for it. A call may be made twice when
    the process that made it is killed.

    Args:
        function: It and the items are sent to other processes; on a cluster they name files by paths that mean the
            same on every machine.
        items: What to call it with.
        workers: Who calls it.
        advice: How to continue after a signal.
        listen: Bring back what the calls log.

    Raises:
        ConfigError: There is no Dask.
        MachineError: The cluster does not answer.
        Interrupted: SIGINT or SIGTERM came. The calls that were being made on this machine have been stopped; those on
            a cluster go on to their end.
    """
    numbered = iter(enumerate(items))
    if workers.cluster is not None:
        return cluster_answers(function, numbered, workers.cluster, advice, listen)
    return local_answers(function, numbered, workers, advice, listen)


def values(
    function: Callable[[Any], Any], items: Iterable[Any], workers: Workers
) -> Iterator[tuple[int, Any]]:
    """Place and value of each call, as they come; what the calls log is logged here.

    Raises:
        IvadomedError: The first call that fails.
        Interrupted: SIGINT or SIGTERM came.
    """
    for answer in answers(function, items, workers, listen=not workers.here):
        for record in answer.records:
            logging.getLogger(record.name).handle(record)
        yield answer.number, answer.unwrap()
