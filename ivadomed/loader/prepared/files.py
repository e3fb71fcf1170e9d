"""Files of prepared cases: plain arrays that samples map in part, or HDF5 to save disk space.

Both hold the description of the case, then image and target as in ``Prepared``.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ivadomed.errors import DataError
from ivadomed.geometry.windows import Window
from ivadomed.images.files import atomic_path, parse_json
from ivadomed.loader.checked_hdf5 import add_array, checked_hdf5, is_allocated
from ivadomed.loader.prepared.prepare import Prepared, read_window
from ivadomed.loader.slices import SliceStatistics

FORMAT = 4
"""Format version; files of another version are prepared again."""

SIDE = 8
"""Block size in voxels along W and D, see `to_blocks`."""

_PAGE = 4096
_CHUNK_2D, _CHUNK_3D = 128, 16
# On images, level 1 with shuffled bytes is within 5 % of the size of higher levels, and smaller than lzf.
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)


@dataclass(frozen=True)
class StoredCase:
    """Description of a prepared case, available without reading its voxels.

    Args:
        image_shape: Shape of ``Prepared.image``.
        target_shape: Shape of ``Prepared.target``.
        target_dtype: "uint8" if all labels are 0 or 1, otherwise "float32".
        facts: Statistics for the slice filter and for placing patches.
        zooms: mm along H, W, D.
        is_2d: The arrays are stacks of slices, otherwise volumes.
    """

    image_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    target_dtype: str
    facts: SliceStatistics
    zooms: tuple[float, ...]
    is_2d: bool

    @property
    def volume_shape(self) -> tuple[int, int, int]:
        """Voxels along H, W, D."""
        if self.is_2d:
            depth, _, height, width = self.image_shape
        else:
            _, height, width, depth = self.image_shape
        return height, width, depth


def arrays_of(prepared: Prepared, is_2d: bool) -> tuple[StoredCase, np.ndarray, np.ndarray]:
    """Image as float32, and target in the smallest lossless type."""
    assert prepared.target is not None
    image = np.ascontiguousarray(prepared.image, np.float32)
    binary = bool(np.isin(prepared.target, (0, 1)).all())
    target = np.ascontiguousarray(prepared.target, np.uint8 if binary else np.float32)
    facts, zooms = prepared.facts, tuple(prepared.zooms)
    return StoredCase(image.shape, target.shape, target.dtype.name, facts, zooms, is_2d), image, target


@dataclass(frozen=True)
class CaseFile:
    """A JSON header, then image and target; an open file holds only the header in memory.

    Slices [N, C, h, w] are stored in order, volumes in blocks, see `to_blocks`.

    Args:
        path: The file.
        stored: Its header.
        start: First byte of the arrays.
    """

    path: str
    stored: StoredCase
    start: int

    EXTENSION: ClassVar[str] = ".case"

    @classmethod
    def open(cls, path: Path) -> CaseFile | None:
        """Read the header; None if the file is absent, corrupt, incomplete or of another format."""
        try:
            with path.open("rb") as file:
                length, start = int(file.read(8)), int(file.read(8))
                fields = parse_json(file.read(length))
            if fields.pop("format") != FORMAT:
                return None
            tuples = {key: tuple(fields[key]) for key in ("image_shape", "target_shape", "zooms")}
            facts = SliceStatistics(**fields["facts"])
            case_file = cls(str(path), StoredCase(**(fields | tuples | {"facts": facts})), start)
            return case_file if path.stat().st_size == case_file._layout()[2] else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @staticmethod
    def write(path: Path, prepared: Prepared, is_2d: bool) -> None:
        """Write a prepared case atomically."""
        stored, image, target = arrays_of(prepared, is_2d)
        header = json.dumps({"format": FORMAT, **asdict(stored)}).encode()
        start = -(-(len(header) + 16) // _PAGE) * _PAGE  # the arrays begin on a page boundary
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(b"%08d%08d" % (len(header), start))
            file.write(header.ljust(start - 16))
            for array in (image, target):
                (array if is_2d else to_blocks(array)).tofile(file)

    def _layout(self) -> tuple[Mapping[str, Any], Mapping[str, Any], int]:
        """Arguments of ``np.ndarray`` for image and target, and the size of the file."""
        shapes = [self.stored.image_shape, self.stored.target_shape]
        if not self.stored.is_2d:
            shapes = [blocked_shape(shape) for shape in shapes]
        image, target = shapes
        middle = self.start + 4 * math.prod(image)
        end = middle + np.dtype(self.stored.target_dtype).itemsize * math.prod(target)
        return (
            {"shape": image, "dtype": "float32", "offset": self.start},
            {"shape": target, "dtype": self.stored.target_dtype, "offset": middle},
            end,
        )

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Image and target of a window, float32.

        Raises:
            DataError: The file is missing or incomplete.
        """
        # Mapped again for each sample: no file handle stays open, and the pages no longer count as ours
        # afterwards. A single plain mapping for both arrays costs a fraction of two np.memmap.
        try:
            with open(self.path, "rb") as file:
                pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            arrays = [np.ndarray(buffer=pages, **array) for array in self._layout()[:2]]
        except (OSError, ValueError, TypeError) as error:
            raise DataError(
                f"{self.path}: the prepared case vanished or was damaged while it was in use; start again"
            ) from error
        is_2d = self.stored.is_2d
        parts = (
            read_window(array, window, is_2d) if is_2d else read_blocks(array, window) for array in arrays
        )
        image, target = (np.array(part, np.float32) for part in parts)
        return image, target


@dataclass(frozen=True)
class HDF5Case:
    """HDF5 file with compressed chunks instead of plain arrays.

    ``image`` and ``target`` have checksums; the attributes of the file are ``format``, ``is_2d`` and ``zooms``
    (mm), those of the group ``facts`` are the statistics for the slice filter.

    Args:
        path: The file.
        stored: Description, available without reading voxels.
    """

    path: str
    stored: StoredCase

    EXTENSION: ClassVar[str] = ".h5"

    @classmethod
    def open(cls, path: Path) -> HDF5Case | None:
        """Read the attributes; None if the file is absent, corrupt, incomplete or of another format."""
        if not path.is_file():
            return None
        try:
            with _opened(path) as file:
                size, arrays = path.stat().st_size, (file["image"], file["target"])
                if file.attrs["format"] != FORMAT or not all(is_allocated(array, size) for array in arrays):
                    return None
                facts = {name: np.asarray(value).tolist() for name, value in file["facts"].attrs.items()}
                stored = StoredCase(
                    image_shape=file["image"].shape,
                    target_shape=file["target"].shape,
                    target_dtype=file["target"].dtype.name,
                    facts=SliceStatistics(**facts),
                    zooms=tuple(file.attrs["zooms"].tolist()),
                    is_2d=bool(file.attrs["is_2d"]),
                )
            return cls(str(path), stored)
        except _FAULTS:
            return None

    @staticmethod
    def write(path: Path, prepared: Prepared, is_2d: bool) -> None:
        """Write a prepared case atomically; see ``checked_hdf5``."""
        stored, image, target = arrays_of(prepared, is_2d)
        with checked_hdf5(path, libver=("v110", "v110")) as file:
            file.attrs.update({"format": FORMAT, "is_2d": is_2d, "zooms": stored.zooms})
            file.create_group("facts").attrs.update(asdict(stored.facts))
            for name, array in (("image", image), ("target", target)):
                add_array(file, name, array, chunks=_chunks(array.shape, is_2d), **_COMPRESSION)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Image and target of a window, float32.

        Raises:
            DataError: The file is missing or incomplete.
        """
        # Opened for each sample: handles do not survive the fork of a worker, nor can a process hold thousands.
        try:
            with _opened(self.path) as file:
                arrays = (read_window(file[name], window, self.stored.is_2d) for name in ("image", "target"))
                image, target = (array.astype(np.float32, copy=False) for array in arrays)
        except _FAULTS as error:
            raise DataError(
                f"{self.path}: the prepared case vanished or was damaged while it was in use ({error}); start again"
            ) from error
        return image, target


def _opened(path: str | Path) -> Any:
    """Open the file for reading, without the locks that some network disks refuse; it is never modified."""
    import h5py

    return h5py.File(path, "r", locking=False, rdcc_nbytes=0)


def _chunks(shape: tuple[int, ...], is_2d: bool) -> tuple[int, ...]:
    """Chunks of about 128 x 128 pixels per slice or 16 x 16 x 16 voxels, with all channels, as samples use them."""
    first, side = ((1, shape[1]), _CHUNK_2D) if is_2d else ((shape[0],), _CHUNK_3D)
    # Equal chunks, as few as possible without exceeding the side.
    return *first, *(-(-extent // -(-extent // side)) for extent in shape[len(first) :])


def blocked_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape [C, nW, nD, H, 8, 8] of the blocks of a volume [C, H, W, D]."""
    channels, height, width, depth = shape
    return channels, -(-width // SIDE), -(-depth // SIDE), height, SIDE, SIDE


def to_blocks(volume: np.ndarray) -> np.ndarray:
    """Cut [C, H, W, D] into columns of 8 x 8 voxels across W and D that run along all of H.

    A patch of h x w x d voxels then occupies about (w/8) x (d/8) runs of h x 64 contiguous values, whatever the
    size of the volume; in plain order, it would be spread over h x w runs of d values. W and D are zero-padded
    to multiples of 8.
    """
    channels, height, width, depth = volume.shape
    _, n_width, n_depth, *_ = blocked_shape(volume.shape)
    margin = ((0, 0), (0, 0), (0, n_width * SIDE - width), (0, n_depth * SIDE - depth))
    blocks = np.pad(volume, margin).reshape(channels, height, n_width, SIDE, n_depth, SIDE)
    return np.ascontiguousarray(blocks.transpose(0, 2, 4, 1, 3, 5))


def read_blocks(blocks: np.ndarray, window: Window) -> np.ndarray:
    """Voxels [C, h, w, d] of a window; from a memory-mapped array, only intersecting blocks are read."""
    height, width, depth = window.slices
    columns, rows = (slice(s.start // SIDE, -(-s.stop // SIDE)) for s in (width, depth))
    met = blocks[:, columns, rows, height].transpose(0, 3, 1, 4, 2, 5)
    channels, h, n_width, _, n_depth, _ = met.shape
    patch = met.reshape(channels, h, n_width * SIDE, n_depth * SIDE)
    first_w, first_d = width.start - columns.start * SIDE, depth.start - rows.start * SIDE
    return patch[:, :, first_w : first_w + window.size[1], first_d : first_d + window.size[2]]
