"""The only reader and writer of image files: NIfTI, PNG, TIFF, JPEG. All writes are atomic."""

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

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.files import atomic_path
from ivadomed.images.pictures import EXTENSIONS as PICTURE_EXTENSIONS
from ivadomed.images.pictures import grey, is_coloured, png_text, read_pixels, read_size
from ivadomed.images.volume_of import VolumeOf
from ivadomed.runtime.failures import refuse_shortage
from ivadomed.runtime.memory import check_memory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DEFLATE = 1032
"""Bytes that one byte of a gzip file stands for at most."""

NIFTI_EXTENSIONS = (".nii.gz", ".nii")
EXTENSIONS = NIFTI_EXTENSIONS + PICTURE_EXTENSIONS

ImageLike = str | os.PathLike[str] | np.ndarray | nib.spatialimages.SpatialImage
"""Argument of functions that take an image: a path, an array, or a nibabel image."""


@dataclass(frozen=True, eq=False)
class Image:
    """One image as it lies in its file.

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
        DataError: The extension is none of an image.
    """
    text = os.fspath(path)
    for extension in EXTENSIONS:
        if text.lower().endswith(extension):
            return text[: -len(extension)], text[-len(extension) :]
    raise DataError(f"{text}: not an image file; expected one of {', '.join(EXTENSIONS)}")


def without_extension(suffix: str) -> str:
    """The suffix of a label or mask without the extension that some configurations write: "_seg.nii.gz" is "_seg"."""
    return split_extension(suffix)[0] if suffix.lower().endswith(EXTENSIONS) else suffix


def is_nifti(path: str | os.PathLike[str]) -> bool:
    """Tell whether the file name is one of a NIfTI file."""
    return os.fspath(path).lower().endswith(NIFTI_EXTENSIONS)


def is_picture(path: str | os.PathLike[str]) -> bool:
    """Tell whether the file name is one of a picture, which says nothing of the size of its pixels."""
    return os.fspath(path).lower().endswith(PICTURE_EXTENSIONS)


def read_image(path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None = None) -> Image:
    """Read an image as float32, in native orientation.

    Args:
        path: NIfTI or picture, or one volume of a NIfTI file. Colour becomes grey, an alpha channel is dropped.
        pixel_size: mm along rows and columns of a picture (pictures carry none); 1 when not given.

    Raises:
        DataError: The file is absent, damaged, of another kind, or has more than one volume, or others than expected.
    """
    if isinstance(path, VolumeOf):
        return next(read_images([path]))
    return _read_nifti(path) if is_nifti(path) else read_picture(path, pixel_size)


def read_images(
    paths: Iterable[str | os.PathLike[str]], pixel_size: tuple[float, ...] | None = None
) -> Iterator[Image]:
    """Read images in order, see ``read_image``; of volumes that follow each other, their file is read once."""
    for source, group in groupby(paths, lambda path: path.path if isinstance(path, VolumeOf) else None):
        images = list(group)
        if source is None:
            yield from (read_image(path, pixel_size) for path in images)
            continue
        first = cast(VolumeOf, images[0])
        whole = _read_nifti(first, several=True)
        for volume in cast(list[VolumeOf], images):
            yield Image(np.ascontiguousarray(whole.data[..., volume.index]), whole.affine, whole.header)


def read_classes(path: str | os.PathLike[str]) -> Image:
    """Read a prediction as float32 [X, Y, Z, K]: several classes may lie in one NIfTI file.

    Raises:
        DataError: As ``read_image``.
    """
    if is_nifti(path):
        image = _read_nifti(path, several=True)
    else:
        image = read_picture(path, None)
        image = Image(image.data / full_scale(image.data), image.affine)
    return Image(image.data.reshape((*image.data.shape[:3], -1)), image.affine, image.header)


def read_grid(
    path: str | os.PathLike[str],
    slice_axis: int = 2,
    pixel_size: tuple[float, ...] | None = None,
    several: bool = False,
) -> Grid:
    """The grid of an image, from its header.

    Args:
        path: The file.
        slice_axis: Along which slices are taken (RAS).
        pixel_size: See ``read_image``.
        several: The file may hold several volumes, as a prediction of several classes does.

    Raises:
        DataError: As ``read_image``; damage behind the header is not seen.
    """
    if not is_nifti(path):
        split_extension(path)  # names what can be read
        _check_exists(path)
        rows, columns = read_size(path)
        return Grid((rows, columns, 1), _picture_affine(pixel_size), slice_axis)
    image = _open_nifti(path, several)
    x, y, z = (*image.shape, 1, 1)[:3]
    return Grid((x, y, z), image.affine, slice_axis)


@contextmanager
def _silent_nibabel() -> Iterator[None]:
    """Context in which nibabel does not print what it thinks of a header, which our errors say."""
    _READING.silent = True
    try:
        yield
    finally:
        _READING.silent = False


_READING = threading.local()
nib.imageglobals.logger.addFilter(lambda record: not getattr(_READING, "silent", False))


def _check_exists(path: str | os.PathLike[str]) -> None:
    if not os.path.isfile(path):
        raise DataError(f"{os.fspath(path)}: no such image file")


def _open_nifti(path: str | os.PathLike[str], several: bool = False) -> Any:
    """Read the header and refuse what it says can not be used; with ``several``, volumes may be many."""
    expected = path.count if isinstance(path, VolumeOf) else None
    path = os.fspath(path)
    _check_exists(path)
    try:
        with _silent_nibabel():
            image: Any = nib.load(path)
    except Exception as error:  # a damaged header raises nearly anything
        refuse_shortage(error, path)
        raise DataError(
            f"{os.fspath(path)}: not a readable NIfTI file ({_reason(error, path)}); replace or remove it"
        ) from error
    _check_header(image, path, several or expected is not None)
    volumes = math.prod(image.shape[3:])
    if expected not in (None, volumes):
        raise DataError(
            f"{path}: has {volumes} volume{'s' if volumes > 1 else ''} (shape {'x'.join(map(str, image.shape))}), and "
            f"its data set names {expected} channels; correct the one or the other"
        )
    return image


def _check_length(image: Any, path: str | os.PathLike[str]) -> None:
    """Refuse a header that announces more voxels than the file or the memory can hold, before any is taken."""
    first = image.dataobj.offset
    announced = first + math.prod(image.shape) * image.get_data_dtype().itemsize
    most = os.path.getsize(path) * (_DEFLATE if os.fspath(path).lower().endswith(".gz") else 1)
    if announced > most:
        raise DataError(
            f"{os.fspath(path)}: truncated or damaged (its header announces {'x'.join(map(str, image.shape))} voxels "
            f"from byte {first} on, more than the file can hold); replace or remove it"
        )
    check_memory(path, image.shape)


def _check_header(image: Any, name: str, several: bool = False) -> None:
    """Refuse what the header of a nibabel image says can not be used; ``name`` is for the errors."""
    affine = image.affine
    if (
        min(image.shape, default=0) < 1
        or not np.isfinite(affine).all()
        or np.linalg.matrix_rank(affine[:3, :3]) < 3
    ):
        raise DataError(
            f"{name}: shape {image.shape} and affine {np.round(affine[:3], 3).tolist()} of its header are "
            "no grid of voxels; mend the header"
        )
    volumes = math.prod(image.shape[3:])
    if volumes > 1 and not several:
        raise DataError(
            f"{name}: has {volumes} volumes (shape {'x'.join(map(str, image.shape))}), expected one; "
            "extract the volume to use, for example with nibabel's img.slicer[..., 0]"
        )
    if image.get_data_dtype().kind == "c":
        raise DataError(f"{name}: has complex voxels; expected real ones, save for example the magnitude")


def is_file(image: ImageLike) -> bool:
    """Tell a path from an image in memory."""
    return isinstance(image, (str, os.PathLike))


def as_image(source: ImageLike, pixel_size: tuple[float, ...] | None = None) -> Image:
    """Any input as an image: a file is read, see ``read_image``.

    Args:
        source: Path, nibabel image, or array [X, Y, Z] or [rows, columns], which lies at the origin.
        pixel_size: mm along rows and columns of a picture or a 2D array; 1 when not given.

    Raises:
        DataError: Not an image, or one with more than one volume.
    """
    if isinstance(source, (str, os.PathLike)):
        return read_image(source, pixel_size)
    if isinstance(source, np.ndarray):
        if source.ndim not in (2, 3):
            raise DataError(f"array of shape {source.shape}: expected [X, Y, Z] or [rows, columns]")
        zooms = (*(pixel_size or (1.0, 1.0)), 1.0, 1.0) if source.ndim == 2 else (1.0,) * 4
        return Image(source.astype(np.float32).reshape((*source.shape, 1)[:3]), np.diag(zooms))
    if hasattr(source, "dataobj"):
        _check_header(source, "the given image")
        return _voxels(source, "the given image")
    raise DataError(f"an input is a {type(source).__name__}; expected a path, a nibabel image or an array")


def _read_nifti(path: str | os.PathLike[str], several: bool = False) -> Image:
    image, name = _open_nifti(path, several), os.fspath(path)
    _check_length(image, path)
    if not name.lower().endswith(".gz") or not hasattr(image, "from_stream"):
        return _voxels(image, name)
    # A gzip file has its checksum at the end, which nibabel does not reach.
    try:
        with gzip.open(path) as stream, _silent_nibabel():
            voxels = _voxels(type(image).from_stream(stream), name)
            stream.seek(0, os.SEEK_END)
    except (OSError, EOFError, zlib.error) as error:
        if "Not a gzipped file" not in str(error):  # of what follows the end
            raise _damaged(error, name) from error
    return voxels


def _voxels(image: Any, name: str) -> Image:
    """Voxels of a nibabel image whose header was checked."""
    is_colour = image.get_data_dtype().kind == "V"  # a structure of bytes: R, G, B and perhaps A
    try:
        stored = np.asarray(image.dataobj, None if is_colour else np.float32)
        data = grey(structured_to_unstructured(stored)) if is_colour else stored
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        raise _damaged(error, name) from error
    shape = tuple(n for i, n in enumerate(image.shape) if i < 3 or n > 1)
    return Image(data.reshape((*shape, 1, 1)[: max(3, len(shape))]), image.affine, image.header)


def _damaged(error: Exception, name: str) -> DataError:
    refuse_shortage(error, name)
    return DataError(f"{name}: truncated or damaged ({_reason(error, name)}); replace or remove it")


def _reason(error: Exception, path: str | os.PathLike[str]) -> str:
    """First line of another library's message, which need not name the file again."""
    line = str(error).split("\n")[0]
    for name in (f"'{os.fspath(path)}'", f'"{os.fspath(path)}"', os.fspath(path)):
        for before in (": ", " of ", " from "):
            line = line.replace(before + name, "")
    return line.strip() or type(error).__name__


def read_picture(
    path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None, is_label: bool = False
) -> Image:
    """Grey values as they are stored; a label must not be coloured. See ``read_image``."""
    split_extension(path)  # names what can be read
    _check_exists(path)
    pixels = read_pixels(path)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if is_label and is_coloured(pixels):
        raise DataError(
            f"{os.fspath(path)}: is coloured; expected a grey label, 0 and 255. Write a file for each class"
        )
    return Image(grey(pixels)[..., None], _picture_affine(pixel_size))


def _picture_affine(pixel_size: tuple[float, ...] | None) -> np.ndarray:
    rows, columns = pixel_size or (1.0, 1.0)
    return np.diag([rows, columns, 1.0, 1.0])


def full_scale(data: np.ndarray) -> float:
    """The value of a label or prediction picture that stands for 1."""
    highest = data.max()
    return 1.0 if highest <= 1 else 255.0 if highest <= 255 else 65535.0


def make_nifti(data: np.ndarray, affine: np.ndarray, header: Any = None) -> nib.Nifti1Image:
    """NIfTI image in memory with ``data``'s own type; qform, sform and units of ``header`` are kept.

    Args:
        data: [X, Y, Z] or [X, Y, Z, K].
        affine: [4, 4], voxel indices to mm.
        header: Header of the image that ``data`` was made from; None for a new one.
    """
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    if header is not None:
        new = header.copy()
        new.set_data_shape(data.shape)
        new.set_data_dtype(data.dtype)
        new["scl_slope"], new["scl_inter"] = np.nan, np.nan
        new["cal_max"], new["cal_min"] = 0, 0
        image = nib.Nifti1Image(data, affine, new)
    image.header.set_data_dtype(data.dtype)
    return image


def write_nifti(
    path: str | os.PathLike[str], data: np.ndarray, affine: np.ndarray, header: Any = None, dtype: Any = None
) -> None:
    """Write ``data`` as NIfTI, atomically; see ``make_nifti``."""
    array = data if dtype is None else data.astype(dtype)
    save_nifti(make_nifti(array, affine, header), path)


def save_nifti(image: nib.Nifti1Image, path: str | os.PathLike[str]) -> None:
    """Write an image that ``make_nifti`` made, atomically."""
    with atomic_path(path) as temporary:
        nib.save(image, temporary)


def write_volume(volume: VolumeOf, path: str | os.PathLike[str]) -> None:
    """Write one volume as a file of its own, atomically: the stored numbers, or those that they stand for.

    Raises:
        DataError: As ``read_image``.
    """
    image = _open_nifti(volume, several=True)
    is_scaled = (image.dataobj.slope, image.dataobj.inter) != (1, 0)
    whole = read_image(volume).data if is_scaled else np.asanyarray(image.dataobj)[..., volume.index]
    write_nifti(path, whole, image.affine, image.header)


def write_picture(path: str | os.PathLike[str], pixels: np.ndarray, software: str = "") -> None:
    """Write [rows, columns] or [rows, columns, 3] uint8 as PNG, TIFF or JPEG, atomically; see ``software_of``."""
    import imageio.v3 as iio  # only pictures need it

    options = {"pnginfo": png_text(software)} if software and os.fspath(path).lower().endswith(".png") else {}
    with atomic_path(Path(path)) as temporary:
        iio.imwrite(temporary, pixels, **options)


def write_figure(path: str | os.PathLike[str], figure: Figure, dpi: float | None = None) -> None:
    """Write a figure of matplotlib in the format that the extension names, atomically."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi or figure.dpi)
