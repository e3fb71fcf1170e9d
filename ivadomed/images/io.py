"""Reading and writing of image files: NIfTI, PNG, TIFF, JPEG. All writes are atomic."""

from __future__ import annotations

import gzip
import math
import os
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import nibabel as nib
import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured

from ivadomed.errors import DataError, DataNotFoundError
from ivadomed.geometry.grid import Grid
from ivadomed.images.files import atomic_path
from ivadomed.images.pictures import EXTENSIONS as PICTURE_EXTENSIONS
from ivadomed.images.pictures import grey, png_text, read_pixels, read_size
from ivadomed.images.pointers import FETCH, is_without_content
from ivadomed.images.volume_of import VolumeOf
from ivadomed.runtime.failures import refuse_shortage
from ivadomed.runtime.memory import check_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DEFLATE = 1032
"""Maximum number of bytes that one byte of a gzip file can encode."""

_MOST = 1e15
"""Largest voxel value: the sum of squares of 300 million such voxels fits into a 32-bit float."""

_NIFTI1_AXIS = np.iinfo(np.int16).max
_UNITS = {1: 1000.0, 2: 1.0, 3: 0.001}
"""Codes of ``xyzt_units``: meter, millimeter, micrometer."""

NIFTI_EXTENSIONS = (".nii.gz", ".nii")
EXTENSIONS = NIFTI_EXTENSIONS + PICTURE_EXTENSIONS

ImageLike = str | os.PathLike[str] | np.ndarray | nib.spatialimages.SpatialImage
"""Image argument of functions: a path, an array, or a nibabel image."""


@dataclass(frozen=True, eq=False)
class Image:
    """An image as stored in its file.

    Args:
        data: [X, Y, Z] or [X, Y, Z, K], native orientation. A picture is [rows, columns, 1].
        affine: [4, 4], voxel indices to mm.
        header: The NIfTI header, None for pictures.
    """

    data: np.ndarray
    affine: np.ndarray
    header: Any = None

    @property
    def zooms(self) -> tuple[float, float, float]:
        """Voxel size in mm along X, Y, Z."""
        x, y, z = nib.affines.voxel_sizes(self.affine)
        return float(x), float(y), float(z)

    def grid(self, slice_axis: int = 2) -> Grid:
        """The image's grid with slices along ``slice_axis`` (RAS)."""
        x, y, z = self.data.shape[:3]
        return Grid((x, y, z), self.affine, slice_axis)


def split_extension(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Split a path into what precedes the image extension and the extension (".nii.gz", ".ome.tif", ...).

    Raises:
        DataError: The extension is not one of an image.
    """
    text = os.fspath(path)
    for extension in EXTENSIONS:
        if text.lower().endswith(extension):
            return text[: -len(extension)], text[-len(extension) :]
    raise DataError(f"{text}: not an image file; expected one of {', '.join(EXTENSIONS)}")


def without_extension(suffix: str) -> str:
    """Suffix of a label or mask without the extension in some configurations: "_seg.nii.gz" becomes "_seg"."""
    return split_extension(suffix)[0] if suffix.lower().endswith(EXTENSIONS) else suffix


def is_nifti(path: str | os.PathLike[str]) -> bool:
    """Return whether a path has the name of a NIfTI file."""
    return os.fspath(path).lower().endswith(NIFTI_EXTENSIONS)


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Return whether a path has the name of a picture; pictures have no pixel size."""
    return os.fspath(path).lower().endswith(PICTURE_EXTENSIONS)


def read_image(path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None = None) -> Image:
    """Read an image as float32, in native orientation.

    Args:
        path: NIfTI or picture, or one volume of a NIfTI file. Color is converted to gray; an alpha channel is dropped.
        pixel_size: mm along rows and columns of a picture (not stored in pictures); default 1.

    Raises:
        DataError: The file is missing, corrupt, of another type, or does not have the expected number of volumes.
    """
    if isinstance(path, VolumeOf):
        return next(read_images([path]))
    return read_nifti(path) if is_nifti(path) else _read_picture(path, pixel_size)


def read_images(
    paths: Iterable[str | os.PathLike[str]], pixel_size: tuple[float, ...] | None = None
) -> Iterator[Image]:
    """Read images in order, see ``read_image``; consecutive volumes of a file are read together."""
    for source, group in groupby(paths, lambda path: path.path if isinstance(path, VolumeOf) else None):
        images = list(group)
        if source is None:
            yield from (read_image(path, pixel_size) for path in images)
            continue
        first = cast(VolumeOf, images[0])
        whole = read_nifti(first, several=True)
        for volume in cast(list[VolumeOf], images):
            yield Image(np.ascontiguousarray(whole.data[..., volume.index]), whole.affine, whole.header)


def read_classes(path: str | os.PathLike[str]) -> Image:
    """Read a prediction as float32 [X, Y, Z, K]: NIfTI files may contain several classes.

    Raises:
        DataError: See ``read_image``.
    """
    if is_nifti(path):
        image = read_nifti(path, several=True)
    else:
        image = _read_picture(path, None)
        image = Image(image.data / _full_scale(image.data), image.affine)
    return Image(image.data.reshape((*image.data.shape[:3], -1)), image.affine, image.header)


def read_grid(
    path: str | os.PathLike[str],
    slice_axis: int = 2,
    pixel_size: tuple[float, ...] | None = None,
    several: bool = False,
) -> Grid:
    """Grid of an image, from its header.

    Args:
        path: The file.
        slice_axis: RAS axis along which slices are taken.
        pixel_size: See ``read_image``.
        several: The file may hold several volumes, such as a prediction of several classes.

    Raises:
        DataError: See ``read_image``; corruption after the header is not detected.
    """
    if not is_nifti(path):
        check_present(path)
        rows, columns = read_size(path)
        return Grid((rows, columns, 1), picture_affine(pixel_size), slice_axis)
    image = _open_nifti(path, several)
    x, y, z = (*image.shape, 1, 1)[:3]
    return Grid((x, y, z), affine_mm(image), slice_axis)


def read_header(path: str | os.PathLike[str]) -> Any:
    """Header of a NIfTI file with one or several volumes.

    Raises:
        DataError: See ``read_grid``.
    """
    return _nifti_header(_open_nifti(path, several=True).header)


@contextmanager
def _silent_nibabel() -> Iterator[None]:
    """Silence nibabel's messages about headers, which our errors cover."""
    _READING.silent = True
    try:
        yield
    finally:
        _READING.silent = False


_READING = threading.local()
nib.imageglobals.logger.addFilter(lambda record: not getattr(_READING, "silent", False))


def check_present(path: str | os.PathLike[str]) -> None:
    """Raise DataError for names that are not images, missing files, and pointers to missing content.

    Raises:
        DataError: See above.
    """
    split_extension(path)  # names what can be read
    if is_without_content(path):
        raise DataError(f"{os.fspath(path)}: is a pointer to missing content; {FETCH}")
    if not os.path.isfile(path):
        raise DataNotFoundError(f"{os.fspath(path)}: no such image file")


def _open_nifti(path: str | os.PathLike[str], several: bool = False) -> Any:
    """Read the header and refuse unusable files; with ``several``, more than one volume is allowed."""
    expected = path.count if isinstance(path, VolumeOf) else None
    path = os.fspath(path)
    check_present(path)
    try:
        with _silent_nibabel():
            image: Any = nib.load(path)
    except Exception as error:  # a corrupt header raises nearly anything
        refuse_shortage(error, path)
        raise DataError(
            f"{os.fspath(path)}: not a readable NIfTI file ({_reason(error, path)}); replace or remove it"
        ) from error
    _check_header(image, path, several or expected is not None)
    volumes = math.prod(image.shape[3:])
    if expected not in (None, volumes):
        raise DataError(
            f"{path}: has {volumes} volume{'s' if volumes > 1 else ''} (shape {'x'.join(map(str, image.shape))}), but "
            f"its data set declares {expected} channels; correct one of them"
        )
    return image


def _check_length(image: Any, path: str | os.PathLike[str]) -> None:
    """Refuse a header that declares more voxels than fit the file or memory, before allocating memory."""
    first = image.dataobj.offset
    announced = first + math.prod(image.shape) * image.get_data_dtype().itemsize
    most = os.path.getsize(path) * (_DEFLATE if os.fspath(path).lower().endswith(".gz") else 1)
    if announced > most:
        raise DataError(
            f"{os.fspath(path)}: truncated or damaged (its header declares {'x'.join(map(str, image.shape))} voxels "
            f"from byte {first} on, more than the file can hold); replace or remove it"
        )
    check_memory(path, image.shape)


def _check_header(image: Any, name: str, several: bool = False) -> None:
    """Refuse a nibabel image with an unusable header; ``name`` is used in errors."""
    affine = image.affine
    if affine is None:
        raise DataError(
            f"{name}: has no affine, so its voxel size is unknown; provide one, for example with "
            "nibabel.Nifti1Image(data, affine)"
        )
    if (
        min(image.shape, default=0) < 1
        or not np.isfinite(affine).all()
        or np.linalg.matrix_rank(affine[:3, :3]) < 3
    ):
        raise DataError(
            f"{name}: shape {image.shape} and affine {np.round(affine[:3], 3).tolist()} of its header are "
            "not a voxel grid; fix the header"
        )
    volumes = math.prod(image.shape[3:])
    if volumes > 1 and not several:
        raise DataError(
            f"{name}: has {volumes} volumes (shape {'x'.join(map(str, image.shape))}), expected one; "
            "extract the volume to use, for example with nibabel's img.slicer[..., 0]"
        )
    _check_type(image.get_data_dtype(), name, also="V")


def _check_type(dtype: np.dtype, name: str, also: str = "") -> None:
    """Refuse voxel types that are not real numbers; ``also`` lists additional accepted kinds."""
    if dtype.kind == "c":
        raise DataError(f"{name}: has complex voxels; expected real ones; for example, save the magnitude")
    if dtype.kind not in f"buif{also}":
        raise DataError(f"{name}: has voxels of type {dtype}; expected numbers")


def fault_of_values(data: np.ndarray) -> str:
    """Reason why the voxels of an image cannot be used; empty if they can."""
    low, high = float(data.min()), float(data.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        return "has NaN or infinite voxels; fix the file or leave the subject out"
    if max(-low, high) > _MOST:
        return f"has voxels up to {max(-low, high):g}, whose variance exceeds 32-bit floats; divide them, e.g. by 1e20"
    return ""


def is_file(image: ImageLike) -> bool:
    """Return whether the input is a path, rather than an image in memory."""
    return isinstance(image, (str, os.PathLike))


def as_image(source: ImageLike, pixel_size: tuple[float, ...] | None = None) -> Image:
    """Convert any input to an image; files are read, see ``read_image``.

    Args:
        source: Path, nibabel image, or array [X, Y, Z] or [rows, columns], placed at the origin.
        pixel_size: mm along rows and columns of a picture or a 2D array; default 1.

    Raises:
        DataError: The input is not an image, or has more than one volume.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_image(source, pixel_size)
    if isinstance(source, np.ndarray):
        if source.ndim not in (2, 3) or 0 in source.shape:
            raise DataError(f"array of shape {source.shape}: expected [X, Y, Z] or [rows, columns]")
        _check_type(source.dtype, "the given array")
        zooms = (*(pixel_size or (1.0, 1.0)), 1.0, 1.0) if source.ndim == 2 else (1.0,) * 4
        return Image(source.astype(np.float32).reshape((*source.shape, 1)[:3]), np.diag(zooms))
    if hasattr(source, "dataobj") and hasattr(source, "affine"):
        _check_header(source, "the given image")
        return _voxels(source, "the given image")
    raise DataError(f"an input is a {type(source).__name__}; expected a path, a nibabel image or an array")


def read_nifti(path: str | os.PathLike[str], several: bool = False, stored: bool = False) -> Image:
    """Read a NIfTI file, see ``read_image``.

    Args:
        path: The file.
        several: Accept several volumes.
        stored: Integers keep their type unless the header scales them; otherwise, convert to float32.
    """
    image, name = _open_nifti(path, several), os.fspath(path)
    _check_length(image, path)
    if not name.lower().endswith(".gz") or not hasattr(image, "from_stream"):
        return _voxels(image, name, stored)
    # A gzip file ends with a checksum, which nibabel does not read.
    try:
        with gzip.open(path) as stream, _silent_nibabel():
            voxels = _voxels(type(image).from_stream(stream), name, stored)
            stream.seek(0, os.SEEK_END)
    except (OSError, EOFError, zlib.error) as error:
        if "Not a gzipped file" not in str(error):  # trailing data
            raise _damaged(error, name) from error
    return voxels


def _voxels(image: Any, name: str, stored: bool = False) -> Image:
    """Voxels of a nibabel image whose header was checked; see ``read_nifti``."""
    is_colour = image.get_data_dtype().kind == "V"  # a structure of bytes: R, G, B and possibly A
    scaling = (getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0))
    kept = is_colour or (stored and image.get_data_dtype().kind in "bui" and scaling == (1, 0))
    try:
        voxels = np.asarray(image.dataobj, None if kept else np.float32)
        data = grey(structured_to_unstructured(voxels)) if is_colour else voxels
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        raise _damaged(error, name) from error
    shape = tuple(n for i, n in enumerate(image.shape) if i < 3 or n > 1)
    return Image(
        data.reshape((*shape, 1, 1)[: max(3, len(shape))]), affine_mm(image), _nifti_header(image.header)
    )


def _nifti_header(header: Any) -> Any:
    """The header if it is a NIfTI header; other formats have nothing to preserve in results."""
    return header if isinstance(header, nib.Nifti1Header) else None


def _unit_mm(header: Any) -> float:
    """Length in mm of the unit in a header; mm for other formats and files without a unit."""
    return _UNITS.get(int(header["xyzt_units"]) & 7, 1.0) if isinstance(header, nib.Nifti1Header) else 1.0


def affine_mm(image: Any) -> np.ndarray:
    """Affine of a nibabel image in mm, [4, 4], whatever the unit in its header."""
    return _scaled(image.affine, _unit_mm(image.header))


def _scaled(affine: np.ndarray, factor: float) -> np.ndarray:
    """The affine in another unit of length."""
    return affine if factor == 1 else np.diag([factor, factor, factor, 1]) @ affine


def _damaged(error: Exception, name: str) -> DataError:
    refuse_shortage(error, name)
    return DataError(f"{name}: truncated or damaged ({_reason(error, name)}); replace or remove it")


def _reason(error: Exception, path: str | os.PathLike[str]) -> str:
    """First line of another library's message, without a repeated file name."""
    line = str(error).split("\n")[0]
    for name in (f"'{os.fspath(path)}'", f'"{os.fspath(path)}"', os.fspath(path)):
        for before in (": ", " of ", " from "):
            line = line.replace(before + name, "")
    return line.strip() or type(error).__name__


def _read_picture(path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None) -> Image:
    check_present(path)
    pixels = read_pixels(path)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return Image(grey(pixels)[..., None], picture_affine(pixel_size))


def picture_affine(pixel_size: tuple[float, ...] | None) -> np.ndarray:
    """[4, 4] affine of a picture with this pixel size in mm along rows and columns; 1 if None."""
    rows, columns = pixel_size or (1.0, 1.0)
    return np.diag([rows, columns, 1.0, 1.0])


def _full_scale(data: np.ndarray) -> float:
    """Value that represents 1 in a label or prediction picture."""
    highest = data.max()
    return 1.0 if highest <= 1 else 255.0 if highest <= 255 else 65535.0


def make_nifti(data: np.ndarray, affine: np.ndarray, header: Any = None) -> nib.Nifti1Image:
    """NIfTI image in memory with the data type of ``data``; qform, sform and units of ``header`` are kept.

    Axes of more than 32,767 voxels exceed NIfTI-1, so NIfTI-2 is used.

    Args:
        data: [X, Y, Z] or [X, Y, Z, K].
        affine: [4, 4], voxel indices to mm.
        header: NIfTI header of the image that ``data`` was made from; None for a new one.
    """
    kind = nib.Nifti2Image if max(data.shape) > _NIFTI1_AXIS else nib.Nifti1Image
    if header is None:
        image = kind(data, affine)
        image.header.set_xyzt_units("mm")
    else:
        with _silent_nibabel():  # it reports lengths that differ between NIfTI-1 and NIfTI-2
            new = kind.header_class.from_header(header)
        new.set_data_shape(data.shape)
        new.set_data_dtype(data.dtype)
        new["scl_slope"], new["scl_inter"] = np.nan, np.nan
        new["cal_max"], new["cal_min"] = 0, 0
        image = kind(data, _scaled(affine, 1 / _unit_mm(header)), new)
    image.header.set_data_dtype(data.dtype)
    return image


def make_like(data: np.ndarray, image: Any) -> nib.Nifti1Image:
    """NIfTI image with ``data`` on the grid of a nibabel image, see ``make_nifti``."""
    return make_nifti(data, affine_mm(image), _nifti_header(image.header))


def write_nifti(
    path: str | os.PathLike[str], data: np.ndarray, affine: np.ndarray, header: Any = None, dtype: Any = None
) -> None:
    """Write ``data`` as NIfTI atomically; see ``make_nifti``."""
    array = data if dtype is None else data.astype(dtype)
    save_nifti(make_nifti(array, affine, header), path)


def save_nifti(image: nib.Nifti1Image, path: str | os.PathLike[str]) -> None:
    """Write an image from ``make_nifti`` atomically."""
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def write_volume(volume: VolumeOf, path: str | os.PathLike[str]) -> None:
    """Write one volume as a separate file atomically; values are stored or scaled as in the source.

    Raises:
        DataError: See ``read_image``.
    """
    image = _open_nifti(volume, several=True)
    is_scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    whole = read_image(volume).data if is_scaled else np.asanyarray(image.dataobj)[..., volume.index]
    write_nifti(path, whole, affine_mm(image), image.header)


def write_picture(
    path: str | os.PathLike[str], pixels: np.ndarray, software: str = "", palette: np.ndarray | None = None
) -> None:
    """Write a picture atomically.

    Args:
        path: PNG, TIFF or JPEG; with a palette, PNG.
        pixels: [rows, columns] or [rows, columns, 3] uint8; with a palette, [rows, columns] indices into it.
        software: Name of the program, see ``software_of``.
        palette: [n, 3] uint8.
    """
    if palette is not None:
        _write_with_palette(Path(path), pixels, software, palette)
        return
    import imageio.v3 as iio  # only pictures need it

    options = {"pnginfo": png_text(software)} if software and os.fspath(path).lower().endswith(".png") else {}
    with atomic_path(Path(path)) as temporary:
        iio.imwrite(temporary, pixels, **options)


def jpeg_bytes(pixels: np.ndarray, quality: int) -> bytes:
    """[rows, columns] uint8 encoded as JPEG with a quality of 1 to 95."""
    import imageio.v3 as iio  # only pictures need it

    return iio.imwrite("<bytes>", pixels, extension=".jpg", quality=quality)


def _write_with_palette(path: Path, pixels: np.ndarray, software: str, palette: np.ndarray) -> None:
    from PIL import Image as Pillow  # imageio cannot write palettes

    picture = Pillow.fromarray(pixels)
    picture.putpalette(palette.ravel().tolist())
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=png_text(software))


def write_figure(path: str | os.PathLike[str], figure: Figure, dpi: float | None = None) -> None:
    """Write a matplotlib figure in the format of the extension atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi or figure.dpi)
