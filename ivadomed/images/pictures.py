"""Decode PNG, JPEG and TIFF into the values that are stored in them: no colour management, no rescaling."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from ivadomed.errors import DataError, IvadomedError
from ivadomed.runtime.failures import refuse_shortage
from ivadomed.runtime.memory import available_memory, check_memory

EXTENSIONS = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png", ".jpeg", ".jpg")

# ITU-R BT.601 luma, which Pillow and ivadomed 2.9.10 use to make grey of colour.
_LUMA = (0.299, 0.587, 0.114)
_SILENT = logging.NullHandler()
_SMALLEST_PAGE = 18  # bytes: one entry, and the place of the next page
_PNG_PIXELS = 8 * 1032  # a byte holds at most: of one bit, and Deflate shortens 1032 times at most
_JPEG_PIXELS = 8 * 64  # a byte holds at most: a block of 8 x 8 pixels has a code of a bit or more
_REMEDY = "save it as one grey or RGB picture of 8 or 16 bits"


def read_pixels(path: str | os.PathLike[str]) -> np.ndarray:
    """Decode a picture.

    Args:
        path: PNG, JPEG or TIFF, by its extension. Of a TIFF file, thumbnails and masks are passed over.

    Returns:
        [rows, columns] or [rows, columns, samples] with 2 (grey, alpha), 3 (RGB) or 4 (RGBA) samples, in the file's
        own type. "White is zero" TIFF is not inverted: masks saved by ImageJ are marked so.

    Raises:
        DataError: The file is damaged, does not fit into the memory, or holds several pictures or colours other than
            grey and RGB.
    """
    with _readable(path):
        size, read = _FORMATS[Path(path).suffix.lower()]
        check_memory(path, size(path))
        pixels = read(path)
    if (
        0 in pixels.shape
        or pixels.ndim > 3
        or (pixels.ndim == 3 and not 2 <= pixels.shape[2] <= 4)
        or pixels.dtype.kind not in "buif"
    ):
        raise DataError(f"{path}: has shape {pixels.shape} and type {pixels.dtype}; {_REMEDY}")
    return pixels


def read_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Rows and columns of a picture, from its header.

    Raises:
        DataError: As ``read_pixels``; damage behind the header is not seen.
    """
    with _readable(path):
        size, _ = _FORMATS[Path(path).suffix.lower()]
        rows, columns = size(path)
        if not (rows > 0 and columns > 0):
            raise ValueError(f"{rows} x {columns} pixels")
    return rows, columns


@contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of which file and why decoding failed."""
    try:
        yield
    except IvadomedError:
        raise
    except Exception as error:  # a damaged file raises nearly anything
        refuse_shortage(error, path)
        reason = str(error).split("\n")[0].replace(str(path), "it") or type(error).__name__
        raise DataError(f"{path}: not a readable picture ({reason}); replace or remove it") from error


def grey(pixels: np.ndarray) -> np.ndarray:
    """Grey values [...] float32 of [..., samples] with 1 to 4 samples; alpha is dropped."""
    if pixels.shape[-1] < 3:
        return pixels[..., 0].astype(np.float32)
    # Sample by sample, because a matrix product would first copy all of them to float32.
    luma = np.multiply(pixels[..., 0], _LUMA[0], dtype=np.float32)
    for sample in (1, 2):
        luma += np.multiply(pixels[..., sample], _LUMA[sample], dtype=np.float32)
    return luma


def is_coloured(pixels: np.ndarray) -> bool:
    """Tell whether [..., samples] has a pixel whose red, green and blue differ."""
    return pixels.shape[-1] > 2 and not (
        np.array_equal(pixels[..., 0], pixels[..., 1]) and np.array_equal(pixels[..., 0], pixels[..., 2])
    )


def _read_png(path: str | os.PathLike[str]) -> np.ndarray:
    import imagecodecs  # only pictures need it

    return np.asarray(imagecodecs.png_decode(Path(path).read_bytes()))


def _read_jpeg(path: str | os.PathLike[str]) -> np.ndarray:
    import imagecodecs  # only pictures need it

    content = Path(path).read_bytes()
    # The decoder fills what is missing with grey. Neither marker occurs within compressed data.
    if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise ValueError("truncated")
    pixels = np.asarray(imagecodecs.jpeg_decode(content))
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        raise DataError(f"{path}: has CMYK colours; {_REMEDY}")
    return pixels


def _check_announced(path: str | os.PathLike[str], rows: int, columns: int, per_byte: int) -> None:
    """Refuse a header that announces more pixels than a file of this size can hold, before any memory is taken."""
    if rows * columns > per_byte * os.path.getsize(path):
        raise ValueError(f"truncated: its header announces {rows} x {columns} pixels")


# Pillow refuses to open what has more than 179 million pixels, as large micrographs have.
def _png_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Rows and columns, from the first chunk (PNG specification, section 11.2.1)."""
    with open(path, "rb") as file:
        signature, _, name, columns, rows = struct.unpack(">8sI4sII", file.read(24))
    if signature != b"\x89PNG\r\n\x1a\n" or name != b"IHDR":
        raise ValueError("no PNG header")
    _check_announced(path, rows, columns, _PNG_PIXELS)
    return rows, columns


def _jpeg_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Rows and columns, from the frame header (ITU-T T.81, section B.2.2)."""
    with open(path, "rb") as file:
        if file.read(2) != b"\xff\xd8":
            raise ValueError("no JPEG header")
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
                return rows, columns
            file.seek(length - 2, os.SEEK_CUR)


def _tiff_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    with _tiff_page(path) as page:
        return page.imagelength, page.imagewidth


def _read_tiff(path: str | os.PathLike[str]) -> np.ndarray:
    import tifffile  # only pictures need it

    with _tiff_page(path) as page:
        pixels = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            return _of_palette(path, pixels, page.colormap)
        known = (0, 1, 2, 6)  # white is zero, black is zero, RGB, YCbCr (which is decoded to RGB)
        if page.photometric not in known:
            raise DataError(f"{path}: has {page.photometric.name} colours; {_REMEDY}")
        return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels


@contextmanager
def _tiff_page(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The one page of a TIFF file that is neither a thumbnail nor a mask."""
    import tifffile  # only pictures need it

    # What it logs about a damaged file is said in one line; without a handler it would be printed too.
    logging.getLogger("tifffile").addHandler(_SILENT)
    with tifffile.TiffFile(path) as file:
        # Each takes some bytes; without a limit, pages that follow each other in a circle are read for ever.
        every = islice(cast(Any, file.pages), file.filehandle.size // _SMALLEST_PAGE + 1)
        pages = [page for page in every if not (page.is_reduced or page.is_mask)]
        if not pages:
            raise ValueError("no page")
        images = (file.imagej_metadata or {}).get("images", 1)  # large stacks of ImageJ have one page only
        if len(pages) != 1 or images > 1:
            raise DataError(
                f"{path}: has {max(len(pages), images)} pages, expected one; extract the page to use, for example "
                'with tifffile.imwrite("page.tif", tifffile.imread(path, key=0))'
            )
        _check_size(pages[0], file.filehandle.size)
        yield pages[0]


def _check_size(page: Any, file_size: int) -> None:
    """Refuse a page that announces more pixels than the file or the memory can hold, before any memory is taken."""
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


def _of_palette(path: str | os.PathLike[str], indices: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Grey values 0..255 of a palette [3, n] of 16 bits, which must be grey."""
    if is_coloured(colours.T):
        raise DataError(f"{path}: has palette colours; {_REMEDY}")
    return (colours[0] >> 8).astype(np.uint8)[indices]


# By extension: how to read rows and columns, and the pixels.
_FORMATS = {
    ".png": (_png_size, _read_png),
    ".jpg": (_jpeg_size, _read_jpeg),
    ".jpeg": (_jpeg_size, _read_jpeg),
    ".tif": (_tiff_size, _read_tiff),
    ".tiff": (_tiff_size, _read_tiff),
}


def png_text(software: str) -> Any:
    """For Pillow's argument ``pnginfo``: the name of the program, as PNG files have it."""
    from PIL.PngImagePlugin import PngInfo  # only PNG files need it

    text = PngInfo()
    text.add_text("Software", software)
    return text


def software_of(path: str | os.PathLike[str]) -> str:
    """The program that says in a PNG file to have written it; empty for others, and files that cannot be read."""
    from PIL import Image  # only pictures need it

    if not os.fspath(path).lower().endswith(".png"):
        return ""
    try:
        with Image.open(path) as image:
            return str(image.info.get("Software", ""))
    except Exception:  # a damaged file raises nearly anything
        return ""
