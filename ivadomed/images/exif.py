"""Orientation of pictures: cameras and scanners store pixels unrotated, with a tag for how to rotate them."""

from __future__ import annotations

import struct

import numpy as np

ORIENTATION = 274
"""Tag number in EXIF and TIFF, see "Orientation" of TIFF 6.0."""

UPRIGHT = 1
_SHORT = 3
_ENTRY = 12  # bytes


def orientation_of(exif: bytes) -> int:
    """Orientation 1..8 in an EXIF block, which is the beginning of a TIFF file; 1 if absent or corrupt.

    Viewers ignore corrupt blocks too: no part of the picture is lost with them.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order is None:
            return UPRIGHT
        (first,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, first)
        for place in range(first + 2, first + 2 + count * _ENTRY, _ENTRY):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, place)
            if (tag, kind) == (ORIENTATION, _SHORT):
                return checked(value)
    except struct.error:
        pass
    return UPRIGHT


def checked(orientation: object) -> int:
    """The orientation if it is valid (1..8), otherwise 1."""
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else UPRIGHT


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Rotate or flip [rows, columns, ...] for display.

    Args:
        pixels: As stored.
        orientation: Position of the first stored row and column: 1 top left, 2 top right, 3 bottom right,
            4 bottom left, 5 left top, 6 right top, 7 right bottom, 8 left bottom.
    """
    if swaps_axes(orientation):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def swaps_axes(orientation: int) -> bool:
    """Return whether stored rows are displayed as columns."""
    return orientation >= 5
