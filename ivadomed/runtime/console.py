"""Common frame of all tools: parse options, and turn user errors into one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ivadomed.errors import IvadomedError, MachineError, OutputError
from ivadomed.runtime.failures import shortage, unwritable_name
from ivadomed.runtime.terminal import flush_output, prepare_streams, reader_is_gone, silence

_SIGPIPE = 141
"""Exit code of a program whose reader has exited: 128 + SIGPIPE, as in a shell."""

Complain = Callable[[IvadomedError], None]

_REDUCE = "use smaller or fewer images at a time, fewer --jobs, or a machine with more"


class ToolParser(argparse.ArgumentParser):
    """The parser of a console script.

    Long options are declared with hyphens and also accepted with underscores: ivadomed 2 had some of both. A value may
    start with a minus and a digit (``-y -1,0``); plain argparse accepts only plain numbers of this form as values.

    Args:
        prog: Name of the tool.
        description: Purpose of the tool.
        epilog: Examples; line breaks are kept.
    """

    def __init__(self, prog: str, description: str | None, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._negative_number_matcher = re.compile(r"-\.?\d")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Override of argparse, through which all parsing passes."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([_as_meant(word) for word in words], namespace)


def add_pixel_size(group: argparse._ActionsContainer) -> None:
    """Add the options for the pixel size of pictures outside a data set, and its unit."""
    group.add_argument(
        "--pixel-size", nargs="+", type=float, metavar="SIZE", help="of pictures, along columns and rows"
    )
    group.add_argument("--pixel-size-units", default="mm", choices=("mm", "um", "nm"), help="unit (mm)")


def _as_meant(word: str) -> str:
    """Write an option with hyphens, and expand a ``~`` that the shell has not (``--output=~/x``)."""
    if not word.startswith("--"):
        return _at_home(word)
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{_at_home(value)}"


def _at_home(path: str) -> str:
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path


def console_script(
    get_parser: Callable[[], argparse.ArgumentParser],
    work: Callable[[argparse.Namespace], int | None],
    interrupted: str = "",
) -> Callable[..., int]:
    """Make the `main` of a tool.

    Args:
        get_parser: Returns the parser; with an option `debug`, errors also show their traceback.
        work: Executes the parsed options; returns an exit code, or None for 0.
        interrupted: Message after Ctrl-C; empty: left to Python.
    """

    def main(args: Sequence[str] | None = None) -> int:
        """Console script: 0, or a message on standard error and the exit code of the error."""
        parser = get_parser()
        options = parser.parse_args(args)

        def complain(error: IvadomedError) -> None:
            print(f"{parser.prog}: {error}", file=sys.stderr)

        try:
            return exit_code(lambda: work(options), complain, getattr(options, "debug", False))
        except KeyboardInterrupt:
            if not interrupted:
                raise
            print(f"{parser.prog}: {interrupted}", file=sys.stderr)
            return 130

    return main


def exit_code(work: Callable[[], int | None], complain: Complain, debug: bool = False) -> int:
    """Run the work of a command; user errors are reported in one line, and others keep their traceback.

    Args:
        work: Returns an exit code; None is 0.
        complain: Shows a user error.
        debug: Show its traceback first.

    Returns:
        The exit code; 141, as for other programs, if the reader of standard output has exited.
    """
    prepare_streams()
    prepare_process()
    try:
        code = work() or 0
        flush_output()
        return code
    except Exception as error:
        code, told = _told(error)
        if told is None and code == 0:
            raise
        with contextlib.suppress(OSError):  # standard error is not writable either
            if debug:
                traceback.print_exc()
            if told is not None:
                complain(told)
        return code


def _told(error: Exception) -> tuple[int, IvadomedError | None]:
    """Exit code and message of a user error; 0 and None for an internal error."""
    told: IvadomedError | None = None
    if isinstance(error, IvadomedError):
        told = error
    elif isinstance(error, OSError) and reader_is_gone(error):
        silence(sys.stdout)
        return _SIGPIPE, None
    elif (missing := shortage(error, _REDUCE)) is not None:
        told = MachineError(missing)
    elif isinstance(error, UnicodeEncodeError):
        told = OutputError(unwritable_name(error))
    elif isinstance(error, OSError) and error.errno is not None and not isinstance(error, FileNotFoundError):
        place = error.filename
        if place is None:
            place = "standard output or a file"
            silence(sys.stdout)
        told = OutputError(
            f"{place}: cannot be written or read ({error.strerror}); fix this, or choose another"
        )
    return (0, None) if told is None else (told.exit_code, told)


def prepare_process() -> None:
    """Exit before loading libraries if the working folder has been removed, because they would fail.

    Also silence joblib's warning about missing semaphores, which ``memory.no_processes`` reports.

    Raises:
        SystemExit: The working folder has been removed.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        sys.exit("ivadomed: the working folder has been removed; change to an existing folder (cd)")
    warnings.filterwarnings("ignore", message=".*joblib will operate in serial mode")
