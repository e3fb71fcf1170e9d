"""The file that holds one prepared case: a JSON header, then image and target, laid out for reading samples.

Slices [N, C, h, w] lie as they are, volumes as pencils (see ``pencils``), so that a sample maps just what it needs.
"""

from __future__ import annotations

import json
import math
import mmap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ivadomed.errors import DataError
from ivadomed.geometry.windows import Window
from ivadomed.images.files import atomic_path, parse_json
from ivadomed.loader.prepared import pencils
from ivadomed.loader.prepared.prepare import Prepared, read_window
from ivadomed.loader.prepared.stored import FORMAT, StoredCase, arrays_of

_PAGE = 4096


@dataclass(frozen=True)
class _Part:
    """Where one array lies in the file."""

    dtype: str
    start: int
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + np.dtype(self.dtype).itemsize * math.prod(self.shape)


@dataclass(frozen=True)
class CaseFile:
    """An open case file; nothing of it is held but its header.

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
        """None when the file is absent, damaged, not whole or of another format."""
        try:
            with path.open("rb") as file:
                length, start = int(file.read(8)), int(file.read(8))
                fields = parse_json(file.read(length))
            if fields.pop("format") != FORMAT:
                return None
            case_file = cls(str(path), StoredCase.from_json(fields), start)
            return case_file if path.stat().st_size == case_file._parts[1].end else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @staticmethod
    def write(path: Path, prepared: Prepared, is_2d: bool) -> None:
        """Write a prepared case, atomically."""
        stored, image, target = arrays_of(prepared, is_2d)
        header = json.dumps({"format": FORMAT, **asdict(stored)}).encode()
        start = (
            -(-(len(header) + 16) // _PAGE) * _PAGE
        )  # the arrays begin on a page boundary behind the header
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            file.write(b"%08d%08d" % (len(header), start))
            file.write(header.ljust(start - 16))
            for array in (image, target):
                (array if is_2d else pencils.pack(array)).tofile(file)

    @property
    def _parts(self) -> tuple[_Part, _Part]:
        stored = self.stored
        shapes = stored.image_shape, stored.target_shape
        if not stored.is_2d:
            shapes = pencils.packed_shape(shapes[0]), pencils.packed_shape(shapes[1])
        image = _Part("float32", self.start, shapes[0])
        return image, _Part(stored.target_dtype, image.end, shapes[1])

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Image and target of a window, float32.

        Raises:
            DataError: The file is gone, or no longer whole.
        """
        # Mapped anew for each sample: no file handle stays open, and pages do not count as ours afterwards. One plain
        # mapping for both arrays costs a fraction of two np.memmap.
        try:
            with open(self.path, "rb") as file:
                pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            image, target = (self._read(pages, part, window) for part in self._parts)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path}: the prepared case vanished or was damaged while it was in use; start again"
            ) from error
        return image, target

    def _read(self, pages: mmap.mmap, part: _Part, window: Window) -> np.ndarray:
        array = np.frombuffer(pages, part.dtype, math.prod(part.shape), part.start).reshape(part.shape)
        met = read_window(array, window, True) if self.stored.is_2d else pencils.read(array, window)
        return np.array(met, np.float32)
