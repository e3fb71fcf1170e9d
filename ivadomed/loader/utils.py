"""Names of ivadomed 2.9.10's ``loader.utils``, on top of the modules that do the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.grid import Grid, hwd_to_ras, ras_to_hwd
from ivadomed.io import make_nifti, split_extension
from ivadomed.loader.split import (
    get_new_subject_file_split,
    get_subdatasets_subject_files_list,
    split_dataset,
)

__all__ = [
    "get_file_extension",
    "get_new_subject_file_split",
    "get_subdatasets_subject_files_list",
    "orient_img_hwd",
    "orient_img_ras",
    "orient_shapes_hwd",
    "reorient_image",
    "split_dataset",
    "update_filename_to_nifti",
]


def orient_img_hwd(data: np.ndarray, slice_axis: int) -> np.ndarray:
    """Reorder [R, A, S] to [H, W, D] with slices along ``slice_axis``."""
    return ras_to_hwd(data, slice_axis)


def orient_img_ras(data: np.ndarray, slice_axis: int) -> np.ndarray:
    """Reorder [..., H, W, D] to [..., R, A, S]."""
    return hwd_to_ras(data, slice_axis)


def orient_shapes_hwd(data: Sequence[Any], slice_axis: int) -> np.ndarray:
    """Reorder three numbers (shape, voxel size) from R, A, S to H, W, D."""
    places = ras_to_hwd(np.empty((0, 1, 2)), slice_axis).shape
    return np.array([data[place] for place in places])


def reorient_image(
    arr: np.ndarray, slice_axis: int, nib_ref: Any, nib_ref_canonical: Any = None
) -> np.ndarray:
    """Bring [H, W, D] to the orientation of a reference image.

    Args:
        arr: Array in HWD order.
        slice_axis: RAS axis along which slices were taken.
        nib_ref: nibabel image whose orientation is wanted.
        nib_ref_canonical: Kept for callers of 2.9.10; not needed.
    """
    x, y, z = nib_ref.shape[:3]
    return make_nifti(Grid((x, y, z), nib_ref.affine, slice_axis).to_native(arr), nib_ref.affine).get_fdata()


def get_file_extension(filename: str | os.PathLike[str]) -> str | None:
    """Extension of an image file (".nii.gz", ".ome.tif", ...), or None when it is none of ours."""
    try:
        return split_extension(filename)[1]
    except DataError:
        return None


def update_filename_to_nifti(filename: str) -> str:
    """The file name with ".nii.gz" in place of the extension of a picture."""
    stem, extension = split_extension(filename)
    return filename if extension.startswith(".nii") else f"{stem}.nii.gz"
