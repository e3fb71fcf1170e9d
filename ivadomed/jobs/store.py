"""Results of finished jobs on disk, so that each job is done only once, even after interruptions."""

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
    """Id of a job derived from its content: always the same for the same content.

    Args:
        content: JSON-ready; the order of keys does not matter.
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ResultStore:
    """A folder with one file per finished job, which processes of several machines may share.

    Args:
        folder: Folder, created with the first entry.
    """

    folder: Path

    def read(self, job: str) -> Any | None:
        """Result of a finished job; None if there is none."""
        path = self._path(job)
        try:
            return parse_json(path.read_text(encoding="utf-8"))["result"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{path}: cannot be read ({error}); remove it to do this job again") from error

    def write(self, job: str, name: str, result: Any) -> None:
        """Store the result of a job atomically.

        Args:
            job: Id of the job.
            name: Name of the job, for information.
            result: JSON-ready result.
        """
        write_json(self._path(job), {"job": job, "name": name, "result": result})

    def lock(self, job: str) -> FileLock:
        """Lock held by the process that does the job; released when the process ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot be created ({os.strerror(error.errno or 0)})"
            ) from error
        return FileLock(self._path(job).with_suffix(".lock"))

    def _path(self, job: str) -> Path:
        return self.folder / f"{job}.json"


def once(store: ResultStore, job: str, name: str, call: Callable[[], Any]) -> Any:
    """Result of a job: from the store, else from ``call``, whose result is stored immediately.

    If a second process gets the same job because the first was presumed dead, it waits for the first to end.

    Args:
        store: Results so far.
        job: Id of the job.
        name: Name of the job in the store.
        call: Function that does the job; its result is JSON-ready.
    """
    lock = store.lock(job)
    with lock:
        result = store.read(job)
        if result is None:
            result = call()
            store.write(job, name, result)
        # Waiting processes find the job done, so it does not matter which file they lock.
        Path(lock.lock_file).unlink(missing_ok=True)
    return result
