"""The line of a terminal that says what is being done, and goes away."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

_CLEAR = "\r\x1b[K"


class StatusLine:
    """A line on standard error, below what was printed last; bars of tqdm have precedence."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_shown = False

    def show(self, text: str) -> None:
        """Show a text, or let the bars that are shown tell the time where there are some."""
        with self._lock:
            if bars := _bars():
                for bar in bars:
                    bar.refresh()
                return
            self._is_shown = True
            self._write(f"{_CLEAR}{text}")

    def clear(self) -> None:
        """Make room for a line, or for a bar."""
        with self._lock:
            if self._is_shown:
                self._is_shown = False
                self._write("" if _bars() else _CLEAR)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            sys.stderr.write(text)
            sys.stderr.flush()

    def forget(self) -> None:
        """In a fork: the thread that may hold the lock is not there."""
        self._lock, self._is_shown = threading.RLock(), False


STATUS = StatusLine()
"""That of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STATUS.forget)


def _bars() -> list[Any]:
    module = sys.modules.get("tqdm.std")
    instances = getattr(module.tqdm, "_instances", ()) if module else ()
    return [bar for bar in list(instances) if not bar.disable]
