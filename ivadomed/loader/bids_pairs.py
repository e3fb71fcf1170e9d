"""From file names of a BIDS data set to the tuples that the documented data sets are made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ivadomed.errors import DataError
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.boxes import saved_boxes, with_boxes
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import build_cases
from ivadomed.loader.conditions.film_encoder import CONTRASTS, MRI_PARAMS, missing_metadata
from ivadomed.loader.segmentation_pair import FilenamePair, filename_pair_of

log = logging.getLogger(__name__)


def film_values(cases: Sequence[Case], metadata_choice: str | bool | None) -> dict[str, list[Any]]:
    """What FiLM is conditioned on: by name the values of all cases; empty without FiLM."""
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
    """Group images into cases with their labels, see `cases.build_cases`; what is left out is logged.

    Args:
        bids_df: The data set.
        subject_file_lst: File names of the images.
        target_suffix: Suffix of the label of each class; a list of suffixes for several raters.
        contrast_params: ``contrast_lst`` and ``balance``.
        roi_params: ``suffix`` of the ROI.
        multichannel: Contrasts of a subject are channels of one case.
        metadata_choice: What FiLM is conditioned on: cases without it are left out.
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
