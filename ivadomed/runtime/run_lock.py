"""One run at a time in a folder.

The lock is one of the operating system's: it ends with the process that holds it, however that ends. The file says
who that is. Worker processes do not inherit it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ivadomed.errors import OutputError
from ivadomed.images.files import parse_json

try:
    import fcntl

    _LOCKS = True
except ImportError:  # Windows has no such locks
    _LOCKS = False

log = logging.getLogger(__name__)

LOCK = "run.lock"

_HELD: set[Path] = set()


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Context in which no other run may use ``folder``.

    Raises:
        OutputError: Another run does.
    """
    path = folder.resolve() / LOCK
    if not _LOCKS:
        yield
        return
    # To open and close the file would let go of the lock that this process has on it.
    if path in _HELD:
        raise _in_use(path, "of this process")
    descriptor = _lock(path)
    _HELD.add(path)
    try:
        yield
    finally:
        _HELD.discard(path)
        with contextlib.suppress(OSError):
            path.unlink()  # while it is locked, so that it is nobody else's
        os.close(descriptor)


def _lock(path: Path) -> int:
    """Descriptor of the locked file."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = _holder(descriptor)
            os.close(descriptor)
            raise _in_use(path, holder) from error
        except OSError as error:
            log.debug("%s: this file system has no locks (%s)", path, error.strerror)
            return descriptor
        if _is_file(descriptor, path):
            break
        os.close(descriptor)  # the run before has just removed it
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    text = json.dumps({"pid": os.getpid(), "host": platform.node(), "started": now})
    os.ftruncate(descriptor, 0)
    os.write(descriptor, text.encode())
    return descriptor


def _in_use(path: Path, holder: str) -> OutputError:
    return OutputError(
        f"{path.parent}: another run ({holder}) uses this folder; wait for it or choose another --path-output"
    )


def _is_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> str:
    try:
        known = parse_json(os.read(descriptor, 4096))
        return f"process {known['pid']} on {known['host']}, since {known['started']}"
    except (ValueError, KeyError, TypeError):
        return "it has just begun"
