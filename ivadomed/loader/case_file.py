"""The file that holds one prepared case: a JSON header, then image and target, laid out for reading samples.

Slices [N, C, h, w] lie as they are, volumes as pencils (see ``pencils``), so that a sample maps just what it needs.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.files import atomic_path
from ivadomed.loader import pencils
from ivadomed.loader.prepare import Prepared, SliceFacts, read_window
from ivadomed.windows import Window

FORMAT = 2
_PAGE = 4096


@dataclass(frozen=True)
class StoredCase:
    """What is known of a prepared case without reading its voxels.

    Args:
        image_shape: Shape of ``Prepared.image``.
        target_shape: Shape of ``Prepared.target``.
        target_dtype: "uint8" when all labels are 0 or 1, else "float32".
        facts: For the slice filter and for placing patches.
        zooms: mm along H, W, D.
        is_2d: Whether the arrays are stacks of slices or volumes.
    """

    image_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    target_dtype: str
    facts: SliceFacts
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

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> StoredCase:
        """From the header of a file."""
        tuples = {key: tuple(fields[key]) for key in ("image_shape", "target_shape", "zooms")}
        return cls(**(fields | tuples | {"facts": SliceFacts(**fields["facts"])}))


def arrays_of(prepared: Prepared, is_2d: bool) -> tuple[StoredCase, np.ndarray, np.ndarray]:
    """Image as float32 and target in the smallest type that loses nothing."""
    assert prepared.target is not None
    image = np.ascontiguousarray(prepared.image, np.float32)
    binary = bool(np.isin(prepared.target, (0, 1)).all())
    target = np.ascontiguousarray(prepared.target, np.uint8 if binary else np.float32)
    facts, zooms = prepared.facts, tuple(prepared.zooms)
    return StoredCase(image.shape, target.shape, target.dtype.name, facts, zooms, is_2d), image, target


def write_case_file(path: Path, prepared: Prepared, is_2d: bool) -> None:
    """Write a prepared case, atomically."""
    stored, image, target = arrays_of(prepared, is_2d)
    header = json.dumps({"format": FORMAT, **asdict(stored)}).encode()
    start = -(-(len(header) + 16) // _PAGE) * _PAGE  # the arrays begin on a page boundary behind the header
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(b"%08d%08d" % (len(header), start))
        file.write(header.ljust(start - 16))
        for array in (image, target):
            (array if is_2d else pencils.pack(array)).tofile(file)


@dataclass(frozen=True)
class _Part:
    """Where one array lies in the file."""

    dtype: str
    start: int
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        return self.start + np.dtype(self.dtype).itemsize * int(np.prod(self.shape))


@dataclass(frozen=True)
class CaseFile:
    """An open case file; nothing of it is held but its header.

    Args:
        path: The file.
        stored: Its header.
        start: First byte of the arrays.
    """

    path: Path
    stored: StoredCase
    start: int

    @classmethod
    def open(cls, path: Path) -> CaseFile | None:
        """None when the file is absent, damaged, not whole or of another format."""
        try:
            with path.open("rb") as file:
                length, start = int(file.read(8)), int(file.read(8))
                fields = json.loads(file.read(length))
            if fields.pop("format") != FORMAT:
                return None
            case_file = cls(path, StoredCase.from_json(fields), start)
            return case_file if path.stat().st_size == case_file._parts[1].end else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    @cached_property
    def _parts(self) -> tuple[_Part, _Part]:
        stored = self.stored
        shapes = stored.image_shape, stored.target_shape
        if not stored.is_2d:
            shapes = pencils.packed_shape(shapes[0]), pencils.packed_shape(shapes[1])
        image = _Part("float32", self.start, shapes[0])
        return image, _Part(stored.target_dtype, image.end, shapes[1])

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Image and target of a window, float32."""
        # Mapped anew for each sample: no file handle stays open, and pages do not count as ours afterwards. One plain
        # mapping for both arrays costs a fraction of two np.memmap.
        with self.path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        image, target = (self._read(pages, part, window) for part in self._parts)
        return image, target

    def _read(self, pages: mmap.mmap, part: _Part, window: Window) -> np.ndarray:
        array = np.frombuffer(pages, part.dtype, int(np.prod(part.shape)), part.start).reshape(part.shape)
        met = read_window(array, window, True) if self.stored.is_2d else pencils.read(array, window)
        return np.array(met, np.float32)
