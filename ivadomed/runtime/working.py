"""Status display for longer work."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import partial

from ivadomed.runtime.status import STATUS
from ivadomed.runtime.terminal import duration, hidden_bar, say

PATIENCE = 2.0
"""Seconds of silence after which a line is printed."""

_tasks: list[object] = []


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that work is in progress.

    A terminal shows it with the elapsed seconds, in a line that is removed afterwards; progress bars keep counting.
    Otherwise a line is printed if the work takes longer than two seconds.

    Args:
        what: Description, such as "Packaging the model".
    """
    if hidden_bar():
        yield
        return
    task, done, on_terminal = object(), threading.Event(), sys.stderr.isatty()
    beat = partial(_count, what, task, done) if on_terminal else partial(_tell, what, task, done)
    _tasks.append(task)
    if on_terminal:
        STATUS.show(f"{what} ...")
    thread = threading.Thread(target=partial(copy_context().run, beat), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _tasks.remove(task)
        STATUS.clear()


def _count(what: str, task: object, done: threading.Event) -> None:
    started = time.monotonic()
    while not done.wait(1.0):
        if _tasks[-1] is task:
            STATUS.show(f"{what} ... {duration(round(time.monotonic() - started))}")


def _tell(what: str, task: object, done: threading.Event) -> None:
    if not done.wait(PATIENCE) and _tasks[-1] is task:
        say("Working", what[0].lower() + what[1:])
