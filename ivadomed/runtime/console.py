"""What every tool does around its work: options are read, errors of the user become one line and an exit code."""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from ivadomed.errors import IvadomedError


class ToolParser(argparse.ArgumentParser):
    """The parser of a console script.

    Long options are declared with hyphens and may be written with underscores too: ivadomed 2 had some of both. A
    value may begin with a minus and a digit (``-y -1,0``); plain argparse takes only whole numbers like that for a
    value.

    Args:
        prog: Name of the tool.
        description: What it does.
        epilog: Examples, whose lines are kept.
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
        """As of argparse, which all its ways to parse come to."""
        words = sys.argv[1:] if args is None else args
        return super().parse_known_args([_with_hyphens(word) for word in words], namespace)


def _with_hyphens(word: str) -> str:
    name, equals, value = word.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}" if name.startswith("--") else word


def run_tool(name: str, work: Callable[[], int | None], interrupted: str = "", debug: bool = False) -> int:
    """Run the work of a console script.

    Args:
        name: Of the tool.
        work: Returns an exit code; None is 0.
        interrupted: What to say after Ctrl-C; empty: it is left to Python.
        debug: Show the traceback of an error too.

    Returns:
        The exit code; errors stand on standard error.
    """
    try:
        return work() or 0
    except IvadomedError as error:
        if debug:
            traceback.print_exc()
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        if not interrupted:
            raise
        print(f"{name}: {interrupted}", file=sys.stderr)
        return 130
