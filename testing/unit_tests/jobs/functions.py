"""What the tests of calls call in other processes."""

import logging
import os
import signal
import time
from pathlib import Path

from ivadomed.errors import DataError


def square(number: int) -> int:
    logging.getLogger("ivadomed.somewhere").info("squaring %s", number)
    return number * number


def difficult(number: int) -> int:
    """The square; 1 raises the user's error, 2 one of ours, 3 kills the process."""
    if number == 1:
        raise DataError("sub-01: bad")
    if number == 2:
        raise ZeroDivisionError("ours")
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def killed_once(folder: str) -> str:
    """Kills its process when it is called for the first time."""
    mark = Path(folder, "killed")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def slow(folder: str) -> None:
    """Say that it began, and take its time."""
    Path(folder, f"begun-{os.getpid()}-{time.time_ns()}").touch()
    time.sleep(60)
