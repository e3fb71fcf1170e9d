"""A BIDS data set as a layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.images.files import parse_json
from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.faults import without_description
from ivadomed.loader.bids.files import BidsFile, Selection
from ivadomed.loader.bids.index import scan
from ivadomed.loader.bids.tables import add_tables
from ivadomed.loader.layouts.layout import Layout

_KEYS = ("Name", "BIDSVersion", "DatasetDOI")


class BidsLayout(Layout):
    """A BIDS data set or, with ``bids_validate: false``, a folder with arbitrary file names.

    Args:
        root: Its folder.
        selection: Requested files.
    """

    has_sidecars = True

    def __init__(self, root: Path, selection: Selection) -> None:
        self.index = scan(root, selection.extensions, selection.bids_config, selection.validate)
        remarks = without_description([str(root)]) if selection.validate else []
        super().__init__(root, self.index.files, self.index.skipped, remarks)

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """Content of the sidecars that apply to an image."""
        return self.index.metadata(file)

    def add_columns(self, df: pd.DataFrame) -> pd.DataFrame:
        """Add the columns of participants.tsv, samples.tsv, sessions.tsv and scans.tsv."""
        return add_tables(df, self.root, self.index.tables)

    def label_values(self, file: BidsFile) -> LabelTable:
        """Classes of a label map, from its ``dseg.tsv`` or sidecar."""
        return self.index.label_values(file)


def bids_identity(root: Path) -> dict[str, Any]:
    """Identity of a data set from ``dataset_description.json``; empty if unreadable."""
    try:
        description = parse_json((root / "dataset_description.json").read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return {k: description[k] for k in _KEYS if k in description} if isinstance(description, dict) else {}
