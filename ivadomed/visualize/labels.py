"""Labels as colours in a NIfTI file."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np

from ivadomed.errors import DataError
from ivadomed.images.io import read_grid, save_nifti
from ivadomed.visualize.colours import COLOURS

_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def save_color_labels(
    gt_data: np.ndarray,
    binarize: bool,
    gt_filename: str | os.PathLike[str],
    output_filename: str | os.PathLike[str],
    slice_axis: int,
) -> np.ndarray:
    """Write the classes of a segmentation as one volume of colours (NIfTI data type RGB24).

    Args:
        gt_data: [K, H, W, D] in 0..1, in the orientation in which slices are taken.
        binarize: Threshold at 0.5; otherwise soft values are shown as dark colours.
        gt_filename: Image on whose grid the labels lie.
        output_filename: NIfTI file to write.
        slice_axis: RAS axis along which slices were taken (0 sagittal, 1 coronal, 2 axial).

    Returns:
        [H, W, D, 3] uint8; where classes overlap, their colours are added.

    Raises:
        DataError: ``gt_filename`` cannot be read, or its grid has another shape.
    """
    classes = (gt_data >= 0.5).astype(np.float32) if binarize else np.clip(gt_data, 0, 1)
    colours = COLOURS[np.arange(len(classes)) % len(COLOURS)]
    rgb = np.einsum("k...,kc->...c", classes, colours).clip(0, 255).astype(np.uint8)
    grid = read_grid(gt_filename, slice_axis)
    if grid.hwd_shape != rgb.shape[:3]:
        raise DataError(
            f"{gt_filename}: has {grid.hwd_shape} voxels (height, width, depth), but the labels {rgb.shape[:3]}"
        )
    stored = np.stack([grid.to_native(rgb[..., c]) for c in range(3)], axis=-1)
    image = nib.Nifti1Image(np.ascontiguousarray(stored).view(_RGB)[..., 0], grid.affine)
    save_nifti(image, output_filename)
    return rgb
