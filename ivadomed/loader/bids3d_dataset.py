"""The documented 3D data set of BIDS images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.bids_pairs import bids_filename_pairs, film_values
from ivadomed.loader.mri3d_subvolume_segmentation_dataset import MRI3DSubVolumeSegmentationDataset
from ivadomed.loader.segmentation_dataset import SampleFilter
from ivadomed.transforms import Compose


class Bids3DDataset(MRI3DSubVolumeSegmentationDataset):
    """Patches of the volumes of a BIDS data set.

    Args:
        bids_df: The data set.
        subject_file_lst: File names of the images.
        target_suffix: Suffix of the label of each class; a list of suffixes for several raters.
        model_params: ``length_3D`` and ``stride_3D``.
        contrast_params: ``contrast_lst`` and ``balance``.
        slice_axis: RAS axis that becomes the depth: 0 sagittal, 1 coronal, 2 axial.
        cache: Keep prepared volumes in memory as far as they fit, else on disk; False keeps them on disk.
        transform: See `MRI3DSubVolumeSegmentationDataset`.
        metadata_choice: See `BidsDataset`.
        roi_params: ``suffix`` of the ROI.
        subvolume_filter_fn: Patches to keep.
        multichannel: Contrasts of a subject are channels of one sample.
        object_detection_params: Crop to the boxes of a file, see `bids_filename_pairs`.
        task: "segmentation" or "classification".
        soft_gt: Keep label values between 0 and 1.
        is_input_dropout: Blank a random part of the channels of each sample.

    Attributes:
        filename_pairs: Per case (inputs, labels, ROI, metadata), see `MRI2DSegmentationDataset`.
        metadata_choice: As given.
        metadata: What FiLM is conditioned on: by name the values of all cases; empty without FiLM.
        bids_df: As given.
        bids_ds: The same, under the name of the 2020 manual.
    """

    def __init__(
        self,
        bids_df: BidsDataframe,
        subject_file_lst: Sequence[str],
        target_suffix: Sequence[Any],
        model_params: Mapping[str, Any],
        contrast_params: Mapping[str, Any],
        slice_axis: int = 2,
        cache: bool = True,
        transform: Compose | Sequence[Compose | None] | None = None,
        metadata_choice: str | bool | None = False,
        roi_params: Mapping[str, Any] | None = None,
        subvolume_filter_fn: SampleFilter | None = None,
        multichannel: bool = False,
        object_detection_params: Mapping[str, Any] | None = None,
        task: str = "segmentation",
        soft_gt: bool = False,
        is_input_dropout: bool = False,
    ) -> None:
        self.bids_df = self.bids_ds = bids_df
        self.metadata_choice = metadata_choice
        length = model_params["length_3D"]
        super().__init__(
            bids_filename_pairs(
                bids_df,
                subject_file_lst,
                target_suffix,
                contrast_params,
                roi_params,
                multichannel,
                metadata_choice,
                object_detection_params,
            ),
            transform=transform,
            length=length,
            stride=model_params.get("stride_3D") or length,
            slice_axis=slice_axis,
            subvolume_filter_fn=subvolume_filter_fn,
            task=task,
            soft_gt=soft_gt,
            is_input_dropout=is_input_dropout,
            disk_cache=None if cache else True,
        )
        self.metadata = film_values(self.cases, metadata_choice)
