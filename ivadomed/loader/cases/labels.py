"""Labels of a case: the files and values that define its classes, its region of interest and its ignored voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ivadomed.errors import some
from ivadomed.images.label_suffix import LabelSuffix
from ivadomed.images.labels import LabelFile
from ivadomed.loader.bids.files import BidsFile
from ivadomed.loader.cases.case import Case

if TYPE_CHECKING:
    from ivadomed.loader.bids_dataframe import BidsDataframe

TargetSuffix = Sequence[str | Sequence[str]]
"""Per class, the suffix of its label, see ``LabelSuffix``, or the suffixes of several raters."""


class CaseLabels:
    """Finds the labels of cases in a data set.

    Args:
        bids_df: The data set.
        target_suffix: Suffix per class; a list of suffixes for a class with several raters.
        roi_suffix: Suffix of the region of interest, or None.
        ignore_label: Suffix of the label of voxels that losses and metrics ignore, or None.
        required: A case needs the label of at least one class.
    """

    def __init__(
        self,
        bids_df: BidsDataframe,
        target_suffix: TargetSuffix,
        roi_suffix: str | None,
        ignore_label: str | None,
        required: bool,
    ) -> None:
        self.bids_df, self.required = bids_df, required
        self.classes = [[suffix] if isinstance(suffix, str) else [*suffix] for suffix in target_suffix]
        self.roi_suffix, self.ignore_label = roi_suffix, ignore_label

    def of(self, files: Sequence[BidsFile]) -> dict[str, Any]:
        """Labels of a case with these images, as arguments of `Case`; empty if no labels are requested.

        Raises:
            DataError: A label is not unique, or a class name is in no table.
        """
        wanted = self.required or self.bids_df.derivatives
        return {
            "targets": tuple(self._of_raters(files, raters) for raters in self.classes) if wanted else (),
            "roi": self._one(files, self.roi_suffix),
            "ignore": self._one(files, self.ignore_label) if wanted else None,
        }

    def lacking(self, case: Case) -> str:
        """What a case lacks to be usable; empty if nothing is missing."""
        if self.required and not any(case.targets):
            suffixes = [suffix for raters in self.classes for suffix in raters]
            return f"no label {some(suffixes, separator=' or ')}"
        return f"no region of interest {self.roi_suffix}" if self.roi_suffix and case.roi is None else ""

    def _of_raters(self, files: Sequence[BidsFile], suffixes: Sequence[str]) -> tuple[LabelFile, ...] | None:
        """Labels of all raters of the last channel that has any."""
        for file in reversed(files):
            found = (self._label(file, LabelSuffix.parse(suffix)) for suffix in suffixes)
            if labelled := tuple(filter(None, found)):
                return labelled
        return None

    def _one(self, files: Sequence[BidsFile], suffix: str | None) -> LabelFile | None:
        """Label of the last channel that has one."""
        found = self._of_raters(files, [suffix]) if suffix else None
        return found[0] if found else None

    def _label(self, image: BidsFile, suffix: LabelSuffix) -> LabelFile | None:
        """Label of one image; for a label map, with the values of the class."""
        file = self.bids_df.labels.find(image, suffix.file)
        if file is None:
            return None
        table = self.bids_df.label_values(file) if suffix.needs_table else {}
        return LabelFile(file.path, suffix.values(table, file.path), str(suffix))
