"""Names of ivadomed 2.9.10's ``loader.utils``, on top of the modules that do the work."""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid, hwd_to_ras, ras_to_hwd
from ivadomed.images.io import split_extension
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.loader.split.draw import (
    get_new_subject_file_split,
    get_subdatasets_subject_files_list,
    split_dataset,
)
from ivadomed.runtime.moved import moved_names
from ivadomed.transforms.base import STEPS_KEY

__all__ = [
    "SampleMetadata",
    "create_temp_directory",
    "dropout_input",
    "filter_roi",
    "get_file_extension",
    "get_new_subject_file_split",
    "get_obj_size",
    "get_subdatasets_subject_files_list",
    "imed_collate",
    "orient_img_hwd",
    "orient_img_ras",
    "orient_shapes_hwd",
    "reorient_image",
    "split_dataset",
    "unstack_tensors",
    "update_filename_to_nifti",
    "update_metadata",
]

MOVED = {"BalancedSampler": "ivadomed.loader.balanced_sampler.BalancedSampler"}
KEPT = {
    name: f"ivadomed.compat.loader.{name}"
    for name in ("EXT_LST", "clean_metadata", "get_new_subject_split", "get_subdatasets_subjects_list")
}

__getattr__ = moved_names(__name__, MOVED, KEPT)

TRANSFORM_PARAMS = (
    "crop_params",
    "preresample_shape",
    "rotation",
    "scale",
    "translation",
    "elastic",
    "reverse",
    STEPS_KEY,
)
"""Metadata keys of what transforms drew."""


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
    return np.asarray(Grid((x, y, z), nib_ref.affine, slice_axis).to_native(arr), np.float64)


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


def imed_collate(batch: Sequence[Any]) -> Any:
    """Make one batch of items: tensors, arrays and numbers are stacked, dictionaries joined key by key.

    Anything else (metadata, strings, missing labels) becomes the list of the items' values.

    Args:
        batch: Items of a data set.

    Raises:
        DataError: Tensors differ in shape.
    """
    first = batch[0]
    if isinstance(first, Mapping):
        return {key: imed_collate([item[key] for item in batch]) for key in first}
    if any(item is None for item in batch):
        return list(batch)
    if isinstance(first, (torch.Tensor, np.ndarray)):
        tensors = [torch.as_tensor(item) for item in batch]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) > 1:
            raise DataError(
                f"samples of shapes {sorted(shapes)} make no batch; add CenterCrop to the transformations, "
                "give a patch length, or use a batch size of 1"
            )
        return torch.stack(tensors)
    if isinstance(first, (bool, int, float, np.number)):
        return torch.from_numpy(np.array(batch))
    return list(batch)


def dropout_input(seg_pair: Mapping[str, Any]) -> dict[str, Any]:
    """Blank a random part of the channels, to train for missing contrasts; one channel at least is left.

    How many are blank is drawn uniformly from 0 to one less than there are; channels that are empty already
    count among them (Havaei et al., 2016, HeMIS).

    Args:
        seg_pair: ``input`` [C, ...] and, if there are any, ``input_metadata``.

    Returns:
        Copy with blanked channels; its metadata name them under ``dropped_channels``.
    """
    image = seg_pair["input"]
    n_channels = len(image)
    if n_channels < 2:
        warnings.warn("input dropout needs several channels: samples stay as they are", stacklevel=2)
        return dict(seg_pair)
    n_blank = int(torch.randint(n_channels, ()))
    varies = [bool((channel != channel.flatten()[0]).any()) for channel in image]
    full = [place for place in torch.randperm(n_channels).tolist() if varies[place]]
    dropped = sorted(full[: max(0, n_blank - (n_channels - len(full)))])
    left = torch.ones(n_channels, dtype=torch.bool)
    left[dropped] = False
    mask = left.reshape(-1, *(1,) * (image.ndim - 1))
    out = {**seg_pair, "input": torch.where(mask, image, torch.zeros_like(image))}
    if seg_pair.get("input_metadata") is not None:
        out["input_metadata"] = [
            _with(record, "dropped_channels", dropped) for record in seg_pair["input_metadata"]
        ]
    return out


def filter_roi(roi_data: Any, nb_nonzero_thr: int | None) -> bool:
    """Whether a slice is discarded: its ROI has no more than ``nb_nonzero_thr`` voxels, or none."""
    return bool(np.count_nonzero(roi_data) <= (nb_nonzero_thr or 0))


def update_metadata(
    metadata_src_lst: Sequence[SampleMetadata] | None, metadata_dest_lst: Sequence[Any] | None
) -> Any:
    """Hand on what the transforms drew for one kind of array to the metadata of another.

    Args:
        metadata_src_lst: Metadata of the array that was transformed first; the first record counts.
        metadata_dest_lst: Metadata to complete; a class with several raters is a list.

    Returns:
        Copies of the destination with the draws that they did not have.
    """
    if not metadata_src_lst or not metadata_dest_lst:
        return metadata_dest_lst
    source = metadata_src_lst[0]

    def completed(record: Any) -> Any:
        if isinstance(record, list):
            return [completed(rater) for rater in record]
        new = copy.copy(record)
        new._update(source, TRANSFORM_PARAMS)
        return new

    return [completed(record) for record in metadata_dest_lst]


def get_obj_size(obj: Any) -> int:
    """Bytes of an object and of all that it holds; voxels of arrays and tensors count once."""
    seen: set[int] = set()

    def size(item: Any) -> int:
        if id(item) in seen:
            return 0
        seen.add(id(item))
        if isinstance(item, (np.ndarray, torch.Tensor)):
            return int(item.nbytes)
        total = sys.getsizeof(item)
        if isinstance(item, Mapping):
            return total + sum(size(key) + size(value) for key, value in item.items())
        if isinstance(item, (list, tuple, set, frozenset)):
            return total + sum(map(size, item))
        return total + (size(vars(item)) if hasattr(item, "__dict__") and not isinstance(item, type) else 0)

    return size(obj)


def create_temp_directory() -> str:
    """Make an empty folder in the system's temporary folder; the caller deletes it."""
    return tempfile.mkdtemp(prefix="ivadomed_")


def _with(record: Any, key: str, value: Any) -> Any:
    new = copy.copy(record)
    new[key] = value
    return new


def unstack_tensors(sample: torch.Tensor) -> list[torch.Tensor]:
    """The samples [1, ...] of a batch [B, ...]."""
    return list(sample.split(1))
