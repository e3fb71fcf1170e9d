"""The documented 2D data set of BIDS images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.bids_pairs import bids_filename_pairs, film_values
from ivadomed.loader.bids_steps import BidsSteps
from ivadomed.loader.mri2d_segmentation_dataset import MRI2DSegmentationDataset
from ivadomed.loader.segmentation_dataset import SampleFilter
from ivadomed.transforms import Compose


class BidsDataset(BidsSteps, MRI2DSegmentationDataset):
    """Slices or 2D patches of the images of a BIDS data set.

    Args:
        bids_df: The data set.
        subject_file_lst: File names of the images.
        target_suffix: Suffix of the label of each class; a list of suffixes for several raters.
        contrast_params: ``contrast_lst`` and ``balance``.
        model_params: ``length_2D`` and ``stride_2D`` for patches.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        nibabel_cache: See `MRI2DSegmentationDataset`.
        transform: See `MRI2DSegmentationDataset`.
        metadata_choice: What FiLM is conditioned on: "mri_params" leaves out images without flip angle, echo
            time and repetition time in their sidecar; a column leaves out images without a value.
        slice_filter_fn: Slices to keep.
        patch_filter_fn: Patches to keep.
        roi_params: ``suffix`` of the ROI and ``slice_filter_roi``.
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
        contrast_params: Mapping[str, Any],
        model_params: Mapping[str, Any],
        slice_axis: int = 2,
        nibabel_cache: bool = True,
        transform: Compose | Sequence[Compose | None] | None = None,
        metadata_choice: str | bool | None = False,
        slice_filter_fn: SampleFilter | None = None,
        patch_filter_fn: SampleFilter | None = None,
        roi_params: Mapping[str, Any] | None = None,
        multichannel: bool = False,
        object_detection_params: Mapping[str, Any] | None = None,
        task: str = "segmentation",
        soft_gt: bool = False,
        is_input_dropout: bool = False,
    ) -> None:
        self.bids_df = self.bids_ds = bids_df
        self.metadata_choice = metadata_choice
        self.roi_params = {"suffix": None, "slice_filter_roi": None, **(roi_params or {})}
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
            length=model_params.get("length_2D"),
            stride=model_params.get("stride_2D"),
            slice_axis=slice_axis,
            nibabel_cache=nibabel_cache,
            transform=transform,
            slice_filter_fn=slice_filter_fn,
            patch_filter_fn=patch_filter_fn,
            task=task,
            roi_params=roi_params,
            soft_gt=soft_gt,
            is_input_dropout=is_input_dropout,
        )
        self.metadata = film_values(self.cases, metadata_choice)
