"""Outcome of a call in another process: its value, or the reason for its failure."""

from __future__ import annotations

import logging
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from logging.handlers import QueueHandler
from queue import SimpleQueue
from typing import Any

from ivadomed.errors import Interrupted, IvadomedError, MachineError
from ivadomed.runtime.failures import shortage

_REDUCE = "use fewer --jobs, or smaller images or batches"


@dataclass(frozen=True)
class JobResult:
    """Outcome of one call.

    Args:
        number: Index of the call's item among all items.
        value: What the call returned.
        kind: Type of the user error raised.
        problem: Message of that error; traceback of any other error.
        signum: Signal that prevented or interrupted the call; 0: none.
        records: Log records, if requested.
    """

    number: int
    value: Any = None
    kind: type[IvadomedError] = IvadomedError
    problem: str | None = None
    signum: int = 0
    records: tuple[logging.LogRecord, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """True if there is a value."""
        return self.problem is None and not self.signum

    @property
    def reason(self) -> str:
        """Reason for the failure, in one line: the first one of a user message, the last one of a traceback."""
        lines = (self.problem or "").strip().splitlines() or [""]
        return lines[-1 if self.kind is IvadomedError else 0]

    def unwrap(self) -> Any:
        """Return the value.

        Raises:
            IvadomedError: Error of the call.
            RuntimeError: The call failed because of a bug; the message is its traceback.
        """
        if self.problem is None:
            return self.value
        if self.kind is IvadomedError:
            raise RuntimeError(f"in another process:\n{self.problem}")
        raise self.kind(self.problem)


def run_job(number: int, function: Callable[[Any], Any], item: Any, listen: bool = False) -> JobResult:
    """Call ``function(item)``; exceptions become part of the result.

    Args:
        number: Index of the item.
        function: Function to call.
        item: Argument of the function.
        listen: Keep log records for the requesting process.
    """
    with _recorded(listen) as records:
        result = _outcome(number, function, item)
    return replace(result, records=tuple(records))


def _outcome(number: int, function: Callable[[Any], Any], item: Any) -> JobResult:
    try:
        return JobResult(number, function(item))
    except Interrupted as error:
        return JobResult(number, signum=error.exit_code - 128)
    except KeyboardInterrupt:
        return JobResult(number, signum=signal.SIGINT)
    except IvadomedError as error:
        return JobResult(number, kind=type(error), problem=str(error))
    except Exception as error:
        if (missing := shortage(error, _REDUCE)) is not None:
            return JobResult(number, kind=MachineError, problem=missing)
        return JobResult(number, problem=traceback.format_exc())


@contextmanager
def _recorded(listen: bool) -> Iterator[list[logging.LogRecord]]:
    """Context that collects log records in a list, as picklable text."""
    records: list[logging.LogRecord] = []
    if not listen:
        yield records
        return
    logger, queue = logging.getLogger("ivadomed"), SimpleQueue[logging.LogRecord]()
    handler, level = QueueHandler(queue), logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        while not queue.empty():
            records.append(queue.get())
