"""What is known of a prepared case without its voxels, and the types its arrays are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ivadomed.loader.prepared.prepare import Prepared
from ivadomed.loader.slice_filter import SliceFacts

FORMAT = 4
"""Of the cache; entries of another format are prepared anew."""


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
