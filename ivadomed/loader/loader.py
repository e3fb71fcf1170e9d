"""The documented entry to the data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ivadomed.geometry.grid import SLICE_AXES
from ivadomed.loader.bids3d_dataset import Bids3DDataset
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.bids_dataset import BidsDataset
from ivadomed.loader.patch_filter import PatchFilter
from ivadomed.loader.slice_filter import SliceFilter
from ivadomed.runtime.moved import moved_names
from ivadomed.transforms import prepare_transforms

__all__ = ["Bids3DDataset", "BidsDataset", "load_dataset"]

MOVED = {
    "MRI2DSegmentationDataset": "ivadomed.loader.mri2d_segmentation_dataset.MRI2DSegmentationDataset",
    "MRI3DSubVolumeSegmentationDataset": (
        "ivadomed.loader.mri3d_subvolume_segmentation_dataset.MRI3DSubVolumeSegmentationDataset"
    ),
    "SegmentationPair": "ivadomed.loader.segmentation_pair.SegmentationPair",
}

__getattr__ = moved_names(__name__, MOVED)


def load_dataset(
    bids_df: BidsDataframe,
    data_list: Sequence[str],
    transforms_params: Mapping[str, Mapping[str, Any]],
    model_params: Mapping[str, Any],
    target_suffix: Sequence[Any],
    roi_params: Mapping[str, Any] | None,
    contrast_params: Mapping[str, Any],
    slice_filter_params: Mapping[str, Any] | None,
    patch_filter_params: Mapping[str, Any] | None,
    slice_axis: str,
    multichannel: bool,
    dataset_type: str = "training",
    requires_undo: bool = False,
    metadata_type: str | bool | None = None,
    object_detection_params: Mapping[str, Any] | None = None,
    soft_gt: bool = False,
    device: torch.device | str | None = None,
    cuda_available: bool | None = None,
    is_input_dropout: bool = False,
    **kwargs: Any,
) -> BidsDataset | Bids3DDataset:
    """Make the data set of one side of a split: slices or 2D patches for 2D models, else 3D patches.

    The sections are those of the configuration; keys of ``loader_parameters`` that are not listed here (e.g.
    ``path_data``) may be passed along and have no effect.

    Args:
        bids_df: The data set.
        data_list: File names of the images.
        transforms_params: Transforms of this side, see ``transforms.get_subdatasets_transforms``.
        model_params: ``name``, ``is_2d``, and for patches ``length_2D``/``stride_2D`` or ``length_3D``/``stride_3D``.
        target_suffix: Suffix of the label of each class; a list of suffixes for several raters.
        roi_params: ``suffix`` and ``slice_filter_roi``.
        contrast_params: ``contrast_lst`` and ``balance``.
        slice_filter_params: Arguments of `SliceFilter`.
        patch_filter_params: Arguments of `PatchFilter`, which discards nothing of a test set.
        slice_axis: "axial", "sagittal" or "coronal".
        multichannel: Contrasts of a subject are channels of one sample.
        dataset_type: "training", "validation" or "testing".
        requires_undo: Kept for callers of 2.9.10: every item can be undone.
        metadata_type: What FiLM is conditioned on, see `BidsDataset`.
        object_detection_params: See `BidsDataset`.
        soft_gt: Keep label values between 0 and 1.
        device: Of the classifier of the slice filter.
        cuda_available: Kept for callers of 2.9.10.
        is_input_dropout: Blank a random part of the channels of each sample; in training only.
        **kwargs: Not used.

    Raises:
        ConfigError: A transform or filter is not understood.
        DataError: No image can be used.
    """
    transform, _ = prepare_transforms(transforms_params, requires_undo)
    patch_filter = PatchFilter(**(patch_filter_params or {}), is_train=dataset_type != "testing")
    task = "classification" if model_params["name"] in ("resnet18", "densenet121") else "segmentation"
    shared: dict[str, Any] = {
        "bids_df": bids_df,
        "subject_file_lst": data_list,
        "target_suffix": target_suffix,
        "contrast_params": contrast_params,
        "model_params": model_params,
        "slice_axis": SLICE_AXES[slice_axis],
        "transform": transform,
        "metadata_choice": metadata_type,
        "roi_params": roi_params,
        "multichannel": multichannel,
        "object_detection_params": object_detection_params,
        "task": task,
        "soft_gt": soft_gt,
        "is_input_dropout": is_input_dropout and dataset_type == "training",
    }
    if not model_params.get("is_2d", "length_3D" not in model_params):
        return Bids3DDataset(subvolume_filter_fn=patch_filter, **shared)
    slice_filter = SliceFilter(**(slice_filter_params or {}), device=device, cuda_available=cuda_available)
    dataset = BidsDataset(slice_filter_fn=slice_filter, patch_filter_fn=patch_filter, **shared)
    dataset.load_filenames()
    return dataset
