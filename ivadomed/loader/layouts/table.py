"""A table of subjects: one row per subject or session, columns for paths of images and labels, and further columns.

participant_id  session_id  T1w          seg              age
sub-01          ses-1       a/t1.nii.gz  a/lesion.nii.gz  34
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.images.io import read_image
from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.files import BidsFile, Dropped, Selection, contrast_of
from ivadomed.loader.bids.label_tables import LabelTables, read_table
from ivadomed.loader.bids.tables import OWN_COLUMNS, read_tsv
from ivadomed.loader.layouts.layout import Layout
from ivadomed.loader.layouts.naming import CaseFiles, absent, alphanumeric, extension_of, rows_of, subject_of

EXTENSIONS = (".tsv", ".csv")

_SUBJECT, _SESSION = "participant_id", "session_id"
_LABEL_NAME = re.compile(r"_|.*(seg|label|mask|lesion|manual|annot|gt$)", re.IGNORECASE)
_PARTS = re.compile(r"[^A-Za-z0-9_-]+")
_MOST_VALUES = 20  # images have more


class TableLayout(Layout):
    """A table as a data set.

    A column of paths is an image if ``contrast_params`` has its name as a contrast, or a label if it matches a
    label suffix, with or without the leading underscore. ``T1w_seg`` is the label ``_seg`` of the contrast
    ``T1w``, and ``seg`` that of all contrasts of a row. If the configuration specifies no contrasts or no
    labels, all columns of paths are used: labels have a label-like name (``_x``, or with ``seg``, ``label``,
    ``mask``, ``lesion``) or few values.

    Args:
        root: The table.
        selection: Requested files.

    Raises:
        DataError: The table cannot be read, has no ``participant_id``, or has duplicate rows.
    """

    labels_lie = "in its row"

    def __init__(self, root: Path, selection: Selection) -> None:
        rows = list(read_tsv(root, _SUBJECT))
        self._dropped: list[Dropped] = []
        self._fields: dict[tuple[str, str], dict[str, str]] = {}
        self._columns: dict[tuple[Path, str], str] = {}
        self._tables = LabelTables()
        images, labels = _roles(rows, root, selection)
        cases = [self._case(row, root, images, labels) for row in rows]
        super().__init__(root, rows_of(cases, root, selection.extensions), self._dropped)

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """Further columns of its row."""
        return dict(self._fields[file.folders])

    def label_values(self, file: BidsFile) -> LabelTable:
        """Classes of a label map, from ``<column>.tsv`` next to the table, otherwise from files next to the map."""
        of_column = self.root.with_name(f"{self._columns.get((file.path, file.stem), '')}.tsv")
        if of_column.is_file() and of_column != self.root:
            return read_table(of_column)
        return self._tables.of(replace(file, root=file.path.parent, relative=file.path.name))

    def _case(
        self,
        row: Mapping[str, str],
        root: Path,
        images: Mapping[str, str],
        labels: Mapping[str, tuple[str, str]],
    ) -> CaseFiles:
        """Files of a row; missing ones are recorded."""
        session = alphanumeric(row.get(_SESSION, "").removeprefix("ses-"))
        subject = subject_of(row[_SUBJECT])[0]
        folders = (subject, f"ses-{session}" if session else "")
        case = CaseFiles(" ".join(filter(None, (row[_SUBJECT], row.get(_SESSION)))), folders)
        prefix = "_".join(filter(None, folders))
        for column, contrast in images.items():
            if (path := self._path(row, column, root)) is not None:
                case.images[contrast] = path
        for column, (of, suffix) in labels.items():
            if (path := self._path(row, column, root)) is not None:
                case.labels[of, suffix] = path
                for contrast in [of] if of else images.values():
                    self._columns[path, f"{prefix}_{contrast}{suffix}"] = column
        others = {
            name: cell for name, cell in row.items() if name not in {_SUBJECT, _SESSION, *images, *labels}
        }
        self._fields[folders] = {f"{k}_y" if k in OWN_COLUMNS else k: cell for k, cell in others.items()}
        return case

    def _path(self, row: Mapping[str, str], column: str, root: Path) -> Path | None:
        if column not in row:
            return None
        path = root.parent / Path(row[column]).expanduser()
        reason = absent(path, f"{root.name} ({row[_SUBJECT]}, column {column})")
        if reason is None and extension_of(path.name) is None:
            reason = Dropped(
                str(path), f"{root.name} (column {column}) lists it, but it is not an image file"
            )
        self._dropped += [reason] if reason else []
        return None if reason else path


def _roles(
    rows: Sequence[Mapping[str, str]], root: Path, selection: Selection
) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Contrast of each image column; contrast ("" for all) and suffix of each label column."""
    columns = _path_columns(rows)
    if not columns:
        raise DataError(
            f"{root}: no column has paths of images in all its cells, such as images/1.nii.gz; add one (a BIDS data "
            "set is named by its folder)"
        )
    contrasts = {column: name for column in columns if (name := _contrast_name(column))}
    named = {column: name for column, name in contrasts.items() if _is_named(name, selection.contrasts)}
    labels = {column: of for column in columns if (of := _suffix_of(column, selection.label_suffixes, named))}
    left = [column for column in columns if column not in {*named, *labels}]
    known = {suffix for _, suffix in labels.values()}
    if selection.contrasts and selection.label_suffixes and known.issuperset(selection.label_suffixes):
        return _without(named, labels), labels
    looks = {column for column in left if _looks_like_label(rows, column, root)}
    if not selection.contrasts:
        named |= {column: contrasts[column] for column in left if column not in looks and column in contrasts}
    for column in looks:
        labels[column] = _suffix_of(column, (), named) or ("", f"_{column.lstrip('_')}")
    return _without(named, labels), labels


def _without(named: Mapping[str, str], labels: Mapping[str, object]) -> dict[str, str]:
    return {column: contrast for column, contrast in named.items() if column not in labels}


def _path_columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Columns in which every cell ends with an image extension, in table order."""
    columns = dict.fromkeys(name for row in rows for name in row)
    return [
        name for name in columns if all(extension_of(row[name]) is not None for row in rows if name in row)
    ]


def _contrast_name(column: str) -> str:
    """Contrast name of a column: letters, digits and entities."""
    return "_".join(filter(None, _PARTS.sub("", column).split("_")))


def _is_named(name: str, contrasts: Sequence[str]) -> bool:
    """Return whether a column is one of the requested contrasts, by the rules for image names."""
    case = CaseFiles("", ("sub-x", ""), {name: Path("x.nii")})
    [file] = case.rows(Path())
    return contrast_of(file, contrasts) is not None


def _suffix_of(column: str, suffixes: Sequence[str], contrasts: Mapping[str, str]) -> tuple[str, str] | None:
    """Contrast ("" for all) and suffix of a label column; None if it matches none of the ``suffixes``.

    Without ``suffixes``, a label column is one named after a contrast.
    """
    bare = column.lstrip("_")
    for suffix in suffixes:
        if bare == suffix.lstrip("_"):
            return "", suffix
    for other, contrast in contrasts.items():
        if bare.startswith(f"{other}_"):
            rest = bare.removeprefix(f"{other}_")
            if not suffixes:
                return contrast, f"_{rest}"
            for suffix in suffixes:
                if rest == suffix.lstrip("_"):
                    return contrast, suffix
    return None


def _looks_like_label(rows: Sequence[Mapping[str, str]], column: str, root: Path) -> bool:
    """Return whether a column is named like a label, or its first file has few values, all integers."""
    if _LABEL_NAME.match(column):
        return True
    paths = (root.parent / Path(row[column]).expanduser() for row in rows if column in row)
    first = next((path for path in paths if path.is_file()), None)
    try:
        values = np.unique(read_image(first).data) if first else np.arange(_MOST_VALUES + 1)
    except DataError:
        return False
    return len(values) <= _MOST_VALUES and bool((values == np.round(values)).all())
