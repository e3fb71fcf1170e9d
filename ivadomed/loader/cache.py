"""Prepared cases on disk, so that a process never holds the data set.

One file per case: a line of JSON (shapes, types, facts) followed by the image and the target as plain arrays.
A sample maps just its own slice or patch, copies it and lets go: memory does not grow with the number of
subjects, and worker processes share the pages. The name of a file is a hash of what it was made from (paths,
sizes and times of the case's files, the fixed steps, this format), so a stale entry is never read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.errors import DataError, OutputError
from ivadomed.files import atomic_path
from ivadomed.loader.case import Case
from ivadomed.loader.prepare import Prepared, Recipe, SliceFacts, prepare_case, read_window
from ivadomed.windows import Window

log = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True)
class StoredCase:
    """What is known of a prepared case without reading its voxels.

    Args:
        image_shape: Shape of ``Prepared.image``.
        target_shape: Shape of ``Prepared.target``.
        target_dtype: "uint8" when all labels are 0 or 1, else "float32".
        facts: For the slice filter.
        zooms: mm along H, W, D.
    """

    image_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    target_dtype: str
    facts: SliceFacts
    zooms: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Entry:
    """A prepared case that samples are read from."""

    stored: StoredCase
    read: Callable[[Window], tuple[np.ndarray, np.ndarray]]


def open_cases(
    cases: Sequence[Case], recipe: Recipe, mode: str, folder: Path, n_jobs: int = 1, label: str = "dataset"
) -> list[Entry]:
    """Prepare the cases that are not in the cache yet and open all of them.

    Args:
        cases: What to open.
        recipe: Fixed steps.
        mode: "disk" (memory-mapped files), "memory" (arrays), "none" (prepared anew for each sample).
        folder: Of the cache, for "disk".
        n_jobs: Cases prepared at a time.
        label: For the progress bar.

    Raises:
        DataError: A case cannot be read.
        OutputError: The disk is too small.
    """
    if mode == "disk":
        paths = [folder / f"{case_key(case, recipe)}.case" for case in cases]
        _prepare_missing(cases, recipe, paths, folder, n_jobs, label)
        return [_disk_entry(path, recipe.is_2d) for path in paths]
    progress = tqdm(cases, desc=f"Loading {label}", unit="case", leave=False, disable=None)
    if mode == "memory":
        return [_memory_entry(prepare_case(case, recipe), recipe.is_2d) for case in progress]
    return [_transient_entry(case, recipe) for case in progress]


def case_key(case: Case, recipe: Recipe) -> str:
    """Hash of everything the prepared arrays of a case depend on."""
    identity: list[Any] = [
        FORMAT,
        [repr(stage.transform) for stage in recipe.fixed.stages],
        recipe.slice_axis,
        recipe.is_2d,
        recipe.soft_gt,
    ]
    identity.append(case.raters)
    for path in (*case.images, *case.rater_paths, case.roi):
        if path is None:
            identity.append(None)
            continue
        try:
            status = os.stat(path)
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        identity.append([str(Path(path).resolve()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def _prepare_missing(
    cases: Sequence[Case], recipe: Recipe, paths: Sequence[Path], folder: Path, n_jobs: int, label: str
) -> None:
    missing = [(case, path) for case, path in zip(cases, paths, strict=True) if _read_header(path) is None]
    if not missing:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror}); set loader_parameters.cache_dir"
        ) from error
    # The first case tells the size of the others.
    bar = tqdm(total=len(missing), desc=f"Preparing {label}", unit="case", leave=False, disable=None)
    _prepare_to_disk(*missing[0], recipe)
    bar.update()
    _check_space(folder, missing[0][1].stat().st_size, len(missing) - 1)
    # Threads: unpacking and resampling release the interpreter, and processes would load everything again first.
    pool = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator_unordered")
    for _ in pool(delayed(_prepare_to_disk)(case, path, recipe) for case, path in missing[1:]):
        bar.update()
    bar.close()


def _check_space(folder: Path, size: int, count: int) -> None:
    free = shutil.disk_usage(folder).free
    if size * count > free:
        raise OutputError(
            f"{folder}: the prepared data need about {size * count / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            'set loader_parameters.cache_dir to a larger disk or loader_parameters.cache to "none"'
        )
    log.debug("Cache: %d cases of about %.1f MB in %s.", count + 1, size / 1e6, folder)


def _prepare_to_disk(case: Case, path: Path, recipe: Recipe) -> None:
    prepared = prepare_case(case, recipe)
    stored, image, target = _pack(prepared)
    header = json.dumps(
        {
            "format": FORMAT,
            "case": case.id,
            "image_shape": stored.image_shape,
            "target_shape": stored.target_shape,
            "target_dtype": stored.target_dtype,
            "facts": stored.facts.to_json(),
            "zooms": stored.zooms,
        }
    ).encode()
    # The arrays begin on a page boundary behind the header.
    start = -(-(len(header) + 16) // 4096) * 4096
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(b"%08d%08d" % (len(header), start))
        file.write(header.ljust(start - 16))
        image.tofile(file)
        target.tofile(file)


def _pack(prepared: Prepared) -> tuple[StoredCase, np.ndarray, np.ndarray]:
    image = np.ascontiguousarray(prepared.image, np.float32)
    assert prepared.target is not None
    binary = bool(np.isin(prepared.target, (0, 1)).all())
    target = np.ascontiguousarray(prepared.target, np.uint8 if binary else np.float32)
    stored = StoredCase(image.shape, target.shape, target.dtype.name, prepared.facts, prepared.zooms)
    return stored, image, target


def _read_header(path: Path) -> tuple[StoredCase, int] | None:
    """Header and start of the arrays; None when the file is absent or not whole."""
    try:
        with path.open("rb") as file:
            length, start = int(file.read(8)), int(file.read(8))
            fields = json.loads(file.read(length))
        stored = StoredCase(
            tuple(fields["image_shape"]),
            tuple(fields["target_shape"]),
            fields["target_dtype"],
            SliceFacts(**fields["facts"]),
            tuple(fields["zooms"]),
        )
        size = start + 4 * int(np.prod(stored.image_shape))
        size += np.dtype(stored.target_dtype).itemsize * int(np.prod(stored.target_shape))
        return (stored, start) if path.stat().st_size == size else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class _DiskReader:
    path: Path
    stored: StoredCase
    start: int
    is_2d: bool

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        image_bytes = 4 * int(np.prod(self.stored.image_shape))
        parts = (
            (np.float32, self.start, self.stored.image_shape),
            (np.dtype(self.stored.target_dtype), self.start + image_bytes, self.stored.target_shape),
        )
        # Mapped anew for each sample: no file handle stays open, and pages do not count as ours afterwards.
        arrays = [np.memmap(self.path, dtype, "r", offset, shape) for dtype, offset, shape in parts]
        image, target = (np.array(read_window(array, window, self.is_2d), np.float32) for array in arrays)
        return image, target


def _disk_entry(path: Path, is_2d: bool) -> Entry:
    header = _read_header(path)
    if header is None:
        raise DataError(f"{path}: a prepared case vanished while it was in use; start again")
    stored, start = header
    return Entry(stored, _DiskReader(path, stored, start, is_2d))


@dataclass(frozen=True, eq=False)
class _MemoryReader:
    image: np.ndarray
    target: np.ndarray
    is_2d: bool

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        image = read_window(self.image, window, self.is_2d)
        target = read_window(self.target, window, self.is_2d)
        return np.array(image, np.float32), np.array(target, np.float32)


def _memory_entry(prepared: Prepared, is_2d: bool) -> Entry:
    stored, image, target = _pack(prepared)
    return Entry(stored, _MemoryReader(image, target, is_2d))


@dataclass(frozen=True, eq=False)
class _TransientReader:
    case: Case
    recipe: Recipe

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        entry = _memory_entry(prepare_case(self.case, self.recipe), self.recipe.is_2d)
        return entry.read(window)


def _transient_entry(case: Case, recipe: Recipe) -> Entry:
    stored, _, _ = _pack(prepare_case(case, recipe))
    return Entry(stored, _TransientReader(case, recipe))
