"""Calls in processes of this machine."""

from __future__ import annotations

import itertools
import logging
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config

from ivadomed.errors import MachineError
from ivadomed.jobs.answer import Answer, answer_of
from ivadomed.jobs.board import Board, StopCalls
from ivadomed.jobs.place import GpuQueue, gpu_queue, take_place
from ivadomed.jobs.workers import Workers
from ivadomed.runtime.memory import no_processes

log = logging.getLogger(__name__)

Numbered = tuple[int, Any]
"""An item and its place among all of them."""


def local_answers(
    function: Callable[[Any], Any], items: Iterator[Numbered], workers: Workers, advice: str, listen: bool
) -> Iterator[Answer]:
    """See ``each.answers``."""
    if workers.n_jobs > 1 and (problem := no_processes()) is not None:
        log.warning("--jobs %d: %s; going on with one process.", workers.n_jobs, problem)
        workers = replace(workers, n_jobs=1)
    with tempfile.TemporaryDirectory(prefix="ivadomed-jobs-") as folder:
        board = Board(Path(folder))
        with StopCalls(board, advice, workers.here) as stop:
            pool = _Pool(function, workers, board, listen)
            for answer in pool.answers(items):
                if not answer.signum:
                    yield answer
                elif stop.signum is None:  # a training in this process took the signal
                    stop.signum = answer.signum
                    board.stop()
            stop.check()


class _Pool:
    """Processes that are started anew when one of them is killed.

    Args:
        function: What they call.
        workers: How many there are.
        board: What they are doing.
        listen: Bring back what they log.
    """

    def __init__(self, function: Callable[[Any], Any], workers: Workers, board: Board, listen: bool) -> None:
        self.function, self.workers, self.board, self.listen = function, workers, board, listen
        self.sent: dict[int, Any] = {}

    def answers(self, items: Iterator[Numbered]) -> Iterator[Answer]:
        """Answers to the items as they come.

        After the death of a process, the calls that were being made are made again one at a time, so that the one
        that kills its process is known: that is answered with an error, and the others go on.
        """
        while True:
            try:
                yield from self._together(items, self.workers.n_jobs)
                return
            except BrokenProcessPool:
                if self.board.stopped:
                    return
                suspects = self.board.begun() & self.sent.keys()
            for number in sorted(suspects):
                yield self._alone(number, self.sent.pop(number))
            items = itertools.chain(list(self.sent.items()), items)

    def _together(self, items: Iterator[Numbered], n_jobs: int) -> Iterator[Answer]:
        # Items are taken when a process is free, because the choice of later ones may depend on answers.
        pool = self._parallel(n_jobs, return_as="generator_unordered", pre_dispatch=n_jobs, batch_size=1)
        call = delayed(self._calling(here=n_jobs == 1))
        for answer in pool(call(number, item) for number, item in self._sending(items)):
            self.sent.pop(answer.number, None)
            yield answer

    def _parallel(self, n_jobs: int, **options: Any) -> Parallel:
        threads = None if n_jobs == 1 else self.workers.threads
        with parallel_config(backend="sequential" if n_jobs == 1 else "loky", inner_max_num_threads=threads):
            return Parallel(n_jobs=n_jobs, **options)

    def _sending(self, items: Iterator[Numbered]) -> Iterator[Numbered]:
        for number, item in items:
            if self.board.stopped:
                return
            self.sent[number] = item
            yield number, item

    def _calling(self, here: bool) -> Callable[[int, Any], Answer]:
        place = None if here else (self.workers.threads, gpu_queue(self.workers.gpus))
        return _Call(self.function, self.board, place, self.listen)

    def _alone(self, number: int, item: Any) -> Answer:
        (self.board.folder / f"{number}.call").unlink(missing_ok=True)
        call = self._calling(here=False)
        try:
            # One process would be this one.
            return self._parallel(2)([delayed(call)(number, item)])[0]
        except BrokenProcessPool:
            return Answer(
                number,
                kind=MachineError,
                problem="its process was killed twice, as happens when memory runs out; use fewer --jobs or a "
                "smaller batch_size",
            )


class _Call:
    """A call in a process of the pool, or in this one (``place`` None)."""

    def __init__(
        self,
        function: Callable[[Any], Any],
        board: Board,
        place: tuple[int, GpuQueue | None] | None,
        listen: bool,
    ) -> None:
        self.function, self.board, self.place, self.listen = function, board, place, listen

    def __call__(self, number: int, item: Any) -> Answer:
        if self.board.stopped:
            return Answer(number, signum=signal.SIGINT)
        if self.place is None:
            return answer_of(number, self.function, item)
        try:
            with self.board.at_work(number):
                return answer_of(number, self._settled, item, self.listen)
        except KeyboardInterrupt:  # between the call and its end
            return Answer(number, signum=signal.SIGINT)

    def _settled(self, item: Any) -> Any:
        assert self.place is not None
        take_place(*self.place)
        return self.function(item)
