"""What "clear" means: an exit code, at most three lines that name the place, no traceback, and nothing lost."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

MOST_LINES = 3


def assert_clear(code: int, error: str, pattern: str) -> None:
    """Check how a command failed.

    Args:
        code: Its exit code.
        error: Its standard error.
        pattern: What the message must say, a regular expression.
    """
    assert code != 0, "the fault went unnoticed"
    assert "Traceback" not in error, error
    lines = error.strip().splitlines()
    assert 0 < len(lines) <= MOST_LINES, error
    assert lines[0].startswith("ivadomed"), error
    assert re.search(pattern, error, re.DOTALL), error


def contents(folder: Path) -> dict[str, str]:
    """What lies in a folder: files with a digest of their bytes, links with their target."""
    return {str(path.relative_to(folder)): _identity(path) for path in sorted(folder.rglob("*"))}


def _identity(path: Path) -> str:
    if path.is_symlink():
        return os.readlink(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def command(arguments: Sequence[object], timeout: float = 120, **options) -> tuple[int, str]:
    """Run ``ivadomed`` in a process of its own; its exit code and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "ivadomed", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=timeout,
        **options,
    )
    return done.returncode, done.stderr
