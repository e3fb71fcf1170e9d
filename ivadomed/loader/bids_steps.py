"""The documented steps in which `BidsDataset` of 2.x collected its files, for classes that derive from it."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any

from ivadomed.errors import DataError
from ivadomed.images.io import split_extension
from ivadomed.loader.bids_pairs import bids_filename_pairs
from ivadomed.loader.segmentation_pair import FilenamePair

if TYPE_CHECKING:
    import pandas as pd

    from ivadomed.loader.bids_dataframe import BidsDataframe

Subjects = MutableMapping[str, dict[str, Any]]
"""Files of subjects with several channels: ``absolute_paths``, ``deriv_path``, ``roi_filename`` and ``metadata``."""


class BidsSteps:
    """What a data set of several images is made of, one image after the other."""

    filename_pairs: list[FilenamePair]
    roi_params: Mapping[str, Any]

    def get_target_filename(
        self, target_suffix: Sequence[Any], target_filename: MutableSequence[Any], derivative: str
    ) -> None:
        """Enter a label where its class has its place.

        Args:
            target_suffix: Suffix of each class; a list of suffixes for several raters.
            target_filename: Label of each class so far, None or a list of raters; gets the label.
            derivative: File of the label.
        """
        stem, _ = split_extension(derivative)
        several = [[entry] if isinstance(entry, str) else entry for entry in target_suffix]
        # A suffix may end like another one: _seg and _lesion_seg.
        fitting = [suffix for entry in several for suffix in entry if stem.endswith(suffix)]
        named = max(fitting, key=len, default=None)
        for place, suffixes in enumerate(target_suffix):
            if named is None or named not in several[place]:
                continue
            if isinstance(suffixes, str):
                target_filename[place] = derivative
            else:
                target_filename[place] = [*(target_filename[place] or []), derivative]

    def create_metadata_dict(
        self,
        metadata: MutableMapping[str, Any],
        metadata_choice: str | bool | None,
        df_sub: pd.DataFrame,
        bids_df: BidsDataframe,
    ) -> None:
        """Enter what FiLM is conditioned on.

        Args:
            metadata: Of an image; for a column it gets the image's value, and all values with their numbers as
                ``metadata_dict``.
            metadata_choice: A column of the table; others need nothing.
            df_sub: Row of the image.
            bids_df: The data set.

        Raises:
            DataError: There is no such column.
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
        """Enter an image as a channel of its subject.

        Args:
            multichannel_subjects: What is known of the subjects by name; gets the image.
            subject: File name of the image.
            idx_dict: Channel of each contrast.
            df_sub: Row of the image.
            roi_filename: ROI of the image, or None.
            target_filename: Label of each class.
            metadata: Of the image.

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
        """Find the files of an image and enter them into ``filename_pairs``, or as a channel of its subject.

        An image without a label, or beyond the share of its contrast, is passed over.

        Args:
            multichannel_subjects: See ``fill_multichannel_dict``.
            subject: File name of the image.
            c: Images of each contrast of ``contrast_params["balance"]`` so far; counted on.
            tot: Images of each contrast in all.
            multichannel: Whether the image is a channel.
            df_subjects: Rows of the images.
            contrast_params: ``balance``: share of the images of a contrast that is used.
            target_suffix: Suffix of each class; a list of suffixes for several raters.
            all_deriv: Kept for callers of 2.x: the table knows the labels.
            bids_df: The data set.
            bounding_box_dict: Boxes by path of the image; empty for none.
            idx_dict: Channel of each contrast.
            metadata_choice: What FiLM is conditioned on.
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
