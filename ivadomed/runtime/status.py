"""Temporary status line of a terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import Any

_CLEAR = "\r\x1b[K"


class StatusLine:
    """A line on standard error, below the last output; tqdm bars take precedence."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._is_shown = False

    def show(self, text: str) -> None:
        """Show a text, or refresh the elapsed time of progress bars if any are shown."""
        with self._lock:
            if bars := _bars():
                for bar in bars:
                    bar.refresh()
                return
            self._is_shown = True
            self._write(f"{_CLEAR}{text}")

    def clear(self) -> None:
        """Remove the line, to make room for output or a bar."""
        with self._lock:
            if self._is_shown:
                self._is_shown = False
                self._write("" if _bars() else _CLEAR)

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal is gone
            sys.stderr.write(text)
            sys.stderr.flush()

    def forget(self) -> None:
        """Reset in a fork, where the thread that may hold the lock does not exist."""
        self._lock, self._is_shown = threading.RLock(), False


STATUS = StatusLine()
"""Status line of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=STATUS.forget)


def _bars() -> list[Any]:
    module = sys.modules.get("tqdm.std")
    instances = getattr(module.tqdm, "_instances", ()) if module else ()
    return [bar for bar in list(instances) if not bar.disable]
