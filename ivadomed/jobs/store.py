"""The results of finished jobs on disk, so that a job is done once, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ivadomed.errors import OutputError
from ivadomed.images.files import parse_json, write_json


def content_id(content: Any) -> str:
    """Name of a job after what it consists of: the same for the same content, wherever and whenever.

    Args:
        content: JSON-ready; the order of keys does not matter.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ResultStore:
    """A folder with one file for each finished job, which processes of several machines may share.

    Args:
        folder: Made with the first entry.
    """

    folder: Path

    def read(self, job: str) -> Any | None:
        """Result of a finished job; None when it has none."""
        path = self._path(job)
        try:
            return parse_json(path.read_text(encoding="utf-8"))["result"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{path}: cannot be read ({error}); remove it to do this job again") from error

    def write(self, job: str, name: str, result: Any) -> None:
        """Enter the result of a job, atomically.

        Args:
            job: Its id.
            name: For readers of the file.
            result: JSON-ready.
        """
        write_json(self._path(job), {"job": job, "name": name, "result": result})

    def lock(self, job: str) -> FileLock:
        """A lock that the process has that does the job; it goes with the process."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be made ({os.strerror(error.errno or 0)})") from error
        return FileLock(self._path(job).with_suffix(".lock"))

    def _path(self, job: str) -> Path:
        return self.folder / f"{job}.json"


def once(store: ResultStore, job: str, name: str, call: Callable[[], Any]) -> Any:
    """Result of a job: the one in the store, else that of ``call``, which is entered at once.

    A second process that is given the same job, because the first was believed dead, waits for its end.

    Args:
        store: The results so far.
        job: Its id.
        name: For the store.
        call: Does it; its result is JSON-ready.
    """
    lock = store.lock(job)
    with lock:
        result = store.read(job)
        if result is None:
            result = call()
            store.write(job, name, result)
        # Those who wait find the job done, so that it does not matter which file they lock.
        Path(lock.lock_file).unlink(missing_ok=True)
    return result
