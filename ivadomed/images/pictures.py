"""Decode PNG, JPEG and TIFF to stored values: no color management, no rescaling.

Orientation tags are applied, as in the viewers used to draw labels.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from ivadomed.errors import DataError, IvadomedError
from ivadomed.images import exif, png
from ivadomed.runtime.failures import refuse_shortage
from ivadomed.runtime.memory import available_memory, check_memory

EXTENSIONS = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png", ".jpeg", ".jpg")

# ITU-R BT.601 luma, as used by Pillow and ivadomed 2.9.10 to convert color to gray.
_LUMA = (0.299, 0.587, 0.114)
_SILENT = logging.NullHandler()
_SMALLEST_PAGE = 18  # bytes: one entry and the offset of the next page
_PNG_PIXELS = 8 * 1032  # maximum per byte: 1-bit pixels, and Deflate compresses up to 1032 times
_JPEG_PIXELS = 8 * 64  # maximum per byte: a block of 8 x 8 pixels takes at least one bit
_LOSSY = (6, 7)  # TIFF compressions: both kinds of JPEG
_EXIF = b"Exif\0\0"
_REMEDY = "save it as a single gray or RGB picture of 8 or 16 bits"


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels as stored.

    Args:
        pixels: [rows, columns] or [rows, columns, samples] with 2 (gray, alpha), 3 (RGB) or 4 (RGBA) samples,
            in the file's own type.
        palette: [n, 3] uint8, colors indexed by ``pixels``; None if they are gray levels or colors.
        full: Highest value of the type: 2 ** bits - 1, or 1 for floats.
        lossy: Whether the format changes values slightly (JPEG).
    """

    pixels: np.ndarray
    palette: np.ndarray | None
    full: float
    lossy: bool = False

    @property
    def shown(self) -> np.ndarray:
        """``pixels`` with palette indices replaced by colors."""
        if self.palette is None:
            return self.pixels
        return (self.palette if is_coloured(self.palette) else self.palette[:, 0])[self.pixels]


@dataclass(frozen=True)
class _Header:
    """Stored rows and columns, and the orientation."""

    rows: int
    columns: int
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        return (self.columns, self.rows) if exif.swaps_axes(self.orientation) else (self.rows, self.columns)


def read_pixels(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode a picture; see ``Picture.pixels``, but with palette indices replaced by colors."""
    return read_stored(path).shown


def read_stored(path: str | os.PathLike[str]) -> Picture:
    """Decode a picture.

    Args:
        path: PNG, JPEG or TIFF, by its extension. Thumbnails and masks in TIFF files are skipped; "white is
            zero" is not inverted because ImageJ marks its masks that way.

    Raises:
        DataError: The file is corrupt, does not fit into memory, or holds several pictures or colors other than
            gray and RGB.
    """
    with _readable(path):
        header_of, read = _FORMATS[Path(path).suffix.lower()]
        header = header_of(path)
        check_memory(path, (header.rows, header.columns))
        picture = read(path)
    pixels = picture.pixels
    if (
        0 in pixels.shape
        or pixels.ndim > 3
        or (pixels.ndim == 3 and not 2 <= pixels.shape[2] <= 4)
        or pixels.dtype.kind not in "buif"
    ):
        raise DataError(f"{path}: has shape {pixels.shape} and type {pixels.dtype}; {_REMEDY}")
    if picture.palette is not None and pixels.max() >= len(picture.palette):
        raise DataError(
            f"{path}: has palette index {pixels.max()}, but {len(picture.palette)} colors; {_REMEDY}"
        )
    return replace(picture, pixels=exif.turn(pixels, header.orientation))


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Rows and columns of a picture as displayed, from its header.

    Raises:
        DataError: See ``read_stored``; corruption after the header is not detected.
    """
    with _readable(path):
        header_of, _ = _FORMATS[Path(path).suffix.lower()]
        rows, columns = header_of(path).size
        if not (rows > 0 and columns > 0):
            raise ValueError(f"{rows} x {columns} pixels")
    return rows, columns


@contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Report the file and reason if decoding fails."""
    try:
        yield
    except IvadomedError:
        raise
    except Exception as error:  # a corrupt file raises nearly anything
        refuse_shortage(error, path)
        reason = str(error).split("\n")[0].replace(str(path), "it") or type(error).__name__
        raise DataError(f"{path}: not a readable picture ({reason}); replace or remove it") from error


def grey(pixels: np.ndarray) -> np.ndarray:
    """Gray values [...] float32 of [..., samples] with 1 to 4 samples; alpha is dropped."""
    if pixels.shape[-1] < 3:
        return pixels[..., 0].astype(np.float32)
    # Sample by sample, because a matrix product would first copy everything to float32.
    luma = np.multiply(pixels[..., 0], _LUMA[0], dtype=np.float32)
    for sample in (1, 2):
        luma += np.multiply(pixels[..., sample], _LUMA[sample], dtype=np.float32)
    return luma


def is_coloured(pixels: np.ndarray) -> bool:
    """Return whether [..., samples] has a pixel with unequal red, green and blue."""
    return pixels.shape[-1] > 2 and not (
        np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2])
    )


def _full_scale(pixels: np.ndarray) -> float:
    return float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind in "ui" else 1.0


def _png_header(path: str | os.PathLike[str]) -> _Header:
    header = png.read_header(path)
    _check_announced(path, header.rows, header.columns, _PNG_PIXELS)
    return _Header(header.rows, header.columns, header.orientation)


def _read_png(path: str | os.PathLike[str]) -> Picture:
    header = png.read_header(path)
    pixels, palette = png.decode(path, header)
    return Picture(pixels, palette, 2.0**header.bits - 1)


def _read_jpeg(path: str | os.PathLike[str]) -> Picture:
    import imagecodecs  # only pictures need it

    content = Path(path).read_bytes()
    # The decoder fills missing data with gray. Neither marker occurs within compressed data.
    if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise ValueError("truncated")
    pixels = np.asarray(imagecodecs.jpeg_decode(content))
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        raise DataError(f"{path}: has CMYK colors; {_REMEDY}")
    return Picture(pixels, None, _full_scale(pixels), lossy=True)


def _check_announced(path: str | os.PathLike[str], rows: int, columns: int, per_byte: int) -> None:
    """Refuse a header that declares more pixels than a file of this size can hold, before allocating memory."""
    if rows * columns > per_byte * os.path.getsize(path):
        raise ValueError(f"truncated: its header declares {rows} x {columns} pixels")


# Pillow refuses to open files of more than 179 million pixels, such as large micrographs.
def _jpeg_header(path: str | os.PathLike[str]) -> _Header:
    """Rows and columns from the frame header (ITU-T T.81, section B.2.2), orientation from an earlier block."""
    with open(path, "rb") as file:
        if file.read(2) != b"\xff\xd8":
            raise ValueError("no JPEG header")
        orientation = exif.UPRIGHT
        while True:
            mark, code, length = struct.unpack(">BBH", file.read(4))
            if mark == code == 0xFF:  # the first is a fill byte
                file.seek(-3, os.SEEK_CUR)
                continue
            if mark != 0xFF or length < 2:
                raise ValueError("no frame header")
            if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):  # tables and an extension
                _, rows, columns = struct.unpack(">BHH", file.read(5))
                _check_announced(path, rows, columns, _JPEG_PIXELS)
                return _Header(rows, columns, orientation)
            block = file.read(length - 2)
            if code == 0xE1 and block.startswith(_EXIF):
                orientation = exif.orientation_of(block[len(_EXIF) :])


def _tiff_header(path: str | os.PathLike[str]) -> _Header:
    with _tiff_page(path) as page:
        orientation = page.tags.valueof(exif.ORIENTATION, exif.UPRIGHT)
        return _Header(page.imagelength, page.imagewidth, exif.checked(orientation))


def _read_tiff(path: str | os.PathLike[str]) -> Picture:
    import tifffile  # only pictures need it

    with _tiff_page(path) as page:
        pixels = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            return Picture(pixels, (page.colormap.T >> 8).astype(np.uint8), _full_scale(pixels))
        known = (0, 1, 2, 6)  # white is zero, black is zero, RGB, YCbCr (which is decoded to RGB)
        if page.photometric not in known:
            raise DataError(f"{path}: has {page.photometric.name} colors; {_REMEDY}")
        pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
        bits = page.bitspersample if pixels.dtype.kind in "bu" else 0
        full = 2.0**bits - 1 if bits else _full_scale(pixels)
        return Picture(pixels, None, full, page.compression in _LOSSY)


@contextmanager
def _tiff_page(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The only page of a TIFF file that is neither a thumbnail nor a mask."""
    import tifffile  # only pictures need it

    # Our error covers its messages about corrupt files; without a handler they would be printed too.
    logging.getLogger("tifffile").addHandler(_SILENT)
    with tifffile.TiffFile(path) as file:
        # Each page takes some bytes; without a limit, circular page links would be read forever.
        every = islice(cast(Any, file.pages), file.filehandle.size // _SMALLEST_PAGE + 1)
        pages = [page for page in every if not (page.is_reduced or page.is_mask)]
        if not pages:
            raise ValueError("no page")
        images = (file.imagej_metadata or {}).get("images", 1)  # large ImageJ stacks have a single page
        if len(pages) != 1 or images > 1:
            raise DataError(
                f"{path}: has {max(len(pages), images)} pages, expected one; extract the page to use, for example "
                'with tifffile.imwrite("page.tif", tifffile.imread(path, key=0))'
            )
        _check_size(pages[0], file.filehandle.size)
        yield pages[0]


def _check_size(page: Any, file_size: int) -> None:
    """Refuse a page that declares more pixels than fit the file or memory, before allocating memory."""
    import tifffile

    segments = zip(page.dataoffsets, page.databytecounts, strict=True)
    in_file = page.size * page.bitspersample // 8 if page.compression == tifffile.COMPRESSION.NONE else 0
    if in_file > file_size or any(start + count > file_size for start, count in segments):
        raise ValueError("truncated")
    announced, available = int(page.nbytes), available_memory()
    if available is not None and announced > available:
        raise ValueError(
            f"{page.imagelength} x {page.imagewidth} pixels take {announced / 1e9:.1f} GB of memory, of which "
            f"{available / 1e9:.1f} GB are available"
        )


# By extension: how to read the header, and the pixels.
_FORMATS: dict[
    str, tuple[Callable[[str | os.PathLike[str]], _Header], Callable[[str | os.PathLike[str]], Picture]]
] = {
    ".png": (_png_header, _read_png),
    ".jpg": (_jpeg_header, _read_jpeg),
    ".jpeg": (_jpeg_header, _read_jpeg),
    ".tif": (_tiff_header, _read_tiff),
    ".tiff": (_tiff_header, _read_tiff),
}


def png_text(software: str) -> Any:
    """Pillow's argument ``pnginfo`` with the name of the program, as stored in PNG files."""
    from PIL.PngImagePlugin import PngInfo  # only PNG files need it

    text = PngInfo()
    text.add_text("Software", software)
    return text


def software_of(path: str | os.PathLike[str]) -> str:
    """Program named in a PNG file as its writer; empty for other and unreadable files."""
    if not os.fspath(path).lower().endswith(".png"):
        return ""
    try:
        return png.read_text(path, "Software")
    except OSError:
        return ""
