"""Averages of slices, and images of one slice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from ivadomed.errors import DataError
from ivadomed.images.io import Image, make_nifti, read_image

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_ASIDE = 3


def get_midslice_average(path_im: str | os.PathLike[str], ind: int, slice_axis: int = 0) -> Nifti1Image:
    """Average the 7 slices around a slice, to show a structure that is not exactly planar.

    Near the border fewer slices are used, equally many on both sides.

    Args:
        path_im: NIfTI file.
        ind: Index of the slice along ``slice_axis``, counted in RAS orientation.
        slice_axis: RAS axis: 0 sagittal, 1 coronal, 2 axial.

    Returns:
        float32 image of one slice, in the orientation of the file and at the position of slice ``ind``.

    Raises:
        DataError: The file cannot be read or has no such slice.
    """
    image = read_image(path_im)
    hwd = image.grid(slice_axis).to_hwd(image.data)
    depth = hwd.shape[2]
    if not 0 <= ind < depth:
        raise DataError(f"{os.fspath(path_im)}: has no slice {ind}; it has {depth} along axis {slice_axis}")
    aside = min(_ASIDE, ind, depth - 1 - ind)
    mean = hwd[..., ind - aside : ind + aside + 1].mean(axis=2, dtype=np.float64)
    return one_slice(image, mean, ind, slice_axis)


def one_slice(image: Image, data: np.ndarray, ind: int, slice_axis: int) -> Nifti1Image:
    """Single-slice image at the position of slice ``ind`` in another image.

    Args:
        image: The other image.
        data: [H, W].
        ind: Index along ``slice_axis``, in RAS orientation.
        slice_axis: RAS axis.

    Returns:
        float32, in the orientation of ``image``.
    """
    grid = image.grid(slice_axis)
    native = grid.to_native(data[..., None].astype(np.float32))
    axis = int(np.flatnonzero(grid.orientation[:, 0] == slice_axis)[0])
    voxel = np.zeros(3)
    voxel[axis] = ind if grid.orientation[axis, 1] > 0 else grid.shape[axis] - 1 - ind
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ voxel
    made = make_nifti(np.ascontiguousarray(native), affine, image.header)
    for set_form, code in ((made.set_qform, "qform_code"), (made.set_sform, "sform_code")):
        set_form(made.affine, int(made.header[code]))
    return made
