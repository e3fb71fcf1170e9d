"""Standard output and error of a command: closed ones, ends of pipes, full disks, letters they cannot show."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import TextIO

_NAMES = ("stdin", "stdout", "stderr")


def prepare_streams() -> None:
    """Make the standard streams safe to write to.

    A stream that is closed (``>&-``) leads nowhere: else the next file that is opened would get its number, and what
    a library prints would go into a result. A letter that the encoding lacks is shown by its number.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            _to_nowhere(number)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 (it stays open)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def silence(stream: TextIO) -> None:
    """Let a stream that cannot be written lead nowhere, so that Python does not complain of it at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        _to_nowhere(stream.fileno())
    with contextlib.suppress(OSError, ValueError):
        stream.flush()


def flush_output() -> None:
    """Write what is left for standard output.

    Raises:
        OSError: It cannot be written.
    """
    with contextlib.suppress(ValueError):  # closed by the program around us
        sys.stdout.flush()


def reader_is_gone(error: OSError) -> bool:
    """Whether the reader of standard output went away (``| head``); no other pipe, such as that of a process."""
    if not isinstance(error, BrokenPipeError) or not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
