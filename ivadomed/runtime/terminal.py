"""Terminal output of a run: screen lines, colours, progress bars, and streams that may be closed."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import select
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import TextIO

from ivadomed.runtime.ranks import is_first_process
from ivadomed.runtime.status import STATUS

SCREEN = "ivadomed.screen"
"""Logger of the screen lines."""

_SCREEN = logging.getLogger(SCREEN)
_WIDTH = 9
_STREAMS = ("stdin", "stdout", "stderr")


@dataclass(frozen=True)
class Style:
    """Formatting of parts of a line.

    Args:
        coloured: True if the output supports colours.
    """

    coloured: bool = False

    @classmethod
    def of_terminal(cls, stream: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> Style:
        """Style for a stream: colours on a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb is set.

        Args:
            stream: Output stream; None for standard output.
            environment: Environment variables.
        """
        terminal = (sys.stdout if stream is None else stream).isatty()
        return cls(terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb")

    def bold(self, text: str) -> str:
        """Titles."""
        return self._set(text, 1)

    def dim(self, text: str) -> str:
        """Dim less important text."""
        return self._set(text, 2)

    def red(self, text: str) -> str:
        """Errors."""
        return self._set(text, 31)

    def yellow(self, text: str) -> str:
        """Warnings."""
        return self._set(text, 33)

    def blue(self, text: str) -> str:
        """Values."""
        return self._set(text, 36)

    def _set(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured else text


class Mode(Enum):
    """How much of a run is shown. The log file is the same in all modes except DEBUG, which adds details."""

    QUIET = "warnings and errors"
    SCREEN = "what is read, trained and written, in few lines"
    VERBOSE = "every line of the log"
    DEBUG = "details too"


_mode: ContextVar[Mode] = ContextVar("mode", default=Mode.SCREEN)
_hidden: ContextVar[frozenset[str]] = ContextVar("hidden", default=frozenset())


@contextmanager
def shown(mode: Mode) -> Iterator[None]:
    """Context with this display mode."""
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)


@contextmanager
def without(labels: Iterable[str]) -> Iterator[None]:
    """Context that hides screen lines with these labels, for one of several runs where they are already known."""
    token = _hidden.set(_hidden.get().union(labels))
    try:
        yield
    finally:
        _hidden.reset(token)


def hidden_bar() -> bool | None:
    """Value for tqdm's ``disable``: no bar in other processes, in a quiet run, or without a terminal."""
    return None if is_first_process() and _mode.get() is not Mode.QUIET else True


def say(label: str, text: str) -> None:
    """Print a screen line, which is also written to the log file.

    Args:
        label: One-word topic of the line; "" to continue the previous one.
        text: Text of the line.
    """
    _SCREEN.info("%s", f"{label:<{_WIDTH}} {text}".rstrip(), extra={"label": label})


class ScreenHandler(logging.StreamHandler[TextIO]):
    """Writes to a screen that may become unwritable (closed pipe, full disk); the run continues without it.

    Args:
        stream: Standard output.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record in place of the status line."""
        STATUS.clear()
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Report once, on standard error, that screen lines are lost; not for a pipe whose reader has exited."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        silence(self.stream)
        if not isinstance(error, BrokenPipeError):
            with contextlib.suppress(OSError):
                print(
                    f"ivadomed: standard output cannot be written ({error.strerror}); the run continues, and its log "
                    "file has every line",
                    file=sys.stderr,
                )


class ScreenFilter(logging.Filter):
    """Passes the records that a mode shows.

    Args:
        mode: Display mode.
        source: Logger of the screen lines, including its children.
    """

    def __init__(self, mode: Mode, source: str = SCREEN) -> None:
        super().__init__()
        self.mode, self.screen = mode, logging.Filter(source)

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass warnings always, screen lines unless quiet, and other records on request."""
        if record.levelno >= logging.WARNING or self.mode in (Mode.VERBOSE, Mode.DEBUG):
            return True
        if self.mode is Mode.QUIET or getattr(record, "label", None) in _hidden.get():
            return False
        return bool(self.screen.filter(record))


class ScreenFormatter(logging.Formatter):
    """Formats the message only; labels, warnings and errors are highlighted."""

    def __init__(self, style: Style) -> None:
        super().__init__("%(message)s")
        self.style = style

    def format(self, record: logging.LogRecord) -> str:
        """Text of a record."""
        text = super().format(record)
        if record.levelno >= logging.ERROR:
            return self.style.red(text)
        if record.levelno >= logging.WARNING:
            return self.style.yellow(text)
        label = getattr(record, "label", "")
        return self.style.bold(label) + text[len(label) :] if label else text


@contextmanager
def logging_to_terminal(mode: Mode = Mode.SCREEN, source: str = SCREEN) -> Iterator[None]:
    """Print log messages, unless the calling program has configured logging.

    Of several processes that train together, only the first prints.

    Args:
        mode: How much is printed. The log file of a run gets everything.
        source: Logger of the screen lines; from other loggers, only warnings are printed.
    """
    if not is_first_process():
        with log_handlers([], logging.CRITICAL):
            yield
        return
    handlers: list[logging.Handler] = []
    if not logging.getLogger().handlers:
        handler = ScreenHandler(sys.stdout)
        handler.setFormatter(ScreenFormatter(Style.of_terminal()))
        handler.addFilter(ScreenFilter(mode, source))
        handlers.append(handler)
    with shown(mode), log_handlers(handlers, logging.DEBUG if mode is Mode.DEBUG else logging.INFO):
        yield


@contextmanager
def log_handlers(handlers: Sequence[logging.Handler], level: int) -> Iterator[None]:
    """Context in which the package also logs to these handlers, from a given level."""
    logger = logging.getLogger("ivadomed")
    previous = logger.level
    logger.setLevel(level)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            if isinstance(handler, logging.FileHandler):
                handler.close()
        logger.setLevel(previous)


def duration(seconds: float) -> str:
    """Format a duration: "8 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 99.5:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def shell_word(value: str | os.PathLike[str]) -> str:
    """A path or name as typed in a command, in quotes if it needs them."""
    word = os.fspath(value)
    if os.name != "nt":
        return shlex.quote(word)
    return f'"{word}"' if " " in word else word


def length(mm: float, digits: int = 3) -> str:
    """Format a length: "1.2 mm", "70 um" below a hundredth of a millimeter.

    Args:
        mm: Millimeters.
        digits: Significant digits.
    """
    if mm >= 100:
        return f"{mm:.0f} mm"
    return f"{mm * 1000:.{digits}g} um" if mm < 0.01 else f"{mm:.{digits}g} mm"


def prepare_streams() -> None:
    """Make the standard streams safe to write to.

    A closed stream (``>&-``) is redirected to the null device: otherwise the next opened file would get its number,
    and output of a library would end up in a result. Characters missing from the encoding are escaped.
    """
    for number, name in enumerate(_STREAMS):
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
    """Redirect an unwritable stream to the null device, so that Python does not report it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        _to_nowhere(stream.fileno())
    with contextlib.suppress(OSError, ValueError):
        stream.flush()


def flush_output() -> None:
    """Flush standard output.

    Raises:
        OSError: Standard output is not writable.
    """
    with contextlib.suppress(ValueError):  # closed by the calling program
        sys.stdout.flush()


def reader_is_gone(error: OSError) -> bool:
    """Return True if the reader of standard output has exited (``| head``); not for other pipes."""
    if not isinstance(error, BrokenPipeError) or not hasattr(select, "poll"):
        return False
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))
