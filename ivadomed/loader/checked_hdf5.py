"""HDF5 files that have their name only when all that was written to them is on disk.

The HDF5 library writes late, and h5py drops errors of objects that are no longer used: on a disk that fills up, blocks
would be missing from a file that looks whole, and be read as zeros. So Python does the writing, the first error ends
it, and every array is read back and compared with the checksum that is stored beside it.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.errors import OutputError
from ivadomed.images.files import atomic_path, sync

if TYPE_CHECKING:
    import h5py

CHECKSUM = "crc32"
"""Attribute of a data set: CRC-32 of its values in C order."""

_BLOCK_BYTES = 1 << 24


@contextmanager
def checked_hdf5(path: str | os.PathLike[str], **options: Any) -> Iterator[h5py.File]:
    """Yield an HDF5 file to write to; it gets its name when all that ``add_array`` put into it is on disk.

    Args:
        path: The file, replaced if there is one.
        options: Options of ``h5py.File``.

    Raises:
        OutputError: The file cannot be written, or does not hold what was written to it.
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
            raise OutputError(f"{path}: does not hold what was written to it; is the disk full or damaged?")


class _Disk(io.RawIOBase):
    """A file that keeps its first error for ``check``.

    The HDF5 library may crash when it cannot write what it holds, so it is told that all went well.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error, if there was one."""
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
    """Tell whether every block of a chunked data set lies in the file; missing ones would be read as zeros.

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
