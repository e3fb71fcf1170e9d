"""From a heatmap to the coordinates of its peaks, and from coordinates to a label image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ivadomed.errors import DataError
from ivadomed.postprocessing.masks import nifti_capable

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

MIN_DISTANCE = 5


@nifti_capable
def coordinate_from_heatmap(nifti_image: np.ndarray, thresh: float = 0.3) -> list[list[int]]:
    """Coordinates of the local maxima of a heatmap.

    A peak is the largest value within 5 voxels. Peaks closer than 5 voxels to the border are left out, for
    their neighbourhood is cut; along an axis of length 1 there is no border. Hence a stack of 2 to 10
    slices has no peaks: give single slices or volumes.

    Args:
        nifti_image: Nifti1Image or array, [X, Y] or [X, Y, Z].
        thresh: Smallest height of a peak, after the image has been rescaled to 0..1.

    Returns:
        One [x, y, z] per peak, in voxels, the highest first; empty for a constant image.
    """
    image = np.asarray(nifti_image, np.float64)
    low, high = image.min(), image.max()
    if low == high:
        return []
    from skimage.feature import peak_local_max  # no other library keeps peaks a distance apart

    border = tuple(MIN_DISTANCE if n > 1 else 0 for n in image.shape)
    peaks = peak_local_max(
        (image - low) / (high - low), min_distance=MIN_DISTANCE, threshold_rel=thresh, exclude_border=border
    )
    return [[int(i) for i in peak] for peak in peaks]


def label_file_from_coordinates(nifti_image: Nifti1Image, coord_list: Sequence[Sequence[int]]) -> Nifti1Image:
    """Image of single voxels of value 1.

    Args:
        nifti_image: Image whose shape, affine and header the result takes.
        coord_list: One [x, y, z] per voxel, in voxels of ``nifti_image``.

    Raises:
        DataError: A coordinate lies outside the image.
    """
    from ivadomed.images.io import make_nifti  # loads nibabel, which callers with arrays do not need

    label = np.zeros(nifti_image.shape, np.uint8)
    for coordinate in coord_list:
        voxel = tuple(int(i) for i in coordinate)
        if len(voxel) != label.ndim or not all(0 <= i < n for i, n in zip(voxel, label.shape, strict=True)):
            raise DataError(f"label coordinate {voxel}: outside of the image of shape {label.shape}")
        label[voxel] = 1
    return make_nifti(label, nifti_image.affine, nifti_image.header)
