"""Prepare the cases that a cache lacks, once among all processes that share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from ivadomed.errors import IvadomedError, OutputError
from ivadomed.images.files import leftovers
from ivadomed.jobs import Workers, values
from ivadomed.loader.cases.case import Case
from ivadomed.runtime.terminal import hidden_bar, say

_POLL = 0.2
"""Seconds between checks of cases that other processes prepare."""

Item = tuple[Case, Path]
"""A case and its file in the cache."""


def fill(
    missing: Sequence[Item],
    is_there: Callable[[Path], bool],
    prepare: Callable[[Case, Path], None],
    n_jobs: int,
    label: str,
    workers: Workers | None = None,
) -> None:
    """Prepare the missing cases; wait for those that other processes are preparing.

    Each case has a lock next to its file during preparation. The kernel releases the lock of a killed process,
    so another process can take over the case.

    Args:
        missing: Cases to prepare, with their files.
        is_there: Returns whether a file is complete.
        prepare: Writes the file of a case atomically.
        n_jobs: Number of cases to prepare in parallel threads.
        label: Text of the progress bar.
        workers: Processes, or a cluster, that prepare the cases instead.

    Raises:
        DataError: A case cannot be read.
        OutputError: The cache cannot be written.
    """
    old = _leftovers({path.parent for _, path in missing})
    attempt = partial(_prepare_unless_busy, is_there=is_there, prepare=prepare, old=old)
    waiting = False
    with tqdm(
        total=len(missing), desc=f"Preparing {label}", unit="case", leave=False, disable=hidden_bar()
    ) as bar:
        while missing:
            busy, results = [], _in_threads(attempt, missing, n_jobs)
            if workers is not None:
                results = (result for _, result in values(attempt, missing, workers))
            for item, done in results:
                bar.update(done)
                busy += [] if done else [item]
            if busy and not waiting:
                say("Waiting", f"for another process that prepares {len(busy)} of these images")
                waiting = True
            if busy:
                time.sleep(_POLL)
            missing = busy


def _in_threads(
    work: Callable[[Item], tuple[Item, bool]], items: Sequence[Item], n_jobs: int
) -> Iterator[tuple[Item, bool]]:
    """Results in order of completion; after an error, tasks that have started are finished first.

    Threads suffice because unpacking and resampling release the GIL; processes would import everything again.
    """
    with ThreadPoolExecutor(n_jobs) as pool:
        try:
            for job in as_completed([pool.submit(work, item) for item in items]):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _leftovers(folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Partially written files by case; only the process with the lock of a case may remove its files."""
    found: dict[str, list[Path]] = {}
    for path in (path for folder in folders for path in leftovers(folder)):
        found.setdefault(path.name[1:].split("~")[0], []).append(path)
    return found


def _prepare_unless_busy(
    item: Item,
    is_there: Callable[[Path], bool],
    prepare: Callable[[Case, Path], None],
    old: Mapping[str, Sequence[Path]],
) -> tuple[Item, bool]:
    """Prepare a case after removing its partial files; False if another process is preparing it."""
    case, path = item
    lock = path.with_suffix(".lock")
    try:
        with FileLock(lock, timeout=0):
            if not is_there(path):  # another process may have been faster
                for leftover in old.get(path.stem, []):
                    leftover.unlink(missing_ok=True)
                prepare(case, path)
            # Processes waiting for this file then find the case done, so it does not matter which file they lock.
            lock.unlink(missing_ok=True)
    except Timeout:
        return item, False
    except IvadomedError:  # a missing image is an OSError too
        raise
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot be written ({error.strerror or error}); set loader_parameters.cache_dir"
        ) from error
    return item, True
