"""HDF5 files that get their name only when complete, and are read only when complete.

The HDF5 library writes late, and h5py drops errors of unused objects: on a full disk, blocks would be missing
from a file that looks complete, and be read as zeros. Python therefore does the writing, the first error stops
it, and every array is read back and compared with the checksum stored next to it.

An untrusted file can refer to other files (links, raw and virtual storage) and plug-ins (filters), and declare
arrays far larger than itself. Files written by ivadomed never do, and ``open_checked`` refuses it.
"""

from __future__ import annotations

import io
import math
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.errors import DataError, OutputError
from ivadomed.images.files import atomic_path, sync

if TYPE_CHECKING:
    import h5py

CHECKSUM = "crc32"
"""Attribute of a data set: CRC-32 of its values in C order."""

_BLOCK_BYTES = 1 << 24

_DEPTH = 3
"""Levels of the layout: subject, kind, contrast."""

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
"""Filters that are built into h5py and sufficient for numpy arrays."""

_FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)


@contextmanager
def checked_hdf5(path: str | os.PathLike[str], **options: Any) -> Iterator[h5py.File]:
    """Yield an HDF5 file to write to; it gets its name once everything from ``add_array`` is on disk.

    Args:
        path: The file; an existing one is replaced.
        options: Options of ``h5py.File``.

    Raises:
        OutputError: The file cannot be written, or its content differs from what was written.
    """
    import h5py  # only users of HDF5 need it

    with atomic_path(path) as temporary:
        with open(temporary, "r+b", buffering=0) as raw:
            disk = _Disk(raw)
            try:
                with h5py.File(disk, "w", **options) as file:
                    yield file
            finally:
                disk.check()
        sync(temporary)
        if not _holds_its_checksums(temporary):
            raise OutputError(
                f"{path}: its content differs from what was written; is the disk full or damaged?"
            )


class _Disk(io.RawIOBase):
    """File that keeps its first error for ``check``.

    The HDF5 library may crash when it cannot write its buffers, so it is told that all writes succeed.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error, if any."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self._error is None:
                left = left[self._raw.write(left) :]
        except OSError as error:
            self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        return self._raw.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()


def add_array(group: h5py.Group, name: str, array: np.ndarray, **options: Any) -> h5py.Dataset:
    """Add an array and its checksum.

    Args:
        group: Group to add to.
        name: Name of the data set.
        array: Any shape; numbers.
        options: Options of ``h5py.Group.create_dataset``.
    """
    dataset = group.create_dataset(name, data=array, **options)
    dataset.attrs[CHECKSUM] = np.uint32(_crc(array))
    return dataset


def is_allocated(dataset: h5py.Dataset, file_size: int) -> bool:
    """Return whether all blocks of a chunked data set are in the file; missing ones would be read as zeros.

    Args:
        dataset: The data set.
        file_size: Bytes of its file.
    """
    ends: list[int] = []
    dataset.id.chunk_iter(lambda block: ends.append(block.byte_offset + block.size))
    expected = np.prod([-(-n // side) for n, side in zip(dataset.shape, dataset.chunks, strict=True)])
    return len(ends) == expected and max(ends, default=0) <= file_size


def _holds_its_checksums(path: Path) -> bool:
    import h5py

    whole = True

    def check(_: str, item: h5py.Group | h5py.Dataset) -> None:
        nonlocal whole
        if CHECKSUM in item.attrs:
            whole = whole and _checksum(item) == int(item.attrs[CHECKSUM])

    try:
        with h5py.File(path, "r", locking=False) as file:
            file.visititems(check)
    except (OSError, KeyError, ValueError):
        return False
    return whole


def _checksum(dataset: h5py.Dataset) -> int:
    """CRC-32 of the values, read a few rows at a time."""
    if dataset.ndim == 0:
        return _crc(dataset[()])
    row = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
    side = dataset.chunks[0] if dataset.chunks else 1
    rows = max(side, _BLOCK_BYTES // max(row, 1) // side * side)
    value = 0
    for start in range(0, dataset.shape[0], rows):
        value = _crc(dataset[start : start + rows], value)
    return value


def _crc(array: np.ndarray, value: int = 0) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data, value)


def open_checked(path: str | os.PathLike[str], again: bool = False) -> h5py.File:
    """Open a file for reading if all its arrays are complete and stored inside it.

    Args:
        path: The file.
        again: The file was already checked by this function in another process.

    Raises:
        DataError: It is not an HDF5 file, or has refused content, whose place is named.
    """
    import h5py  # only users of HDF5 need it

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _refusal(path, f"not a readable HDF5 file ({error})") from error
    if again:
        return file
    try:
        fault = next(_faults(file, "", _DEPTH, os.path.getsize(path)), None)
    except _FAULTS as error:
        fault = f"damaged ({error})"
    if fault is not None:
        file.close()
        raise _refusal(path, fault)
    return file


def _refusal(path: str | os.PathLike[str], fault: str) -> DataError:
    return DataError(f"{os.fspath(path)}: {fault}; remove it; it will be created again")


def _faults(group: h5py.Group, place: str, depth: int, size: int) -> Iterator[str]:
    """Faults of the members of a group; levels deeper than the layout are not read."""
    import h5py

    for name in group:
        here = f"{place}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            yield f"{here} is a link to another place or file"
            continue
        member: Any = group[name]
        if isinstance(member, h5py.Dataset):
            fault = _array_fault(member, size)
            if fault is not None:
                yield f"{here} {fault}"
        elif depth > 1:
            yield from _faults(member, here, depth - 1, size)


def _array_fault(dataset: h5py.Dataset, size: int) -> str | None:
    """Reason why an array in a file of ``size`` bytes must not be read, or None."""
    if dataset.dtype.kind not in "biuf":
        return f"holds values of type {dataset.dtype}, not numbers"
    if dataset.is_virtual or dataset.external:
        return "stores its values in other files"
    made = dataset.id.get_create_plist()
    filters = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    if not set(filters) <= set(_FILTERS) or len(set(filters)) < len(filters):
        return f"needs unknown filters ({filters}; known: {_FILTERS})"
    announced = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
    whole = (
        is_allocated(dataset, size) if dataset.chunks else announced <= dataset.id.get_storage_size() <= size
    )
    if not whole:
        return f"is incomplete: it declares {announced} bytes of values that are not in the file"
    return None
