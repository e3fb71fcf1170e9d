"""Data sets of BIDS images as ivadomed 2.x made them: `load_dataset`, `BidsDataset` and `Bids3DDataset`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ivadomed.compat.datasets import MRI2DSegmentationDataset, MRI3DSubVolumeSegmentationDataset, SampleFilter
from ivadomed.compat.filters import PatchFilter, SliceFilter
from ivadomed.compat.pairs import FilenamePair, filename_pair_of
from ivadomed.compat.transforms import Compose, prepare_transforms
from ivadomed.compat.utils import get_task
from ivadomed.detection.cascade import saved_boxes, with_boxes
from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.grid import SLICE_AXES
from ivadomed.images.io import split_extension
from ivadomed.images.label_suffix import LabelSuffix, file_suffix
from ivadomed.images.labels import LabelFile
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import build_cases
from ivadomed.loader.conditions import CONTRASTS, MRI_PARAMS, missing_metadata

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Subjects = MutableMapping[str, dict[str, Any]]
"""Files of subjects with several channels: ``absolute_paths``, ``deriv_path``, ``roi_filename`` and ``metadata``."""


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
    """Make the data set of one subset of a split: slices or 2D patches for 2D models, else 3D patches.

    The sections are those of the configuration; keys of ``loader_parameters`` that are not listed here (e.g.
    ``path_data``) may be passed along and have no effect.

    Args:
        bids_df: The data set.
        data_list: File names of the images.
        transforms_params: Transforms of this subset, see ``transforms.get_subdatasets_transforms``.
        model_params: ``name``, ``is_2d``, and for patches ``length_2D``/``stride_2D`` or ``length_3D``/``stride_3D``.
        target_suffix: Suffix of the label of each class; a list of suffixes for several raters.
        roi_params: ``suffix`` and ``slice_filter_roi``.
        contrast_params: ``contrast_lst`` and ``balance``.
        slice_filter_params: Arguments of `SliceFilter`.
        patch_filter_params: Arguments of `PatchFilter`, which discards nothing from a test set.
        slice_axis: "axial", "sagittal" or "coronal".
        multichannel: Contrasts of a subject are channels of one sample.
        dataset_type: "training", "validation" or "testing".
        requires_undo: Kept for callers of 2.9.10: every item can be undone.
        metadata_type: Metadata that FiLM is conditioned on, see `BidsDataset`.
        object_detection_params: See `BidsDataset`.
        soft_gt: Keep label values between 0 and 1.
        device: Device of the slice filter's classifier.
        cuda_available: Kept for callers of 2.9.10.
        is_input_dropout: Blank a random subset of the channels of each sample; in training only.
        **kwargs: Not used.

    Raises:
        ConfigError: A transform or filter is invalid, or voxels should be ignored.
        DataError: No image is usable.
    """
    _refuse_ignored(kwargs.get("ignore_label"))
    transform, _ = prepare_transforms(transforms_params, requires_undo)
    patch_filter = PatchFilter(**(patch_filter_params or {}), is_train=dataset_type != "testing")
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
        "task": get_task(model_params["name"]),
        "soft_gt": soft_gt,
        "is_input_dropout": is_input_dropout and dataset_type == "training",
    }
    if not model_params.get("is_2d", "length_3D" not in model_params):
        return Bids3DDataset(subvolume_filter_fn=patch_filter, **shared)
    slice_filter = SliceFilter(**(slice_filter_params or {}), device=device, cuda_available=cuda_available)
    dataset = BidsDataset(slice_filter_fn=slice_filter, patch_filter_fn=patch_filter, **shared)
    dataset.load_filenames()
    return dataset


def _refuse_ignored(ignore_label: str | None) -> None:
    if ignore_label:
        raise ConfigError(
            f"loader_parameters.ignore_label: {ignore_label!r}, but samples of 2.x cannot say which voxels are "
            "ignored; train with `ivadomed --train`, or set it to null"
        )


def film_values(cases: Sequence[Case], metadata_choice: str | bool | None) -> dict[str, list[Any]]:
    """Metadata values of all cases for FiLM, by name; empty without FiLM."""
    if not isinstance(metadata_choice, str):
        return {}
    if metadata_choice in CONTRASTS:
        return {metadata_choice: [case.contrasts[0] for case in cases]}
    names = MRI_PARAMS if metadata_choice == "mri_params" else (metadata_choice,)
    return {name: [case.metadata[name] for case in cases] for name in names}


def bids_filename_pairs(
    bids_df: BidsDataframe,
    subject_file_lst: Sequence[str],
    target_suffix: Sequence[Any],
    contrast_params: Mapping[str, Any],
    roi_params: Mapping[str, Any] | None = None,
    multichannel: bool = False,
    metadata_choice: str | bool | None = None,
    object_detection_params: Mapping[str, Any] | None = None,
) -> list[FilenamePair]:
    """Group images into cases with their labels, see `build_cases`; excluded images are logged.

    Args:
        bids_df: The data set.
        subject_file_lst: File names of the images.
        target_suffix: Suffix of the label of each class; a list of suffixes for several raters.
        contrast_params: ``contrast_lst`` and ``balance``.
        roi_params: ``suffix`` of the ROI.
        multichannel: Contrasts of a subject are channels of one case.
        metadata_choice: Metadata on which FiLM is conditioned: cases without it are left out.
        object_detection_params: ``path_output`` with the ``bounding_boxes.json`` to crop to, when
            ``object_detection_path`` names a model.

    Returns:
        Per case (input file names, label file names, ROI file name or None, metadata per input).

    Raises:
        ConfigError: ``object_detection_params`` names a model, but there is no file of boxes.
        DataError: Nothing is left, or an image has no box.
    """
    boxes = saved_boxes(object_detection_params)
    contrasts = contrast_params["contrast_lst"]
    found = build_cases(
        bids_df,
        subject_file_lst,
        target_suffix=target_suffix,
        contrasts=contrasts,
        multichannel=multichannel,
        roi_suffix=(roi_params or {}).get("suffix"),
        require_target=bids_df.derivatives,
        balance=contrast_params.get("balance"),
    )
    for dropped in found.dropped:
        log.info("%s is left out: %s.", dropped.file, dropped.reason)
    cases = list(found.cases)
    if isinstance(metadata_choice, str):
        cases = [case for case in cases if not missing_metadata(case, metadata_choice)]
    if not cases:
        raise DataError(
            f"none of the {len(subject_file_lst)} images can be used: contrasts {list(contrasts)} and labels "
            f"{list(target_suffix)} are asked for; the log says why each was left out"
        )
    if boxes is not None:
        cases = list(with_boxes(cases, boxes))
    return [filename_pair_of(case) for case in cases]


class BidsDataset(MRI2DSegmentationDataset):
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
        metadata_choice: Metadata that FiLM is conditioned on: "mri_params" leaves out images without flip angle, echo
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
        metadata: Metadata that FiLM is conditioned on: by name the values of all cases; empty without FiLM.
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

    def get_target_filename(
        self, target_suffix: Sequence[Any], target_filename: MutableSequence[Any], derivative: str
    ) -> None:
        """Add a label at the position of its class.

        Args:
            target_suffix: Suffix of each class; a list of suffixes for several raters.
            target_filename: Label of each class so far, None or a list of raters; gets the label.
            derivative: File of the label.
        """
        stem, _ = split_extension(derivative)
        several = [[entry] if isinstance(entry, str) else entry for entry in target_suffix]
        # A suffix may end with another one: _seg and _lesion_seg.
        fitting = {file_suffix(suffix) for entry in several for suffix in entry}
        named = max(filter(stem.endswith, fitting), key=len, default=None)
        for k, suffixes in enumerate(several):
            for suffix in map(LabelSuffix.parse, suffixes):
                if suffix.file == named:
                    label = str(LabelFile(Path(derivative), suffix.values({}, derivative)))
                    is_single = isinstance(target_suffix[k], str)
                    target_filename[k] = label if is_single else [*(target_filename[k] or []), label]

    def create_metadata_dict(
        self,
        metadata: MutableMapping[str, Any],
        metadata_choice: str | bool | None,
        df_sub: pd.DataFrame,
        bids_df: BidsDataframe,
    ) -> None:
        """Add the metadata for FiLM.

        Args:
            metadata: Metadata of an image; for a column it gets the image's value, and all values with their numbers as
                ``metadata_dict``.
            metadata_choice: A column of the table; others need nothing.
            df_sub: Row of the image.
            bids_df: The data set.

        Raises:
            DataError: The column does not exist.
        """
        if not isinstance(metadata_choice, str) or metadata_choice in ("mri_params", "contrasts", "contrast"):
            return
        if metadata_choice not in df_sub.columns:
            raise DataError(
                f"FiLM: the data set has no column {metadata_choice}; add it to participants.tsv, or condition on "
                "another one"
            )
        metadata[metadata_choice] = df_sub[metadata_choice].iloc[0]
        values = sorted(set(bids_df.df[metadata_choice].dropna()))
        metadata["metadata_dict"] = {value: number for number, value in enumerate(values)}

    def fill_multichannel_dict(
        self,
        multichannel_subjects: Subjects,
        subject: str,
        idx_dict: Mapping[str, int],
        df_sub: pd.DataFrame,
        roi_filename: Any,
        target_filename: Any,
        metadata: Any,
    ) -> Subjects:
        """Add an image as a channel of its subject.

        Args:
            multichannel_subjects: Files of the subjects by name; gets the image.
            subject: File name of the image.
            idx_dict: Channel of each contrast.
            df_sub: Row of the image.
            roi_filename: ROI of the image, or None.
            target_filename: Label of each class.
            metadata: Metadata of the image.

        Returns:
            ``multichannel_subjects``.
        """
        channel = idx_dict[df_sub["suffix"].iloc[0]]
        entry = multichannel_subjects[subject.split(".")[0].split("_")[0]]
        entry["absolute_paths"][channel] = df_sub["path"].iloc[0]
        entry["metadata"][channel] = metadata
        entry["deriv_path"] = target_filename
        if roi_filename:
            entry["roi_filename"] = roi_filename
        return multichannel_subjects

    def create_filename_pair(
        self,
        multichannel_subjects: Subjects,
        subject: str,
        c: MutableMapping[str, int],
        tot: Mapping[str, int],
        multichannel: bool,
        df_subjects: pd.DataFrame,
        contrast_params: Mapping[str, Any],
        target_suffix: Sequence[Any],
        all_deriv: Sequence[str],
        bids_df: BidsDataframe,
        bounding_box_dict: Mapping[str, Any],
        idx_dict: Mapping[str, int],
        metadata_choice: str | bool | None,
    ) -> None:
        """Find the files of an image and add them to ``filename_pairs``, or as a channel of its subject.

        An image without a label, or beyond the share of its contrast, is skipped.

        Args:
            multichannel_subjects: See ``fill_multichannel_dict``.
            subject: File name of the image.
            c: Number of images so far of each contrast of ``contrast_params["balance"]``; updated.
            tot: Total number of images of each contrast.
            multichannel: The image is a channel.
            df_subjects: Rows of the images.
            contrast_params: ``balance``: share of the images of a contrast that is used.
            target_suffix: Suffix of each class; a list of suffixes for several raters.
            all_deriv: Kept for callers of 2.x: the table knows the labels.
            bids_df: The data set.
            bounding_box_dict: Boxes by path of the image; empty for none.
            idx_dict: Channel of each contrast.
            metadata_choice: Metadata that FiLM is conditioned on.
        """
        df_sub = df_subjects.loc[df_subjects["filename"] == subject]
        contrast = df_sub["suffix"].iloc[0]
        share = (contrast_params.get("balance") or {}).get(contrast)
        if share is not None:
            c[contrast] += 1
            if c[contrast] / tot[contrast] > share:
                return
        wanted = {"contrast_lst": [contrast]}
        try:
            [pair] = bids_filename_pairs(
                bids_df, [subject], target_suffix, wanted, self.roi_params, metadata_choice=metadata_choice
            )
        except DataError:  # it has no label, no ROI or no metadata
            return
        inputs, labels, roi, [metadata] = pair
        if bounding_box_dict:
            metadata["bounding_box"] = bounding_box_dict[inputs[0]][0]
        self.create_metadata_dict(metadata, metadata_choice, df_sub, bids_df)
        if multichannel:
            self.fill_multichannel_dict(
                multichannel_subjects, subject, idx_dict, df_sub, roi, labels, metadata
            )
        else:
            self.filename_pairs.append((inputs, labels, roi, [metadata]))


class Bids3DDataset(MRI3DSubVolumeSegmentationDataset):
    """Patches of the volumes of a BIDS data set.

    Args:
        bids_df: The data set.
        subject_file_lst: File names of the images.
        target_suffix: Suffix of the label of each class; a list of suffixes for several raters.
        model_params: ``length_3D`` and ``stride_3D``.
        contrast_params: ``contrast_lst`` and ``balance``.
        slice_axis: RAS axis that becomes the depth: 0 sagittal, 1 coronal, 2 axial.
        cache: Keep prepared volumes in memory if they fit, else on disk; False keeps them on disk.
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
        metadata: Metadata that FiLM is conditioned on: by name the values of all cases; empty without FiLM.
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
