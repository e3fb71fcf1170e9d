"""What becomes of a call in another process: its value, or why there is none."""

from __future__ import annotations

import logging
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ivadomed.errors import Interrupted, IvadomedError, MachineError
from ivadomed.runtime.failures import shortage

_REDUCE = "use fewer --jobs, or smaller images or batches"


@dataclass(frozen=True)
class Answer:
    """Outcome of one call.

    Args:
        number: Place of the call's item among all items.
        value: What the call returned.
        kind: Type of the user's error that it raised.
        problem: Its message; of any other error the traceback.
        signum: The signal because of which the call was not made or not finished; 0: there was none.
        records: What it logged, when that was asked for.
    """

    number: int
    value: Any = None
    kind: type[IvadomedError] = IvadomedError
    problem: str | None = None
    signum: int = 0
    records: tuple[logging.LogRecord, ...] = field(default=(), repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.problem is None and not self.signum

    @property
    def reason(self) -> str:
        """Why there is no value, in one line: the first of a message to the user, the last of a traceback."""
        lines = (self.problem or "").strip().splitlines() or [""]
        return lines[-1 if self.kind is IvadomedError else 0]

    def unwrap(self) -> Any:
        """The value.

        Raises:
            IvadomedError: That of the call.
            RuntimeError: It failed in a way that is our fault; the message is its traceback.
        """
        if self.problem is None:
            return self.value
        if self.kind is IvadomedError:
            raise RuntimeError(f"in another process:\n{self.problem}")
        raise self.kind(self.problem)


def answer_of(number: int, function: Callable[[Any], Any], item: Any, listen: bool = False) -> Answer:
    """Call ``function(item)``; whatever it raises becomes part of the answer.

    Args:
        number: Place of the item.
        function: What to call.
        item: What with.
        listen: Keep the log records, for the process that asked.
    """
    ear = _Ear(listen)
    with ear:
        try:
            return Answer(number, function(item), records=ear.heard())
        except Interrupted as error:
            return Answer(number, signum=error.exit_code - 128, records=ear.heard())
        except KeyboardInterrupt:
            return Answer(number, signum=signal.SIGINT, records=ear.heard())
        except IvadomedError as error:
            return Answer(number, kind=type(error), problem=str(error), records=ear.heard())
        except Exception as error:
            if (missing := shortage(error, _REDUCE)) is not None:
                return Answer(number, kind=MachineError, problem=missing, records=ear.heard())
            return Answer(number, problem=traceback.format_exc(), records=ear.heard())


class _Ear(logging.Handler):
    """Context that keeps what the package logs."""

    def __init__(self, listen: bool) -> None:
        super().__init__(logging.INFO)
        self._listen, self._records = listen, list[logging.LogRecord]()

    def __enter__(self) -> _Ear:
        if self._listen:
            logger = logging.getLogger("ivadomed")
            self._level = logger.level
            logger.setLevel(logging.INFO)
            logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self._listen:
            logger = logging.getLogger("ivadomed")
            logger.removeHandler(self)
            logger.setLevel(self._level)

    def emit(self, record: logging.LogRecord) -> None:
        # Arguments of a message may be anything; its text always travels.
        record.msg, record.args, record.exc_info = record.getMessage(), None, None
        self._records.append(record)

    def heard(self) -> tuple[logging.LogRecord, ...]:
        return tuple(self._records)
