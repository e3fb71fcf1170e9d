"""Split of a data set on disk: ``split_datasets.joblib``, as in ivadomed 2.9.10, and a readable JSON file."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.images.files import atomic_path, parse_json, write_json
from ivadomed.loader.layouts.naming import subject_of
from ivadomed.runtime.ranks import is_first_process

SIDES = ("train", "valid", "test")
FILE_NAME = "split_datasets"
SPLITS = "splits.json"
"""Splits of all folds, in the folder of the run: a list of contents of ``split_datasets.json``."""

_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "str_"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
}


def write_split(folder: str | PathLike[str], split: Mapping[str, Sequence[str]]) -> None:
    """Write a split {"train": [...], "valid": [...], "test": [...]} in both formats, each atomically.

    Of several processes that train together and all draw the same split, the first writes it.
    """
    if not is_first_process():
        return
    import joblib  # needed only here

    plain = {side: list(map(str, split[side])) for side in SIDES}
    with atomic_path(Path(folder, f"{FILE_NAME}.joblib")) as temporary:
        joblib.dump(plain, temporary)
    write_json(Path(folder, f"{FILE_NAME}.json"), plain)


def saved_file(folder: str | PathLike[str]) -> Path | None:
    """Split saved in the folder of a run; ivadomed 2 wrote no JSON."""
    files = (Path(folder, f"{FILE_NAME}{suffix}") for suffix in (".json", ".joblib"))
    return next((file for file in files if file.is_file()), None)


def read_split(path: str | PathLike[str], fold: int = 0) -> dict[str, list[str]]:
    """Read a split from ``.json`` or ``.joblib``; the latter may hold only plain values, and no code is run.

    Args:
        path: The file; a JSON list holds the splits of a cross-validation, as saved by a run, or is the
            ``splits_final.json`` of nnU-Net, with BIDS names for its cases and no test set.
        fold: Index into a list.

    Raises:
        DataError: The file is missing, corrupt, holds other objects, or lacks a side or the fold.
    """
    path = Path(path)
    value = _content(path)
    if isinstance(value, list) and value:
        value = _of_fold(path, value, fold)
    if not isinstance(value, dict) or not set(SIDES) <= value.keys():
        raise DataError(f"split_dataset.fname_split: {path} must hold the keys {list(SIDES)}")
    return {side: _names(path, side, value[side]) for side in SIDES}


def count_splits(path: str | PathLike[str], expected: int | None = None) -> int:
    """Number of splits in a cross-validation file.

    Args:
        path: A JSON list, see `read_split`.
        expected: ``split_dataset.n_folds``.

    Raises:
        DataError: It holds a single split, or not the expected number.
    """
    value = _content(Path(path))
    if not isinstance(value, list) or len(value) < 2:
        raise DataError(
            f'split_dataset.fname_split: {path} holds one split; fold "all" expects a list of them, such as '
            "splits_final.json of nnU-Net, or null to draw them"
        )
    if expected not in (None, len(value)):
        raise DataError(
            f"split_dataset.n_folds: {expected}, but {path} has {len(value)} folds; set it to that or null"
        )
    return len(value)


def _content(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"split_dataset.fname_split: {path} cannot be read ({error.strerror})") from error
    try:
        return parse_json(content, unique=True) if path.suffix == ".json" else _load_pickle(content)
    except Exception as error:  # a corrupt pickle raises nearly anything
        raise DataError(f"split_dataset.fname_split: {path} is not a split file ({error})") from error


def _of_fold(path: Path, folds: list[Any], fold: int) -> dict[str, list[str]]:
    if not 0 <= fold < len(folds):
        raise DataError(f"split_dataset.fold: {path} has the folds 0 to {len(folds) - 1}, but no {fold}")
    content = folds[fold]
    if isinstance(content, dict) and set(SIDES) <= content.keys():
        return content
    if not isinstance(content, dict) or not {"train", "val"} <= content.keys():
        raise DataError(
            f'split_dataset.fname_split: {path} must hold {{"train": [...], "val": [...]}} for fold {fold}'
        )
    sides = {"train": _names(path, "train", content["train"]), "valid": _names(path, "val", content["val"])}
    named = {side: ["_".join(filter(None, subject_of(name))) for name in sides[side]] for side in sides}
    return {**named, "test": []}


def _names(path: Path, side: str, value: Any) -> list[str]:
    names = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise DataError(f'split_dataset.fname_split: {path}: "{side}" must be a list of file names')
    return [str(name) for name in names]


def _load_pickle(content: bytes) -> Any:
    unpickler = _PlainUnpickler(io.BytesIO(content), len(content))
    return unpickler.load()


class _JoblibArray:
    """State of a ``joblib.numpy_pickle.NumpyArrayWrapper``: it describes the raw bytes that follow."""

    subclass: type
    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]
    numpy_array_alignment_bytes: int | None = None

    def read(self, file: io.BytesIO, limit: int) -> np.ndarray:
        """Read the array, in the format of joblib since 0.10."""
        if self.dtype.kind != "U":
            raise pickle.UnpicklingError(f"arrays of {self.dtype} are not allowed")
        if self.numpy_array_alignment_bytes is not None:
            file.read(file.read(1)[0])
        count = int(np.prod(self.shape))
        if not 0 <= count * self.dtype.itemsize <= limit:
            raise pickle.UnpicklingError("an array is larger than the file")
        flat = np.frombuffer(file.read(count * self.dtype.itemsize), self.dtype, count)
        return flat.reshape(self.shape, order="F" if self.order == "F" else "C")


def _dtype(text: str, *_: Any) -> np.dtype[Any]:
    """Replacement for ``numpy.dtype`` in a pickle that allows only strings or lists of objects."""
    dtype = np.dtype(str(text))
    if dtype.kind not in "UO" or dtype.names is not None:
        raise pickle.UnpicklingError(f"arrays of {dtype} are not allowed")
    return dtype


class _PlainUnpickler(pickle._Unpickler):  # the Python version: arrays are in the stream between two opcodes
    """Unpickles containers, strings, numbers and numpy arrays of strings; refuses everything else."""

    # Copy of the opcode table; one entry is changed below.
    dispatch = dict(pickle._Unpickler.dispatch)  # noqa: RUF012

    def __init__(self, file: io.BytesIO, size: int) -> None:
        super().__init__(file)
        self._stream, self._size = file, size

    def find_class(self, module: str, name: str) -> Any:
        """Resolve a name if it is on the short list of harmless ones."""
        if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper"):
            return _JoblibArray
        if (module, name) == ("numpy", "dtype"):
            return _dtype
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a split file")
        return super().find_class(module, name)

    def load_build(self) -> None:
        """Finish an object; a joblib array is followed by its bytes."""
        if isinstance(self.stack[-2], np.dtype):  # type: ignore[attr-defined]
            # numpy would accept flags from the state that make it read memory as objects.
            order = self.stack.pop()[1]  # type: ignore[attr-defined]
            self.stack[-1] = self.stack[-1].newbyteorder(order)  # type: ignore[attr-defined]
            return
        super().load_build()  # type: ignore[misc]
        if isinstance(self.stack[-1], _JoblibArray):  # type: ignore[attr-defined]
            self.stack[-1] = self.stack[-1].read(self._stream, self._size)  # type: ignore[attr-defined]

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]
