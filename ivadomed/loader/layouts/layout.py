"""Interface of a data set of any kind, and the index of several data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.files import BidsFile, Dropped

HELD_OUT = "held_out"
"""Column of images held out for testing; its value is the folder they are in."""


class Layout:
    """One data set: its files under their BIDS names, actual or assigned.

    Attributes:
        root: Absolute path from ``path_data``; the ``root`` of all files.
        files: Images, and labels as derivatives, sorted by BIDS name.
        skipped: Existing or listed files that cannot be used.
        remarks: Anything unexpected, one line each.
        has_sidecars: Every image should have a sidecar.
        labels_lie: Where labels are searched, for messages.
    """

    has_sidecars = False
    labels_lie = "in the derivatives of its subject"

    def __init__(
        self,
        root: Path,
        files: Sequence[BidsFile],
        skipped: Sequence[Dropped] = (),
        remarks: Sequence[str] = (),
    ) -> None:
        self.root = root
        self.files = tuple(files)
        self.skipped = tuple(skipped)
        self.remarks = tuple(remarks)

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """Fields that describe an image, as in a BIDS sidecar."""
        return {}

    def is_held_out(self, file: BidsFile) -> bool:
        """Return whether an image is held out for testing; its labels need not be public."""
        return False

    def add_columns(self, df: pd.DataFrame) -> pd.DataFrame:
        """Add the columns of the data set's tables to a table of its images, with ``participant_id`` and ``path``."""
        return df

    def label_values(self, file: BidsFile) -> LabelTable:
        """Names of the structures in a label map and the values of each; empty if undefined."""
        return {}


class DataIndex(Sequence[BidsFile]):
    """The files of several data sets, which may be of different kinds.

    Args:
        layouts: The data sets, in the order of the configuration.
    """

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self.layouts = tuple(layouts)
        self._of_root = {layout.root: layout for layout in layouts}
        self._files = tuple(file for layout in layouts for file in layout.files)

    def __getitem__(self, index: Any) -> Any:
        return self._files[index]

    def __len__(self) -> int:
        return len(self._files)

    @property
    def skipped(self) -> tuple[Dropped, ...]:
        """Files that cannot be used, each with its reason."""
        return tuple(dropped for layout in self.layouts for dropped in layout.skipped)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Anything unexpected, one line each."""
        return tuple(remark for layout in self.layouts for remark in layout.remarks)

    def layout_of(self, file: BidsFile) -> Layout:
        """The data set that a file belongs to."""
        return self.layout_of_root(file.root)

    def layout_of_root(self, root: Path) -> Layout:
        """The data set at a path."""
        return self._of_root[root]

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """See ``Layout.metadata``."""
        return self.layout_of(file).metadata(file)

    def label_values(self, file: BidsFile) -> LabelTable:
        """See ``Layout.label_values``."""
        return self.layout_of(file).label_values(file)
