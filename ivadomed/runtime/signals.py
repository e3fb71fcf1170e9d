"""SIGINT and SIGTERM end a run between two steps, not within one."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from ivadomed.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Context in which a signal is remembered until ``check`` is called.

    A second signal of the same kind acts immediately. Outside the main thread, where Python delivers no signals,
    handlers are not changed.

    Args:
        advice: How to continue, for the message.
    """

    def __init__(self, advice: str) -> None:
        self.advice = advice
        self.signum: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._previous = {signum: signal.signal(signum, self._remember) for signum in _SIGNALS}
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for signum in self._previous:
            self._restore(signum)
        if isinstance(error, RuntimeError):
            # All processes received the signal; one that ended before this one broke their connection.
            self.check()

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self.signum = signum
        self._restore(signum)
        self.asked()

    def asked(self) -> None:
        """Called in the handler of the first signal; does nothing here."""

    def _restore(self, signum: int) -> None:
        # Python cannot restore a handler installed by an embedding program, which it reports as None.
        handler = self._previous[signum]
        signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def check(self) -> None:
        """Raise Interrupted if a signal was received."""
        if self.signum is not None:
            raise Interrupted(f"Stopped by {signal.Signals(self.signum).name}; {self.advice}", self.signum)
