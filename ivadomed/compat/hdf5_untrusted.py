"""Open an HDF5 file that anybody may have made, and refuse what it must not make us read.

An HDF5 file can name other files (links, raw and virtual storage), plug-ins (filters), and arrays that are far larger
than it is. None of this is in the files that ``Bids_to_hdf5`` and ivadomed 2 write.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ivadomed.errors import DataError
from ivadomed.loader.checked_hdf5 import is_allocated

if TYPE_CHECKING:
    import h5py

_DEPTH = 3
"""Levels of the layout: subject, kind, contrast."""

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32", 32000: "lzf"}
"""Filters that h5py has built in, and numpy arrays need."""

_FAULTS = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)


def open_checked(path: str | os.PathLike[str], again: bool = False) -> h5py.File:
    """Open a file for reading when all arrays in it are whole, and in it.

    Args:
        path: The file.
        again: It was checked before, by this function in another process.

    Raises:
        DataError: It is no HDF5 file, or has one of the above; names the place.
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
    return DataError(f"{os.fspath(path)}: {fault}; remove it and it is made anew")


def _faults(group: h5py.Group, place: str, depth: int, size: int) -> Iterator[str]:
    """Faults of the members of a group; deeper levels than the layout has are never read."""
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
    """Why an array of a file of ``size`` bytes must not be read, or None."""
    if dataset.dtype.kind not in "biuf":
        return f"holds values of the type {dataset.dtype}, no numbers"
    if dataset.is_virtual or dataset.external:
        return "has its values in other files"
    made = dataset.id.get_create_plist()
    filters = [made.get_filter(number)[0] for number in range(made.get_nfilters())]
    if not set(filters) <= set(_FILTERS) or len(set(filters)) < len(filters):
        return f"needs filters that are not expected here ({filters}; known are {_FILTERS})"
    announced = math.prod(dataset.shape or ()) * dataset.dtype.itemsize
    whole = (
        is_allocated(dataset, size) if dataset.chunks else announced <= dataset.id.get_storage_size() <= size
    )
    if not whole:
        return f"is not whole: it announces {announced} bytes of values that are not in the file"
    return None
