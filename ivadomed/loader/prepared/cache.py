"""Prepared cases on disk, so that no process has to hold the data set in memory.

A sample maps only its own slice or patch of a case file, copies it and closes the mapping: memory does not grow
with the number of subjects, and worker processes share the pages. File names are hashes of what the file
depends on (paths, sizes and times of the case's files, the fixed steps, the format), so stale entries are never read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from tqdm import tqdm

from ivadomed.errors import DataError, DataNotFoundError, OutputError
from ivadomed.geometry.windows import Window
from ivadomed.images.labels import LabelFile
from ivadomed.images.volume_of import VolumeOf
from ivadomed.jobs import Workers
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.checks import check_disk, check_memory, prepared_bytes
from ivadomed.loader.prepared.files import FORMAT, CaseFile, HDF5Case, StoredCase, arrays_of
from ivadomed.loader.prepared.fill import fill
from ivadomed.loader.prepared.prepare import Recipe, prepare_case, read_window
from ivadomed.runtime.terminal import hidden_bar, say

log = logging.getLogger(__name__)


class Entry(Protocol):
    """A prepared case that samples are read from."""

    @property
    def stored(self) -> StoredCase:
        """Description, available without reading voxels."""

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Image and target of a window, float32."""


Value = TypeVar("Value")


class Packed(Generic[Value]):
    """Values pickled into one array of bytes that worker processes share; unpickled on access.

    Accessing a Python object writes its reference count, and so copies its page into every worker process that
    does. With thousands of cases, this exceeds everything else a worker holds; bytes stay shared.

    Args:
        values: Small values that can be pickled.
    """

    def __init__(self, values: Iterable[Value]) -> None:
        parts = [pickle.dumps(value, pickle.HIGHEST_PROTOCOL) for value in values]
        self._bytes = np.frombuffer(b"".join(parts), np.uint8)
        self._ends = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> Value:
        if not 0 <= index < len(self):
            raise IndexError(index)
        value: Value = pickle.loads(self._bytes[self._ends[index] : self._ends[index + 1]].data)
        return value

    def __iter__(self) -> Iterator[Value]:
        return (self[index] for index in range(len(self)))


Entries = Sequence[Entry] | Packed[Entry]
"""The prepared cases of a data set, in order."""

FILES: Mapping[str, type[CaseFile] | type[HDF5Case]] = {"disk": CaseFile, "hdf5": HDF5Case}
"""Kinds of file, by ``loader_parameters.cache``."""


def open_cases(
    cases: Sequence[Case],
    recipe: Recipe,
    mode: str,
    folder: Path,
    n_jobs: int = 1,
    label: str = "dataset",
    check: Callable[[Sequence[Case]], None] = lambda cases: None,
    workers: Workers | None = None,
) -> Entries:
    """Prepare the cases that are missing in the cache, and open all.

    Args:
        cases: Cases to open.
        recipe: Fixed steps.
        mode: "disk" (memory-mapped files), "hdf5" (compressed files), "memory" (arrays), "none" (prepared again
            for each sample).
        folder: Cache folder, for modes with files.
        n_jobs: Number of cases to prepare in parallel threads.
        label: Text of the progress bar.
        check: Called with the cases to prepare, before the first of them.
        workers: Processes, or a cluster, that prepare the files instead.

    Raises:
        DataError: A case cannot be read, or the cases do not fit into memory.
        OutputError: The disk is too small, or the folder cannot be written.
    """
    if mode not in FILES:
        check(cases)
        if mode == "memory":
            size = prepared_bytes(cases, recipe)
            log.info("Loading %d images: about %s of memory.", len(cases), tqdm.format_sizeof(size, "B"))
            check_memory(size)
        kind = MemoryCase if mode == "memory" else TransientCase
        progress = tqdm(cases, desc=f"Loading {label}", unit="case", leave=False, disable=hidden_bar())
        return [kind.prepare(case, recipe) for case in progress]
    paths = [cache_path(folder, case, recipe, mode) for case in cases]
    files = [FILES[mode].open(path) for path in paths]
    missing = [(c, p) for c, p, file in zip(cases, paths, files, strict=True) if file is None]
    check([case for case, _ in missing])
    if missing:
        _check_room([case for case, _ in missing], recipe, mode, folder)
        fill(
            missing,
            is_there=lambda path: FILES[mode].open(path) is not None,
            prepare=lambda case, path: FILES[mode].write(path, prepare_case(case, recipe), recipe.is_2d),
            n_jobs=n_jobs,
            label=label,
            workers=workers,
        )
    return Packed(file or _opened(path, mode) for file, path in zip(files, paths, strict=True))


def _check_room(cases: Sequence[Case], recipe: Recipe, mode: str, folder: Path) -> None:
    """Create the folder, and report how much space the cases need there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be created ({error.strerror}); set loader_parameters.cache_dir"
        ) from error
    compressed = mode == "hdf5"
    size = prepared_bytes(cases, recipe, in_blocks=not compressed)
    limit = "at most" if compressed else "about"
    say("Prepare", f"{len(cases)} images: {limit} {tqdm.format_sizeof(size, 'B')} in {folder}")
    check_disk(folder, size, compressed)


def _opened(path: Path, mode: str) -> Entry:
    file = FILES[mode].open(path)
    if file is None:
        raise DataError(f"{path}: a prepared case vanished while it was in use; start again")
    return file


def cache_path(folder: Path, case: Case, recipe: Recipe, mode: str) -> Path:
    """File of a case in a cache with one of the file formats in ``FILES``."""
    return folder / f"{case_key(case, recipe)}{FILES[mode].EXTENSION}"


def case_key(case: Case, recipe: Recipe) -> str:
    """Hash of everything that the prepared arrays of a case depend on."""
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
    for file in (*case.images, *case.rater_files, case.roi, case.ignore):
        if file is None:
            identity.append(None)
            continue
        path, values = (file.path, file.values) if isinstance(file, LabelFile) else (file, ())
        if isinstance(file, VolumeOf):
            values = (file.index,)
        try:
            status = os.stat(path)
        except FileNotFoundError as error:
            raise DataNotFoundError(f"{path}: the file no longer exists") from error
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        identity.append([str(Path(path).resolve()), status.st_size, status.st_mtime_ns, values])
    return hashlib.sha256(json.dumps(identity, default=str).encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class MemoryCase:
    """A prepared case in memory."""

    stored: StoredCase
    image: np.ndarray
    target: np.ndarray

    @classmethod
    def prepare(cls, case: Case, recipe: Recipe) -> MemoryCase:
        return cls(*arrays_of(prepare_case(case, recipe), recipe.is_2d))

    @property
    def nbytes(self) -> int:
        return self.image.nbytes + self.target.nbytes

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        image, target = (read_window(array, window, self.stored.is_2d) for array in (self.image, self.target))
        return np.array(image, np.float32), np.array(target, np.float32)


@dataclass(frozen=True, eq=False)
class TransientCase:
    """A case that is prepared again for each sample."""

    stored: StoredCase
    case: Case
    recipe: Recipe

    @classmethod
    def prepare(cls, case: Case, recipe: Recipe) -> TransientCase:
        # The verdicts of a classifier are kept with the facts, so samples need not run it again.
        return cls(MemoryCase.prepare(case, recipe).stored, case, replace(recipe, classifier=None))

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        return MemoryCase.prepare(self.case, self.recipe).read(window)


class RecentCases:
    """Prepares cases on demand and keeps the most recently used ones in memory.

    Args:
        cases: The cases.
        recipe: Fixed steps.
        budget: Bytes of voxels to keep; the case in use is always kept.
    """

    def __init__(self, cases: Sequence[Case], recipe: Recipe, budget: int) -> None:
        self.cases, self.recipe, self.budget = tuple(cases), recipe, budget
        self._held: OrderedDict[int, MemoryCase] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        """Worker processes start empty."""
        return {**vars(self), "_held": OrderedDict()}

    def prepared(self, index: int) -> MemoryCase:
        """The case at ``index``."""
        if index not in self._held:
            self._held[index] = MemoryCase.prepare(self.cases[index], self.recipe)
            held = sum(case.nbytes for case in self._held.values())
            while held > self.budget and len(self._held) > 1:
                held -= self._held.popitem(last=False)[1].nbytes
        self._held.move_to_end(index)
        return self._held[index]

    def entry(self, index: int) -> Entry:
        """The case at ``index`` as an entry for samples; prepares it once to determine its shape."""
        return _RecentCase(self.prepared(index).stored, self, index)


@dataclass(frozen=True, eq=False)
class _RecentCase:
    stored: StoredCase
    recent: RecentCases
    index: int

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        return self.recent.prepared(self.index).read(window)
