"""Table of a data set: one row per image and label, with entities, sidecar fields and participant data."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivadomed.errors import DataError, some
from ivadomed.images.files import write_csv
from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.faults import (
    missing_contrasts,
    near_misses,
    nothing_found,
    refuse_duplicates,
    shared_labels,
    shared_subjects,
    without_contrast,
)
from ivadomed.loader.bids.files import BidsFile, Dropped, Selection, contrast_of, suffix_of
from ivadomed.loader.bids.index import IMAGE_EXTENSIONS
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.bids.tables import OWN_COLUMNS, column
from ivadomed.loader.layouts.index import open_index
from ivadomed.loader.layouts.layout import DataIndex

logger = logging.getLogger(__name__)

_KEYS = ["path", "filename"]


class BidsDataframe:
    """Usable images of a data set, and their labels.

    Args:
        loader_params: ``loader_parameters`` of the configuration (or part of them).
        path_output: Folder of the run; only ``save`` writes to it.
        derivatives: Keep only images that have a label (and an ROI, if one is configured); list labels as rows.
        split_method: Column to split the data set by; images without a value are excluded.

    Attributes:
        df: One row per file, sorted by file name. Labels have only a ``path`` and a ``filename``.
        dropped: Excluded files, each with the reason.
        images: Kept images by file name.
        labels: Finds the label files of an image.
        index: All files of the data sets.
        remarks: Anything unexpected: a contrast without an image, a subject in several data sets.
        without_sidecar: Images without a sidecar.

    Raises:
        DataError: No image is left, a label is not unique, a file name occurs twice, or a table is corrupt.
    """

    def __init__(
        self,
        loader_params: Mapping[str, Any] | Selection,
        path_output: str | os.PathLike[str],
        derivatives: bool,
        split_method: str | None = None,
    ) -> None:
        given = loader_params
        self.selection = given if isinstance(given, Selection) else Selection.of(given)
        self.path_output = path_output
        self.derivatives = derivatives
        self.split_method = split_method
        self.df = pd.DataFrame()
        self.dropped: list[Dropped] = []
        self.images: dict[str, BidsFile] = {}
        self.labels = Labels(())
        self.index = DataIndex(())
        self.remarks: list[str] = []
        self.without_sidecar: list[Path] = []
        self.create_bids_dataframe()

    def create_bids_dataframe(self) -> None:
        """Index the data sets and fill the attributes."""
        selection = self.selection
        index = open_index(selection)
        self.labels, self.index = Labels(index, selection.contrasts), index
        self.dropped = list(index.skipped)
        wanted = [file for file in index if not file.is_derivative and self._is_wanted(file)]
        self.dropped += near_misses(index, wanted, selection.contrasts)
        labelled = self._labelled(index, wanted)
        images = self._drop_unsplittable(self._image_table([file for file, _ in labelled], index))
        if images.empty:
            raise DataError(self._nothing_found(index, wanted))
        # A file may hold several images, and two data sets may share a file name, which is refused below.
        left = set(zip(images["path"], images["filename"], strict=True))
        labelled = [pair for pair in labelled if (str(pair[0].path), pair[0].name) in left]
        used = [file for file, _ in labelled]
        refuse_duplicates(used)
        self.dropped += without_contrast(index, self.dropped, selection.contrasts)
        self.images = {file.name: file for file in used}
        found = dict.fromkeys(
            (str(label.path), label.name) for _, labels in labelled for label in labels.values()
        )
        rows = pd.DataFrame(list(found), columns=_KEYS)
        df = pd.concat([images, rows], ignore_index=True).astype(object)
        self.df = df.sort_values(["filename", "path"], kind="stable", ignore_index=True)
        self.remarks = [*missing_contrasts(selection.contrasts, used), *shared_subjects(used)]
        self.remarks += [*shared_labels(labelled), *index.remarks]
        self._log(len(wanted))

    def _log(self, wanted: int) -> None:
        """Report how many of the requested images are kept, what is excluded, and anything unexpected."""
        logger.info("Data set: kept %d of %d images", len(self.images), wanted)
        for item in self.dropped:
            logger.info("Left out %s: %s", item.file, item.reason)
        for remark in self.remarks:
            logger.warning("%s", remark)

    def add_tsv_metadata(
        self, df: pd.DataFrame, path_data: str | os.PathLike[str], layout: DataIndex
    ) -> pd.DataFrame:
        """Add the columns of participants.tsv, samples.tsv, sessions.tsv and scans.tsv of one data set.

        Args:
            df: Image rows of the data set.
            path_data: Folder of the data set.
            layout: Index of the data sets.
        """
        return layout.layout_of_root(Path(path_data).expanduser().absolute()).add_columns(df)

    def label_values(self, file: BidsFile) -> LabelTable:
        """Values of each class in a label map, by class name; empty if no table defines them."""
        return self.index.label_values(file)

    def get_subject_fnames(self) -> list[str]:
        """File names of the images."""
        return [name for name in self.df["filename"] if name in self.images]

    def get_deriv_fnames(self) -> list[str]:
        """File names of the labels."""
        return [name for name in self.df["filename"] if name not in self.images]

    def get_derivatives(self, subject_fname: str, deriv_fnames: Sequence[str]) -> list[str]:
        """Return those of ``deriv_fnames`` that are labels of the image ``subject_fname``."""
        wanted = {label.name for label in self._labels_of(self.images[subject_fname]).values()}
        return [name for name in deriv_fnames if name in wanted]

    def get_subjects_with_derivatives(self) -> tuple[list[str], list[str]]:
        """File names of the images that have a label, and of these labels."""
        labels = {name: self._labels_of(self.images[name]) for name in self.get_subject_fnames()}
        with_labels = [name for name, found in labels.items() if found]
        return with_labels, [label.name for found in labels.values() for label in found.values()]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table as CSV."""
        write_csv(path, self.df, index=False)
        logger.info("Dataframe has been saved in %s.", path)

    def write_derivatives_dataset_description(self, path_data: str | os.PathLike[str]) -> None:
        """Only warn: the file is not needed, and ivadomed never writes into a data set.

        ivadomed 2.9.10 wrote ``derivatives/dataset_description.json`` because pybids ignores derivatives without it.
        """
        warnings.warn(
            f"{path_data}: derivatives/dataset_description.json is not needed any more and is not written",
            DeprecationWarning,
            stacklevel=2,
        )

    def _is_wanted(self, file: BidsFile) -> bool:
        sessions, contrasts = self.selection.sessions, self.selection.contrasts
        if sessions and file.entities.get("session") not in sessions:
            return False
        return not contrasts or contrast_of(file, contrasts) is not None

    def _labels_of(self, image: BidsFile) -> dict[str, BidsFile]:
        """Labels of an image by suffix."""
        return self.labels.by_suffix(image, self.selection.label_suffixes)

    def _nothing_found(self, index: DataIndex, wanted: Sequence[BidsFile]) -> str:
        everything = replace(self.selection, extensions=IMAGE_EXTENSIONS, contrasts=())
        return nothing_found(
            self.selection, index, wanted, self.dropped, self.derivatives, lambda: open_index(everything)
        )

    def _labelled(
        self, index: DataIndex, wanted: Sequence[BidsFile]
    ) -> list[tuple[BidsFile, dict[str, BidsFile]]]:
        """Images with the labels they need, each with its labels by suffix; all images if no label is required."""
        if not self.derivatives:
            return [(image, {}) for image in wanted]
        pairs = [(image, self._labels_of(image)) for image in wanted]
        return [pair for pair in pairs if self._has_labels(*pair, index)]

    def _has_labels(self, image: BidsFile, there: Mapping[str, BidsFile], index: DataIndex) -> bool:
        """Look for a target and the ROI among the labels; record the reason if one is missing."""
        targets, roi = self.selection.target_suffixes, self.selection.roi_suffix
        if targets and there.keys().isdisjoint(targets):
            missing = targets
        elif roi and roi not in there:
            missing = (roi,)
        else:
            return True
        names = some((image.stem + suffix for suffix in missing), separator=" or ")
        layout = index.layout_of(image)
        reason = f"no label {names} {layout.labels_lie}"
        if other := next(filter(None, (self.labels.passed_over(image, suffix) for suffix in missing)), ""):
            reason += f" ({other})"
        lacks = f"no label {some(missing, separator=' or ')}"
        self.dropped.append(Dropped(str(image.image), reason, lacks, chosen=layout.is_held_out(image)))
        return False

    def _image_table(self, images: Sequence[BidsFile], index: DataIndex) -> pd.DataFrame:
        """Rows of all data sets."""
        frames = [
            self._image_rows(list(files), index) for _, files in groupby(images, lambda image: image.root)
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_KEYS)

    def _image_rows(self, files: Sequence[BidsFile], index: DataIndex) -> pd.DataFrame:
        """Rows of one data set: path, file name, entities and sidecar fields by name, then the tables."""
        records: list[dict[str, Any]] = []
        names: set[str] = set()
        for file in files:
            known = {key: value for key, value in index.metadata(file).items() if value is not None}
            sidecar = {f"{key}_y" if key in OWN_COLUMNS else key: value for key, value in known.items()}
            if not sidecar and index.layout_of(file).has_sidecars:
                self.without_sidecar.append(file.path)
            own = {"datatype": file.datatype or np.nan, "extension": file.extension}
            own["suffix"] = suffix_of(file, self.selection.contrasts)
            facts = {**sidecar, **file.entities, **own}
            names.update(facts)
            key = {"path": str(file.path), "filename": file.name}
            records.append({**facts, **key, "participant_id": file.participant})
        columns = [*_KEYS, *sorted(names.difference(_KEYS, ["participant_id"])), "participant_id"]
        df = pd.DataFrame(records, columns=columns, dtype=object)
        return self.add_tsv_metadata(df, files[0].root, index)

    def _drop_unsplittable(self, images: pd.DataFrame) -> pd.DataFrame:
        name = self.split_method
        if not name or images.empty:
            return images
        missing = column(images, name, "split_dataset.split_method").isna()
        reason = f'no value of "{name}" to split by'
        self.dropped += [Dropped(path, reason) for path in images.loc[missing, "path"]]
        return images[~missing]
