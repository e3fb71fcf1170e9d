"""The HDF5 file that holds one prepared case: compressed blocks instead of plain arrays, for less disk.

Layout: ``image`` and ``target`` as in ``Prepared``, each with its checksum; the attributes ``format``, ``is_2d`` and
``zooms`` (mm) of the file; what the slice filter needs as attributes of the group ``facts``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ivadomed.errors import DataError
from ivadomed.geometry.windows import Window
from ivadomed.loader.checked_hdf5 import add_array, checked_hdf5, is_allocated
from ivadomed.loader.prepared.prepare import Prepared, read_window
from ivadomed.loader.prepared.stored import FORMAT, StoredCase, arrays_of
from ivadomed.loader.slice_filter import SliceFacts

_SLICE_SIDE, _BLOCK_SIDE = 128, 16
# On images, level 1 with shuffled bytes is as small as higher levels within 5 %, and smaller than lzf.
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)


@dataclass(frozen=True)
class HDF5Case:
    """A case in an HDF5 file.

    Args:
        path: The file.
        stored: What is known without reading voxels.
    """

    path: str
    stored: StoredCase

    EXTENSION: ClassVar[str] = ".h5"

    @classmethod
    def open(cls, path: Path) -> HDF5Case | None:
        """None when the file is absent, damaged, not whole or of another format."""
        if not path.is_file():
            return None
        try:
            with _opened(path) as file:
                size = path.stat().st_size
                if file.attrs["format"] != FORMAT or not all(
                    is_allocated(file[name], size) for name in ("image", "target")
                ):
                    return None
                facts = {name: np.asarray(value).tolist() for name, value in file["facts"].attrs.items()}
                stored = StoredCase(
                    image_shape=file["image"].shape,
                    target_shape=file["target"].shape,
                    target_dtype=file["target"].dtype.name,
                    facts=SliceFacts(**facts),
                    zooms=tuple(file.attrs["zooms"].tolist()),
                    is_2d=bool(file.attrs["is_2d"]),
                )
            return cls(str(path), stored)
        except _FAULTS:
            return None

    @staticmethod
    def write(path: Path, prepared: Prepared, is_2d: bool) -> None:
        """Write a prepared case, atomically; see ``checked_hdf5``."""
        stored, image, target = arrays_of(prepared, is_2d)
        with checked_hdf5(path, libver=("v110", "v110")) as file:
            file.attrs.update({"format": FORMAT, "is_2d": is_2d, "zooms": stored.zooms})
            file.create_group("facts").attrs.update(asdict(stored.facts))
            for name, array in (("image", image), ("target", target)):
                add_array(file, name, array, chunks=_blocks(array.shape, is_2d), **_COMPRESSION)

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Image and target of a window, float32.

        Raises:
            DataError: The file is gone, or no longer whole.
        """
        # Opened anew for each sample: handles do not survive the fork of a worker, and thousands of them no process.
        try:
            with _opened(self.path) as file:
                parts = (read_window(file[name], window, self.stored.is_2d) for name in ("image", "target"))
                image, target = (part.astype(np.float32, copy=False) for part in parts)
        except _FAULTS as error:
            raise DataError(
                f"{self.path}: the prepared case vanished or was damaged while it was in use ({error}); start again"
            ) from error
        return image, target


def _opened(path: str | Path) -> Any:
    """The file for reading, without the locks that some network disks refuse; it is never written again."""
    import h5py

    return h5py.File(path, "r", locking=False, rdcc_nbytes=0)


def _blocks(shape: tuple[int, ...], is_2d: bool) -> tuple[int, ...]:
    """Blocks of about 128 x 128 pixels of a slice or 16 x 16 x 16 voxels, with all channels: what samples meet."""
    if is_2d:
        _, channels, height, width = shape
        return 1, channels, _even(height, _SLICE_SIDE), _even(width, _SLICE_SIDE)
    channels, *sides = shape
    return channels, *(_even(side, _BLOCK_SIDE) for side in sides)


def _even(extent: int, side: int) -> int:
    """Length of the fewest equal parts of an axis that are not longer than ``side``."""
    return -(-extent // -(-extent // side))
