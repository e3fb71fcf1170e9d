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
"""Seconds between a worker's checks for its parent process."""


def run_jobs(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    workers: Workers,
    advice: str = "start again",
    listen: bool = False,
) -> Iterator[JobResult]:
    """Call ``function(item)`` for each item; results are yielded in order of completion.

    A failed call does not stop the others. Items are drawn when a worker is free. A call may be repeated if its
    process is killed.

    Args:
        function: Function to call. It and the items are sent to other processes; on a cluster, their file paths must
            be valid on every machine.
        items: Arguments of the calls.
        workers: Workers that make the calls.
        advice: How to continue after a signal.
        listen: Return the log records of the calls.

    Raises:
        ConfigError: Dask is not installed.
        MachineError: The cluster does not answer.
        Interrupted: SIGINT or SIGTERM was received. Running calls on this machine are stopped; those on a cluster
            continue to their end.
    """
    numbered = iter(enumerate(items))
    if workers.cluster is not None:
        return cluster_results(function, numbered, workers.cluster, advice, listen)
    return _local_results(function, numbered, workers, advice, listen)


def values(
    function: Callable[[Any], Any], items: Iterable[Any], workers: Workers
) -> Iterator[tuple[int, Any]]:
    """Index and value of each call, in order of completion; log records of the calls are logged here.

    Raises:
        IvadomedError: A call failed; the first such error.
        Interrupted: SIGINT or SIGTERM was received.
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
        log.warning("--jobs %d: %s; continuing with one process.", workers.n_jobs, problem)
        workers = replace(workers, n_jobs=1)
    with tempfile.TemporaryDirectory(prefix="ivadomed-jobs-") as folder:
        registry = CallRegistry(Path(folder))
        with StopCalls(registry, advice, workers.here) as stop:
            pool = _Pool(function, workers, registry, listen)
            for result in pool.results(items):
                if not result.signum:
                    yield result
                elif stop.signum is None:  # a training in this process handled the signal
                    stop.signum = result.signum
                    registry.stop()
            stop.check()


@dataclass(frozen=True)
class CallRegistry:
    """A folder with one file per running call, which contains the process id."""

    folder: Path

    @contextmanager
    def at_work(self, number: int) -> Iterator[None]:
        """Context of a call in this process, in which it can be stopped.

        Only the requesting process stops the others, because the terminal sends Ctrl-C to all of them.
        """
        mark = self.folder / f"{number}.call"
        with _stoppable():
            mark.write_text(str(os.getpid()))
            try:
                yield
            finally:
                mark.unlink(missing_ok=True)

    def begun(self) -> set[int]:
        """Calls that were started and not finished."""
        return {int(mark.stem) for mark in self.folder.glob("*.call")}

    @property
    def stopped(self) -> bool:
        """True if no further call may start."""
        return (self.folder / "stop").exists()

    def stop(self) -> None:
        """Prevent new calls and ask the processes to end running ones."""
        (self.folder / "stop").touch()
        for mark in self.folder.glob("*.call"):
            with contextlib.suppress(OSError, ValueError):
                process = int(mark.read_text())
                if process != os.getpid():
                    os.kill(process, signal.SIGTERM)


class StopCalls(StopRequest):
    """A stop request that is passed on to the processes.

    Args:
        registry: Registry of the calls.
        advice: How to continue.
        here: True if the calls are made in this process.
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
    """Context in which SIGTERM interrupts this process and SIGINT is left to the requesting process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from now on, also between calls
    before: Any = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@cache
def end_with_parent() -> None:
    """End this process soon after its parent, which may be killed without notice.

    Otherwise it would continue training and hold the lock of its folder, blocking the process that resumes.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL)
        os._exit(1)  # safe at any time: all files are written atomically

    threading.Thread(target=watch, daemon=True).start()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@dataclass
class _Pool:
    """Process pool that is restarted if one of its processes is killed.

    Args:
        function: Function to call.
        workers: Number of processes.
        registry: Registry of the calls.
        listen: Return log records.
        sent: Items without a result.
    """

    function: Callable[[Any], Any]
    workers: Workers
    registry: CallRegistry
    listen: bool
    sent: dict[int, Any] = field(default_factory=dict)

    def results(self, items: Iterator[tuple[int, Any]]) -> Iterator[JobResult]:
        """Results of the items, in order of completion.

        If a process dies, the interrupted calls are repeated one at a time to identify the one that kills its
        process: its result is an error, and the others continue.
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
        # Items are drawn when a process is free, because the choice of later ones may depend on results.
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
            return self._parallel(2)([call(number, item)])[0]  # a single worker would be this process
        except BrokenProcessPool:
            return JobResult(
                number,
                kind=MachineError,
                problem="its process was killed twice, as happens when memory runs out; use fewer --jobs or a "
                "smaller batch_size",
            )


@dataclass(frozen=True)
class _Call:
    """A call in a pool process with its ``share`` of threads and GPUs, or in this process (None)."""

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
        except KeyboardInterrupt:  # after the call, before its end is recorded
            return JobResult(number, signum=signal.SIGINT)

    def _settled(self, item: Any) -> Any:
        assert self.share is not None
        settle(*self.share)
        end_with_parent()
        return self.function(item)
