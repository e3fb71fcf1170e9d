"""The only reader and writer of image files: NIfTI, PNG, TIFF, JPEG. All writes are atomic."""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ivadomed.errors import DataError
from ivadomed.files import atomic_path
from ivadomed.grid import Grid

NIFTI_EXTENSIONS = (".nii.gz", ".nii")
PICTURE_EXTENSIONS = (".ome.tiff", ".ome.tif", ".tiff", ".tif", ".png", ".jpeg", ".jpg")
EXTENSIONS = NIFTI_EXTENSIONS + PICTURE_EXTENSIONS

# ITU-R BT.601 luma, which Pillow and the original use to make grey of colour.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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


def is_nifti(path: str | os.PathLike[str]) -> bool:
    """Whether the file name is one of a NIfTI file."""
    return os.fspath(path).lower().endswith(NIFTI_EXTENSIONS)


def read_image(path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None = None) -> Image:
    """Read an image as float32, in native orientation.

    Args:
        path: NIfTI or picture. Colour becomes grey, an alpha channel is dropped.
        pixel_size: mm along rows and columns of a picture (pictures carry none); 1 when not given.

    Raises:
        DataError: The file is absent, damaged, of another kind, or has more than one volume.
    """
    return _read_nifti(path) if is_nifti(path) else _read_picture(path, pixel_size)


def read_label(path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None = None) -> Image:
    """Read a label as float32; the grey values of a picture (0..255 or 0..65535) become 0..1."""
    image = read_image(path, pixel_size)
    if is_nifti(path) or image.data.max() <= 1:
        return image
    return Image(image.data / image.data.max(), image.affine)


def read_classes(path: str | os.PathLike[str]) -> Image:
    """Read a prediction as float32 [X, Y, Z, K]: several classes may lie in one NIfTI file.

    Raises:
        DataError: As ``read_image``.
    """
    image = _read_nifti(path, several=True) if is_nifti(path) else read_label(path)
    return Image(image.data.reshape((*image.data.shape[:3], -1)), image.affine, image.header)


def read_grid(
    path: str | os.PathLike[str], slice_axis: int = 2, pixel_size: tuple[float, ...] | None = None
) -> Grid:
    """The grid of an image, from its header; see ``read_image`` for ``pixel_size``."""
    if not is_nifti(path):
        rows, columns = _picture_shape(path)
        return Grid((rows, columns, 1), _picture_affine(pixel_size), slice_axis)
    proxy = _load_nifti(path)
    x, y, z = (*proxy.shape, 1, 1)[:3]
    return Grid((x, y, z), proxy.affine, slice_axis)


def _check_exists(path: str | os.PathLike[str]) -> None:
    if not os.path.isfile(path):
        raise DataError(f"{os.fspath(path)}: no such image file")


def _load_nifti(path: str | os.PathLike[str]) -> Any:
    _check_exists(path)
    try:
        return nib.load(path)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"{os.fspath(path)}: not a readable NIfTI file ({error}); replace or remove it"
        ) from error


def _read_nifti(path: str | os.PathLike[str], several: bool = False) -> Image:
    proxy = _load_nifti(path)
    shape = tuple(n for i, n in enumerate(proxy.shape) if i < 3 or n > 1)
    if len(shape) > 3 and not several:
        raise DataError(
            f"{os.fspath(path)}: has {proxy.shape[3]} volumes (shape {'x'.join(map(str, proxy.shape))}), expected "
            "one; extract the volume to use, for example with nibabel's img.slicer[..., 0]"
        )
    try:
        data = np.asarray(proxy.dataobj, np.float32)
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as error:
        raise DataError(f"{os.fspath(path)}: truncated or damaged ({error}); replace or remove it") from error
    return Image(data.reshape((*shape, 1, 1)[: max(3, len(shape))]), proxy.affine, proxy.header)


def _read_picture(path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None) -> Image:
    split_extension(path)  # names what can be read
    _check_exists(path)
    import imageio.v3 as iio  # only pictures need it

    try:
        pixels = np.asarray(iio.imread(Path(path)))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"{os.fspath(path)}: not a readable picture ({error}); replace or remove it"
        ) from error
    if pixels.ndim == 3 and pixels.shape[2] in (2, 3, 4):
        channels = 1 if pixels.shape[2] == 2 else 3
        pixels = pixels[..., :channels] @ (_LUMA if channels == 3 else np.ones(1, np.float32))
    if pixels.ndim != 2:
        raise DataError(
            f"{os.fspath(path)}: shape {pixels.shape} is no single grey or colour picture; split it"
        )
    return Image(pixels.astype(np.float32)[..., None], _picture_affine(pixel_size))


def _picture_affine(pixel_size: tuple[float, ...] | None) -> np.ndarray:
    rows, columns = pixel_size or (1.0, 1.0)
    return np.diag([rows, columns, 1.0, 1.0])


def _picture_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Rows and columns, without reading the pixels."""
    split_extension(path)  # names what can be read
    _check_exists(path)
    import imageio.v3 as iio  # only pictures need it

    try:
        rows, columns = iio.improps(Path(path)).shape[:2]
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"{os.fspath(path)}: not a readable picture ({error}); replace or remove it"
        ) from error
    return rows, columns


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


def write_picture(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write [rows, columns] or [rows, columns, 3] uint8 as PNG, TIFF or JPEG, atomically."""
    import imageio.v3 as iio  # only pictures need it

    with atomic_path(Path(path)) as temporary:
        iio.imwrite(temporary, pixels)
