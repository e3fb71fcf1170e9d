"""A function applied to many items, in this process, in processes of this machine or on a cluster."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from joblib import Parallel, delayed, parallel_config

from ivadomed.errors import MachineError
from ivadomed.jobs.cluster import cluster_results
from ivadomed.jobs.result import JobResult, run_job
from ivadomed.jobs.workers import GpuQueue, Workers, gpu_queue, settle
from ivadomed.runtime.memory import no_processes
from ivadomed.runtime.signals import StopRequest

log = logging.getLogger(__name__)

_POLL = 1.0
"""Seconds between two looks of a worker for the process that started it."""


def run_jobs(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    workers: Workers,
    advice: str = "start again",
    listen: bool = False,
) -> Iterator[JobResult]:
    """Call ``function(item)`` for each item; results come in the order in which calls end.

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
            a cluster continue to their end.
    """
    numbered = iter(enumerate(items))
    if workers.cluster is not None:
        return cluster_results(function, numbered, workers.cluster, advice, listen)
    return _local_results(function, numbered, workers, advice, listen)


def values(
    function: Callable[[Any], Any], items: Iterable[Any], workers: Workers
) -> Iterator[tuple[int, Any]]:
    """Index and value of each call, as they come; what the calls log is logged here.

    Raises:
        IvadomedError: The first call that fails.
        Interrupted: SIGINT or SIGTERM came.
    """
    for result in run_jobs(function, items, workers, listen=not workers.here):
        for record in result.records:
            logging.getLogger(record.name).handle(record)
        yield result.number, result.unwrap()


def _local_results(
    function: Callable[[Any], Any],
    items: Iterator[tuple[int, Any]],
    workers: Workers,
    advice: str,
    listen: bool,
) -> Iterator[JobResult]:
    """See ``run_jobs``."""
    if workers.n_jobs > 1 and (problem := no_processes()) is not None:
        log.warning("--jobs %d: %s; going on with one process.", workers.n_jobs, problem)
        workers = replace(workers, n_jobs=1)
    with tempfile.TemporaryDirectory(prefix="ivadomed-jobs-") as folder:
        registry = CallRegistry(Path(folder))
        with StopCalls(registry, advice, workers.here) as stop:
            pool = _Pool(function, workers, registry, listen)
            for result in pool.results(items):
                if not result.signum:
                    yield result
                elif stop.signum is None:  # a training in this process took the signal
                    stop.signum = result.signum
                    registry.stop()
            stop.check()


@dataclass(frozen=True)
class CallRegistry:
    """A folder of files named after the calls that are being made; they hold the process."""

    folder: Path

    @contextmanager
    def at_work(self, number: int) -> Iterator[None]:
        """Context in which this process makes a call and can be stopped.

        Only the process that asked for the calls stops the others; the terminal tells Ctrl-C to all of them.
        """
        mark = self.folder / f"{number}.call"
        with _stoppable():
            mark.write_text(str(os.getpid()))
            try:
                yield
            finally:
                mark.unlink(missing_ok=True)

    def begun(self) -> set[int]:
        """Calls that were begun and not finished."""
        return {int(mark.stem) for mark in self.folder.glob("*.call")}

    @property
    def stopped(self) -> bool:
        """True when no further call may begin."""
        return (self.folder / "stop").exists()

    def stop(self) -> None:
        """Let no call begin and ask the processes to end those that they make."""
        (self.folder / "stop").touch()
        for mark in self.folder.glob("*.call"):
            with contextlib.suppress(OSError, ValueError):
                process = int(mark.read_text())
                if process != os.getpid():
                    os.kill(process, signal.SIGTERM)


class StopCalls(StopRequest):
    """A request to stop that is passed on to the processes.

    Args:
        registry: Of the calls.
        advice: How to continue.
        here: The calls are made in this process.
    """

    def __init__(self, registry: CallRegistry, advice: str, here: bool) -> None:
        super().__init__(advice)
        self.registry, self.here = registry, here

    def asked(self) -> None:
        """Stop the calls."""
        self.registry.stop()
        if self.here:
            raise KeyboardInterrupt


@contextmanager
def _stoppable() -> Iterator[None]:
    """Context in which SIGTERM interrupts this process and SIGINT is left to the process that asked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from now on: between calls too
    before: Any = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@cache
def end_with_parent() -> None:
    """End this process soon after the one that started it, which may be killed without a word.

    Else it would train on, and hold the lock of its folder against the process that continues.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL)
        os._exit(1)  # whatever it does: every file is written so that this does no harm

    threading.Thread(target=watch, daemon=True).start()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@dataclass
class _Pool:
    """Processes that are started again when one of them is killed.

    Args:
        function: Called by them.
        workers: Their number.
        registry: Calls that they make.
        listen: Bring back what they log.
        sent: Items without a result.
    """

    function: Callable[[Any], Any]
    workers: Workers
    registry: CallRegistry
    listen: bool
    sent: dict[int, Any] = field(default_factory=dict)

    def results(self, items: Iterator[tuple[int, Any]]) -> Iterator[JobResult]:
        """Results of the items as they come.

        After the death of a process, the calls that were being made are made again one at a time, so that the one
        that kills its process is known: its result is an error, and the others continue.
        """
        while True:
            try:
                yield from self._together(items, self.workers.n_jobs)
                return
            except BrokenProcessPool:
                if self.registry.stopped:
                    return
                suspects = self.registry.begun() & self.sent.keys()
            for number in sorted(suspects):
                yield self._alone(number, self.sent.pop(number))
            items = itertools.chain(list(self.sent.items()), items)

    def _together(self, items: Iterator[tuple[int, Any]], n_jobs: int) -> Iterator[JobResult]:
        # Items are taken when a process is free, because the choice of later ones may depend on results.
        pool = self._parallel(n_jobs, return_as="generator_unordered", pre_dispatch=n_jobs, batch_size=1)
        call = delayed(self._calling(here=n_jobs == 1))
        for result in pool(call(number, item) for number, item in self._sending(items)):
            self.sent.pop(result.number, None)
            yield result

    def _parallel(self, n_jobs: int, **options: Any) -> Parallel:
        threads = None if n_jobs == 1 else self.workers.threads
        with parallel_config(backend="sequential" if n_jobs == 1 else "loky", inner_max_num_threads=threads):
            return Parallel(n_jobs=n_jobs, **options)

    def _sending(self, items: Iterator[tuple[int, Any]]) -> Iterator[tuple[int, Any]]:
        for number, item in items:
            if self.registry.stopped:
                return
            self.sent[number] = item
            yield number, item

    def _calling(self, here: bool) -> Callable[[int, Any], JobResult]:
        share = None if here else (self.workers.threads, gpu_queue(self.workers.gpus))
        return _Call(self.function, self.registry, share, self.listen)

    def _alone(self, number: int, item: Any) -> JobResult:
        (self.registry.folder / f"{number}.call").unlink(missing_ok=True)
        call = delayed(self._calling(here=False))
        try:
            return self._parallel(2)([call(number, item)])[0]  # one process would be this one
        except BrokenProcessPool:
            return JobResult(
                number,
                kind=MachineError,
                problem="its process was killed twice, as happens when memory runs out; use fewer --jobs or a "
                "smaller batch_size",
            )


@dataclass(frozen=True)
class _Call:
    """A call in a process of the pool with its ``share`` of threads and GPUs, or in this one (None)."""

    function: Callable[[Any], Any]
    registry: CallRegistry
    share: tuple[int, GpuQueue | None] | None
    listen: bool

    def __call__(self, number: int, item: Any) -> JobResult:
        if self.registry.stopped:
            return JobResult(number, signum=signal.SIGINT)
        if self.share is None:
            return run_job(number, self.function, item)
        try:
            with self.registry.at_work(number):
                return run_job(number, self._settled, item, self.listen)
        except KeyboardInterrupt:  # between the call and its end
            return JobResult(number, signum=signal.SIGINT)

    def _settled(self, item: Any) -> Any:
        assert self.share is not None
        settle(*self.share)
        end_with_parent()
        return self.function(item)
