"""Lock that allows one run at a time in a folder.

It is a lock of the operating system: it ends with its process, however that ends, and worker processes do not inherit
it. A file next to it names the process.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ivadomed.errors import OutputError
from ivadomed.images.files import parse_json

log = logging.getLogger(__name__)

LOCK = "run.lock"
"""JSON with process, host and time of the run."""

_LOCKED = ".run.lock"  # on Windows, a locked file cannot be read
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Context in which no other run may use ``folder``.

    Raises:
        OutputError: Another run uses it.
    """
    folder = folder.resolve()
    record, locked = folder / LOCK, folder / _LOCKED
    lock = FileLock(locked)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(
            f"{folder}: another run ({_holder(record)}) uses this folder; wait for it or choose another --path-output"
        ) from error
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        log.debug("%s: this file system has no locks (%s)", folder, error)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    record.write_text(json.dumps({"pid": os.getpid(), "host": platform.node(), "started": now}))
    try:
        yield
    finally:
        for path in (record, locked):  # while locked, so that no other run can own them
            with contextlib.suppress(OSError):
                path.unlink()
        lock.release()


def _holder(record: Path) -> str:
    try:
        known = parse_json(record.read_bytes())
        if (known["pid"], known["host"]) == (os.getpid(), platform.node()):
            return "of this process"
        return f"process {known['pid']} on {known['host']}, since {known['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "it has just started"
