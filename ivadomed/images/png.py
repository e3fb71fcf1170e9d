"""PNG files with their stored values.

Decoders expand palettes to colors and stretch gray levels of 1, 2 and 4 bits to 0..255, which changes the
values of labels.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ivadomed.images.exif import UPRIGHT, orientation_of

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3
_COLOUR = 9  # position of the color type in the first chunk


@dataclass(frozen=True)
class PngHeader:
    """First chunk, see section 11.2.1 of the specification, and the orientation.

    Args:
        rows: Stored rows.
        columns: Stored columns.
        bits: Bits per sample.
        is_palette: Whether samples are palette indices.
        orientation: See ``ivadomed.images.exif``.
    """

    rows: int
    columns: int
    bits: int
    is_palette: bool
    orientation: int = UPRIGHT


def read_header(path: str | os.PathLike[str]) -> PngHeader:
    """Read the header of a file; for other chunks, only their lengths are read.

    Raises:
        ValueError: The header is missing.
    """
    with open(path, "rb") as file:
        signature, _, name, start = struct.unpack(">8sI4s13s", file.read(29))
        if signature != _SIGNATURE or name != b"IHDR":
            raise ValueError("no PNG header")
        columns, rows, bits, colour = struct.unpack(">IIBB", start[:10])
        file.seek(4, os.SEEK_CUR)
        exif = next(_read_chunks(file, b"eXIf"), b"")
    return PngHeader(rows, columns, bits, colour == _PALETTE, orientation_of(exif))


def read_text(path: str | os.PathLike[str], key: str) -> str:
    """Text stored in a file under a key, such as "Software"; empty if absent. Only text chunks are read.

    Raises:
        OSError: The file cannot be read.
    """
    start = key.encode("latin-1") + b"\0"
    with open(path, "rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return ""
        texts = (text for text in _read_chunks(file, b"tEXt") if text.startswith(start))
        return next(texts, start)[len(start) :].decode("latin-1")


def _read_chunks(file: BinaryIO, wanted: bytes) -> Iterator[bytes]:
    """Data of the chunks with a name, from the current position; others are skipped."""
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == wanted:
            yield file.read(length)
            length = 0
        file.seek(length + 4, os.SEEK_CUR)


def decode(path: str | os.PathLike[str], header: PngHeader) -> tuple[np.ndarray, np.ndarray | None]:
    """Stored samples, and the palette if they are indices into it.

    Returns:
        [rows, columns] or [rows, columns, samples] uint8 or uint16, not rotated; and [n, 3] uint8 or None.
    """
    import imagecodecs  # only pictures need it

    content = Path(path).read_bytes()
    palette = _palette_of(content) if header.is_palette else None
    if palette is not None:
        content = _as_grey(content)
    pixels = np.asarray(imagecodecs.png_decode(content))
    if header.bits < 8:  # the decoder repeats the bits up to 8
        pixels = pixels // (255 // (2**header.bits - 1))
    return pixels, palette


def _palette_of(content: bytes) -> np.ndarray | None:
    for name, data in _chunks(content):
        if name == b"PLTE":
            return np.frombuffer(data, np.uint8).reshape(-1, 3)
    return None


def _as_grey(content: bytes) -> bytes:
    """The same samples as gray levels, without the palette that would replace them."""
    made = [_SIGNATURE]
    for name, data in _chunks(content):
        if name == b"IHDR":
            data = data[:_COLOUR] + bytes([_GREY]) + data[_COLOUR + 1 :]
        if name in (b"IHDR", b"IDAT", b"IEND"):
            made += [struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(name + data))]
    return b"".join(made)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and data of each chunk.

    Raises:
        ValueError: A chunk is truncated, or its checksum is wrong.
    """
    place = len(_SIGNATURE)
    while place < len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        data, check = (
            content[place + 8 : place + 8 + length],
            content[place + 8 + length : place + 12 + length],
        )
        if len(data) < length or check != struct.pack(">I", zlib.crc32(name + data)):
            raise ValueError("truncated or damaged")
        yield name, data
        place += 12 + length
        if name == b"IEND":
            return
