"""What every tool does around its work: errors of the user become one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from ivadomed.errors import IvadomedError


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
