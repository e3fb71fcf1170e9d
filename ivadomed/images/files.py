"""Atomic writes of files and folders: readers see the old version or the new one, never a partial one."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed.errors import DataError, DataNotFoundError, OutputError

if TYPE_CHECKING:
    from pandas import DataFrame

_FORMULA = ("=", "+", "-", "@", "\t", "\n")
"""First characters of spreadsheet formulas, and those that some spreadsheets skip before them."""

_SHOWN = 100
"""Number of characters of a key shown in messages."""

_TEMPORARY = re.compile(r"\..*~[a-z0-9_]{8}(\..+)?")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path next to ``path``; move it there if the block ends without an error.

    The temporary name keeps the file's extensions (``x.nii.gz``), because writers choose their format by
    them. The data are on disk before the rename, so a power failure leaves either the old or the new file.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    name = path.name
    stem, extensions = name.split(".", 1) if "." in name[1:] else (name, "")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(
            prefix=f".{stem}~", suffix=f".{extensions}" if extensions else "", dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
    try:
        yield Path(temporary)
        sync(temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        move(temporary, path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def expand_home(path: str) -> str:
    """Expand a leading ``~`` or ``~name`` to the user's home; other paths are returned unchanged.

    Raises:
        ValueError: The user does not exist.
    """
    if not path.startswith("~"):
        return path
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ValueError(
            f"no user {path[1:].split('/')[0]} has a home here; for a folder of that name write ./{path}"
        )
    return expanded


def data_path(path: str | os.PathLike[str]) -> Path:
    """Absolute path of an entry of ``loader_parameters.path_data``; ``~`` is the user's home.

    Raises:
        DataError: The path does not exist or is not readable.
        UnicodeEncodeError: The locale cannot encode the name, so it would not be found.
    """
    place = Path(path).expanduser().absolute()
    os.fsencode(place)
    try:
        is_there = place.exists()
    except OSError as error:  # in a parent folder
        raise DataError(f"{place}: cannot be read ({error.strerror}); check its permissions") from error
    if is_there and not os.access(place, os.R_OK | (os.X_OK if place.is_dir() else 0)):
        raise DataError(f"{place}: cannot be read ({os.strerror(errno.EACCES)}); check its permissions")
    if not is_there:
        raise DataNotFoundError(
            f"{place}: no such folder or table; loader_parameters.path_data must name a data set (BIDS, nnU-Net, "
            "Decathlon, or a .tsv or .csv table)"
        )
    return place


def move(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Rename a file and verify the result.

    A server that is asked again after a lost answer may report a missing file although it renamed it; others
    report success without renaming.

    Raises:
        OSError: The file was not renamed.
    """
    before = os.stat(source)
    try:
        os.replace(source, target)
    except OSError:
        if os.path.lexists(source) or not _is_the_same(target, before):
            raise
    # Another process may have moved its own file there in the meantime, so only a missing file is conclusive.
    if os.path.lexists(source) or not os.path.lexists(target):
        raise OSError(errno.EIO, "the file system did not rename what was written", os.fspath(target))


def _is_the_same(path: str | os.PathLike[str], before: os.stat_result) -> bool:
    """Return whether a path refers to the file that had this status under another name."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@contextmanager
def atomic_folder(folder: str | os.PathLike[str], replace: bool = False) -> Iterator[Path]:
    """Yield a new folder next to ``folder``; move it there if the block ends without an error.

    Args:
        folder: Folder to create; parents are created.
        replace: Replace a non-empty folder. The caller decides whether this is allowed.

    Raises:
        OutputError: ``folder`` is a file, is not empty and not replaced, or cannot be written.
    """
    target = Path(folder).expanduser().resolve()
    _check_free(target, replace)
    partial = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise OutputError(
            f"{target}: cannot create the folder ({error.strerror}); choose a writable place"
        ) from error
    try:
        yield partial
        _check_free(target, replace)
        if target.exists():
            old = partial.with_suffix(".old")
            move(target, old)
            try:
                move(partial, target)
            except OSError:
                move(old, target)
                raise
            shutil.rmtree(old)
        else:
            move(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_free(target: Path, replace: bool) -> None:
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: is a file; give a folder that does not exist or is empty")
    if target.is_dir() and not replace and any(target.iterdir()):
        raise OutputError(f"{target}: the folder is not empty; choose another")


def share_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Give a file a second name atomically; without hard links in the file system, it is copied."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def leftovers(folder: str | os.PathLike[str]) -> list[Path]:
    """Temporary files of ``atomic_path`` in a folder: being written, or left by a killed process."""
    return [path for path in Path(folder).glob(".*~*") if _TEMPORARY.fullmatch(path.name)]


def remove_leftovers(folder: str | os.PathLike[str], skip: Callable[[Path], bool]) -> None:
    """Remove files that killed processes left in a folder and its subfolders, which nobody may be writing to.

    Args:
        folder: The folder.
        skip: Returns whether to skip a subfolder and everything in it.
    """
    for path, folders, _ in os.walk(folder):
        folders[:] = [name for name in folders if not skip(Path(path, name))]
        for leftover in leftovers(path):
            leftover.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class DuplicateKeyError(ValueError):
    """A JSON object has a duplicate key; parsers silently keep the last."""

    def __str__(self) -> str:
        return f"the key {self.args[0][:_SHOWN]!r} occurs twice in one object; keep one"


class NestingError(ValueError):
    """A JSON text is nested too deeply."""


def parse_json(text: str | bytes, unique: bool = False) -> Any:
    """Parse a JSON text; every fault is a ``ValueError``.

    Args:
        text: JSON text.
        unique: Refuse objects with duplicate keys, of which the last would be kept.

    Raises:
        DuplicateKeyError: See ``unique``; its argument is the key.
        NestingError: The text is nested too deeply.
        ValueError: The text is not JSON, or has a number that is too long.
    """
    try:
        return json.loads(text, object_pairs_hook=_with_unique_keys if unique else None)
    except RecursionError:
        raise NestingError("nested too deeply") from None


def _with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise DuplicateKeyError(key)
        content[key] = value
    return content


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON atomically."""
    write_text(path, json.dumps(value, indent=4, ensure_ascii=False) + "\n")


def write_csv(path: str | os.PathLike[str], table: DataFrame, index: bool = True) -> None:
    """Write a table as CSV atomically, with or without its index.

    Text that a spreadsheet would run as a formula (``=HYPERLINK(...)`` from a participants.tsv) is prefixed
    with an apostrophe, which marks text in spreadsheets; numbers are unchanged.
    """
    from pandas import Series  # already loaded by any caller with a table

    safe = table.rename(index=_inert, columns=_inert)
    for number, kind in enumerate(table.dtypes):
        if kind.kind == "O":  # Series.map would convert numbers to other types
            cells = [_inert(cell) for cell in table.iloc[:, number]]
            safe.isetitem(number, Series(cells, index=safe.index, dtype=object))
    with atomic_path(path) as temporary:
        safe.to_csv(temporary, index=index)


def _inert(cell: Any) -> Any:
    """Convert a cell so that it is not a formula; see "CSV injection" of OWASP."""
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r\n", "\n").replace("\r", "\n")  # CSV writers quote only the latter
    if not cell.startswith(_FORMULA) or len(cell.strip()) < 2:
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def sync(path: str | os.PathLike[str]) -> None:
    """Wait until the content of a file is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    # Linux reports it. Elsewhere, reading it requires setting it, and other threads would write without one meanwhile.
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("Umask:")), 8)
    mask = os.umask(0)
    os.umask(mask)
    return mask
