"""Mid-sagittal images and heatmaps of intervertebral discs, written into a BIDS data set for training."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.images.heatmaps import heatmap_generation
from ivadomed.images.io import read_grid, read_image, save_nifti
from ivadomed.images.labels import read_map
from ivadomed.images.midslice import get_midslice_average, one_slice
from ivadomed.loader.cases.volumes import check_same_grid

_LABEL = "_labels-disc-manual"
_EXTENSION = ".nii.gz"
_DISCS = range(3, 31)  # C2/C3 to the last; C1/C2 (1, 2) is hard to identify, 49 and above are other landmarks
_KERNEL = 10  # pixels
_SAGITTAL = 0


def mask2label(path_label: str | os.PathLike[str], aim: int = 0) -> list[list[int]]:
    """Points of a label image.

    Args:
        path_label: NIfTI file with one voxel per disc, whose value is the disc number.
        aim: Number of the disc to look for; 0 or less for all discs from 3 (C2/C3) to 30.

    Returns:
        [x, y, z, value] of each point, in voxels of RAS orientation, sorted by value.

    Raises:
        DataError: The file cannot be read.
    """
    image = read_map(path_label)
    # From RAS to HWD with axial slices is the identity mapping.
    values = image.grid(2).to_hwd(image.data)
    wanted = values == aim if aim > 0 else np.isin(values, _DISCS)
    points = [[*map(int, place), int(values[tuple(place)])] for place in np.argwhere(wanted)]
    return sorted(points, key=lambda point: point[3])


def extract_mid_slice_and_convert_coordinates_to_heatmaps(
    path: str | os.PathLike[str], suffix: str, aim: int = -1
) -> list[Path]:
    """Write the mid-sagittal image of each subject and the heatmap of its discs into the data set.

    The slice is the middle of all discs of the subject, regardless of ``aim``. Images without labels or without
    the requested disc are skipped.

    Args:
        path: BIDS folder.
        suffix: Suffix of the images, such as "_T2w".
        aim: Number of the disc to show; 0 or less for all.

    Returns:
        The files written: ``<image>_mid.nii.gz`` and, in ``derivatives/labels``, ``<image>_mid_heatmap<aim>.nii.gz``.

    Raises:
        DataError: No image has such a label, or an image and its label lie on different grids.
        OutputError: The data set cannot be written.
    """
    data = Path(path)
    images = [
        image
        for pattern in (f"sub-*/anat/*{suffix}{_EXTENSION}", f"sub-*/ses-*/anat/*{suffix}{_EXTENSION}")
        for image in sorted(data.glob(pattern))
    ]
    if not images:
        raise DataError(f"{data}: has no image sub-*/anat/*{suffix}{_EXTENSION}; check --path and --suffix")
    written: list[Path] = []
    for image in tqdm(images, desc="Slices", unit="image", disable=None):
        written += _prepare(image, data, aim)
    if not written:
        disc = f"disc {aim}" if aim > 0 else "a disc from 3 to 30"
        raise DataError(f"{data}: no image *{suffix} has {disc} in its label *{suffix}{_LABEL}{_EXTENSION}")
    return written


def _prepare(image: Path, data: Path, aim: int) -> list[Path]:
    """Write both files of an image, or none if it has no such label."""
    stem = image.name.removesuffix(_EXTENSION)
    labels = data / "derivatives" / "labels" / image.parent.relative_to(data)
    label = labels / f"{stem}{_LABEL}{_EXTENSION}"
    if not label.is_file():
        return []
    discs, shown = mask2label(label), mask2label(label, aim)
    if not shown:
        return []
    volume = read_image(image)
    check_same_grid(volume.grid(), image, read_grid(label), label)
    middle = int(np.median([x for x, *_ in discs or shown]))
    height, width, _ = volume.grid(_SAGITTAL).hwd_shape
    plane = np.zeros((height, width))
    for _, y, z, _ in shown:
        plane[z, y] = 1
    heatmap = one_slice(volume, heatmap_generation(plane, _KERNEL), middle, _SAGITTAL)
    written = [image.with_name(f"{stem}_mid{_EXTENSION}"), labels / f"{stem}_mid_heatmap{aim}{_EXTENSION}"]
    save_nifti(get_midslice_average(image, middle, _SAGITTAL), written[0])
    save_nifti(heatmap, written[1])
    return written
