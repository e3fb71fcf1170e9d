"""Prepared cases on disk, so that a process never holds the data set.

A sample maps just its own slice or patch of a case file, copies it and lets go: memory does not grow with the number
of subjects, and worker processes share the pages. The name of a file is a hash of what it was made from (paths, sizes
and times of the case's files, the fixed steps, the format), so a stale entry is never read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.errors import DataError, OutputError
from ivadomed.loader.case import Case
from ivadomed.loader.case_file import FORMAT, CaseFile, StoredCase, arrays_of, write_case_file
from ivadomed.loader.prepare import Recipe, prepare_case, read_window
from ivadomed.ranks import hidden_bar
from ivadomed.windows import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Entry:
    """A prepared case that samples are read from.

    Args:
        stored: What is known without reading voxels.
        read: Image and target of a window, float32.
    """

    stored: StoredCase
    read: Callable[[Window], tuple[np.ndarray, np.ndarray]]


def open_cases(
    cases: Sequence[Case],
    recipe: Recipe,
    mode: str,
    folder: Path,
    n_jobs: int = 1,
    label: str = "dataset",
    check: Callable[[Sequence[Case]], None] = lambda cases: None,
) -> list[Entry]:
    """Prepare the cases that are not in the cache yet and open all of them.

    Args:
        cases: What to open.
        recipe: Fixed steps.
        mode: "disk" (memory-mapped files), "memory" (arrays), "none" (prepared anew for each sample).
        folder: Of the cache, for "disk".
        n_jobs: Cases prepared at a time.
        label: For the progress bar.
        check: Called with the cases that are going to be prepared, before the first one is.

    Raises:
        DataError: A case cannot be read.
        OutputError: The disk is too small, or the folder cannot be written.
    """
    if mode == "disk":
        paths = [folder / f"{case_key(case, recipe)}.case" for case in cases]
        files = [CaseFile.open(path) for path in paths]
        missing = [(c, p) for c, p, file in zip(cases, paths, files, strict=True) if file is None]
        check([case for case, _ in missing])
        _prepare_missing(missing, recipe, folder, n_jobs, label)
        return [
            _disk_entry(file or CaseFile.open(path), path) for file, path in zip(files, paths, strict=True)
        ]
    check(cases)
    progress = tqdm(cases, desc=f"Loading {label}", unit="case", leave=False, disable=hidden_bar())
    if mode == "memory":
        return [_memory_entry(case, recipe) for case in progress]
    return [_transient_entry(case, recipe) for case in progress]


def case_key(case: Case, recipe: Recipe) -> str:
    """Hash of everything the prepared arrays of a case depend on."""
    steps = [repr(stage.transform) for stage in recipe.fixed.stages]
    identity: list[Any] = [
        FORMAT,
        steps,
        recipe.slice_axis,
        recipe.is_2d,
        recipe.soft_gt,
        case.raters,
        case.channels,
    ]
    identity += [dict(case.metadata).get(key) for key in ("PixelSize", "PixelSizeUnits")]
    if case.box is not None:  # patches enlarge the crop
        identity += [case.box, recipe.length, recipe.stride]
    if recipe.classifier is not None:
        identity.append(recipe.classifier.identity)
    for path in (*case.images, *case.rater_paths, case.roi):
        if path is None:
            identity.append(None)
            continue
        try:
            status = os.stat(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        identity.append([str(Path(path).resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(identity, default=str).encode()).hexdigest()[:32]


def _prepare_missing(
    missing: Sequence[tuple[Case, Path]], recipe: Recipe, folder: Path, n_jobs: int, label: str
) -> None:
    if not missing:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}); set loader_parameters.cache_dir"
        ) from error
    with tqdm(
        total=len(missing), desc=f"Preparing {label}", unit="case", leave=False, disable=hidden_bar()
    ) as bar:
        _prepare_to_disk(*missing[0], recipe)
        bar.update()
        # The first case tells the size of the others.
        _check_space(folder, missing[0][1].stat().st_size, len(missing) - 1)
        # Threads: unpacking and resampling release the interpreter, and processes would load everything again.
        pool = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
        for _ in pool(delayed(_prepare_to_disk)(case, path, recipe) for case, path in missing[1:]):
            bar.update()


def _prepare_to_disk(case: Case, path: Path, recipe: Recipe) -> None:
    write_case_file(path, prepare_case(case, recipe), recipe.is_2d)


def _check_space(folder: Path, size: int, count: int) -> None:
    free = shutil.disk_usage(folder).free
    log.info("Preparing %d images: about %.2f GB in %s.", count + 1, size * (count + 1) / 1e9, folder)
    if size * count > free:
        raise OutputError(
            f"{folder}: the prepared data need about {size * count / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            'set loader_parameters.cache_dir to a larger disk or loader_parameters.cache to "none"'
        )


def _disk_entry(file: CaseFile | None, path: Path) -> Entry:
    if file is None:
        raise DataError(f"{path}: a prepared case vanished while it was in use; start again")
    return Entry(file.stored, file)


@dataclass(frozen=True, eq=False)
class _MemoryReader:
    image: np.ndarray
    target: np.ndarray
    is_2d: bool

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        image = read_window(self.image, window, self.is_2d)
        target = read_window(self.target, window, self.is_2d)
        return np.array(image, np.float32), np.array(target, np.float32)


def _memory_entry(case: Case, recipe: Recipe) -> Entry:
    stored, image, target = arrays_of(prepare_case(case, recipe), recipe.is_2d)
    return Entry(stored, _MemoryReader(image, target, recipe.is_2d))


@dataclass(frozen=True, eq=False)
class _TransientReader:
    case: Case
    recipe: Recipe

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        return _memory_entry(self.case, self.recipe).read(window)


def _transient_entry(case: Case, recipe: Recipe) -> Entry:
    # The verdicts of a classifier are among the facts that stay; samples need not ask it again.
    reader = _TransientReader(case, replace(recipe, classifier=None))
    return Entry(_memory_entry(case, recipe).stored, reader)
