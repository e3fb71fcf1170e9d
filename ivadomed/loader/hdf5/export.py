"""HDF5 to BIDS: the arrays of a file as NIfTI images and labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid, hwd_to_ras
from ivadomed.images.files import write_json
from ivadomed.images.io import split_extension, write_nifti
from ivadomed.loader.bids.names import DATATYPES

_DESCRIPTION = {"Name": "Exported from HDF5", "BIDSVersion": "1.9.0"}


def HDF5_to_Bids(
    HDF5: str | os.PathLike[str], subjects: Sequence[str], path_dir: str | os.PathLike[str]
) -> None:
    """Write images and labels of subjects as a BIDS data set.

    An array that no step of preprocessing changed gets the affine of its image. Others lie at the origin of
    RAS space, with their voxel size.

    Args:
        HDF5: The file.
        subjects: Names of groups in it, e.g. "sub-01".
        path_dir: Folder of the data set.

    Raises:
        DataError: The file cannot be read, or lacks a subject.
        OutputError: The folder cannot be written.
    """
    import h5py  # only users of HDF5 need it

    try:
        file = h5py.File(HDF5, "r")
    except OSError as error:
        raise DataError(f"{os.fspath(HDF5)}: not a readable HDF5 file ({error})") from error
    with file:
        missing = [subject for subject in subjects if subject not in file]
        if missing:
            raise DataError(
                f"{os.fspath(HDF5)}: has no {', '.join(missing)}; there are {', '.join(map(str, file))}"
            )
        root, slice_axis = Path(path_dir), int(file.attrs["slice_axis"])
        for folder in (root, root / "derivatives" / "labels"):
            write_json(folder / "dataset_description.json", _DESCRIPTION)
        for subject in subjects:
            for image in file[subject]["inputs"].values():
                _write(root, _text(image.attrs["input_filenames"]), image, image[()], slice_axis)
            for label in file[subject].get("gt", {}).values():
                _write_labels(root / "derivatives" / "labels", label, slice_axis)


def _write_labels(folder: Path, label: Any, slice_axis: int) -> None:
    classes = label[()] if label.ndim == 4 else label[()][None]
    names = np.atleast_1d(label.attrs["gt_filenames"])
    for name, array in zip(names, classes, strict=True):
        if _text(name):  # a class without a file is all zeros
            is_mask = bool(np.isin(array, (0, 1)).all())
            _write(folder, _text(name), label, array.astype(np.uint8 if is_mask else np.float32), slice_axis)


def _write(folder: Path, source: str, dataset: Any, stack: np.ndarray, slice_axis: int) -> None:
    """Write [D, H, W] under the name of the file it came from."""
    data, attributes = np.moveaxis(stack, 0, -1), dataset.attrs
    path = folder / _place(source)
    if "affine" in attributes and tuple(attributes["data_shape"]) == data.shape:
        x, y, z = (int(n) for n in attributes["shape"])
        grid = Grid((x, y, z), attributes["affine"], slice_axis)
        if np.allclose(grid.zooms, attributes["zooms"]):
            write_nifti(path, grid.to_native(data), grid.affine)
            return
    zooms = hwd_to_ras(np.empty((0, 1, 2)), slice_axis).shape
    write_nifti(
        path, hwd_to_ras(data, slice_axis), np.diag([*(float(attributes["zooms"][i]) for i in zooms), 1.0])
    )


def _place(source: str) -> Path:
    """ "x/sub-01/ses-02/anat/sub-01_ses-02_T1w.png" to the path in a data set, as NIfTI."""
    path = Path(source.replace("\\", "/"))
    folders = [part for part in path.parts[:-1] if part.startswith(("sub-", "ses-")) or part in DATATYPES]
    name = f"{Path(split_extension(path.name)[0]).name}.nii.gz"
    inside = folders[folders.index(name.split("_")[0]) :] if name.split("_")[0] in folders else []
    return Path(*(inside or [name.split("_")[0], "anat"]), name)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
