"""How the processes of this machine tell each other what they do, and that they shall stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ivadomed.runtime.signals import StopRequest


@dataclass(frozen=True)
class Board:
    """A folder of files named after the calls that are being made; they hold the process.

    Args:
        folder: It exists.
    """

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
        """Whether no call shall begin any more."""
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
        board: Of the calls.
        advice: How to continue.
        here: The calls are made in this process.
    """

    def __init__(self, board: Board, advice: str, here: bool) -> None:
        super().__init__(advice)
        self.board, self.here = board, here

    def asked(self) -> None:
        """Stop the calls."""
        self.board.stop()
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


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
