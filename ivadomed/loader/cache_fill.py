"""Preparing the cases that a cache lacks, once among all processes that share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.errors import OutputError
from ivadomed.loader.case import Case
from ivadomed.terminal import hidden_bar, say

_POLL = 0.2
"""Seconds between two looks at the cases that other processes prepare."""

Item = tuple[Case, Path]
"""A case and its file in the cache."""


def fill(
    missing: Sequence[Item],
    is_there: Callable[[Path], bool],
    prepare: Callable[[Case, Path], None],
    n_jobs: int,
    label: str,
) -> None:
    """Prepare the missing cases; wait for those that other processes are at.

    Each case has a lock beside its file while it is prepared. The kernel frees the lock of a process that was killed,
    so that another one takes the case over.

    Args:
        missing: What to prepare.
        is_there: Whether a file is whole.
        prepare: Writes the file of a case, atomically.
        n_jobs: Cases prepared at a time.
        label: For the progress bar.

    Raises:
        DataError: A case cannot be read.
        OutputError: The cache cannot be written.
    """
    # Threads: unpacking and resampling release the interpreter, and processes would load everything again.
    pool = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
    waiting = False
    with tqdm(
        total=len(missing), desc=f"Preparing {label}", unit="case", leave=False, disable=hidden_bar()
    ) as bar:
        while missing:
            busy = []
            for item, done in pool(
                delayed(_prepare_unless_busy)(item, is_there, prepare) for item in missing
            ):
                bar.update(done)
                busy += [] if done else [item]
            if busy and not waiting:
                say("Waiting", f"for another process that prepares {len(busy)} of these images")
                waiting = True
            if busy:
                time.sleep(_POLL)
            missing = busy


def _prepare_unless_busy(
    item: Item, is_there: Callable[[Path], bool], prepare: Callable[[Case, Path], None]
) -> tuple[Item, bool]:
    """Prepare a case; False when another process is at it."""
    case, path = item
    lock = path.with_suffix(".lock")
    try:
        with FileLock(lock, timeout=0):
            if not is_there(path):  # another process may have been faster
                prepare(case, path)
            # Those who wait for this file find the case done, so that it does not matter which file they lock.
            lock.unlink(missing_ok=True)
    except Timeout:
        return item, False
    except OSError as error:
        raise OutputError(
            f"{path.parent}: cannot be written ({error.strerror or error}); set loader_parameters.cache_dir"
        ) from error
    return item, True
