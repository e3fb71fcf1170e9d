"""Data sets described by ``dataset.json``: channels, labels, and images held out for testing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError, some
from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.files import BidsFile, Dropped, Selection
from ivadomed.loader.bids.index import read_json_object
from ivadomed.loader.bids.label_tables import named_values
from ivadomed.loader.layouts.layout import HELD_OUT, Layout
from ivadomed.loader.layouts.naming import CaseFiles, absent, contrast_names, rows_of

DESCRIPTION = "dataset.json"


class DescribedLayout(Layout):
    """Common part of nnU-Net and Decathlon data sets.

    Args:
        root: Folder of ``dataset.json``.
        selection: Requested files.

    Attributes:
        held_out: Value of the column ``HELD_OUT``.
        description: Content of ``dataset.json``.
        channels: Contrast of each channel.
        names: Values of each structure in a label map.

    Raises:
        DataError: ``dataset.json`` lacks a key or is malformed, or two cases share a name.
    """

    held_out = ""

    def __init__(self, root: Path, selection: Selection) -> None:
        path = root / DESCRIPTION
        self.description = read_json_object(path)
        self.channels = channels_of(self.description, path)
        self._dropped: list[Dropped] = []
        found = [(case, is_apart) for case, is_apart in self._cases(root) if case.images]
        self._apart = {case.folders for case, is_apart in found if is_apart}
        cases = [case for case, _ in found]
        self.names = names_to_values(self.description, path, cases)
        remarks = self._remarks(root, len(cases) - len(self._apart))
        super().__init__(root, rows_of(cases, root, selection.extensions), self._dropped, remarks)

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """The column ``held_out`` of images held out for testing."""
        return {HELD_OUT: self.held_out} if self.is_held_out(file) else {}

    def is_held_out(self, file: BidsFile) -> bool:
        """Return whether an image is held out for testing."""
        return file.folders in self._apart

    def label_values(self, file: BidsFile) -> LabelTable:
        """Names and values of ``labels``; a region has several values."""
        return self.names

    def _cases(self, root: Path) -> Iterable[tuple[CaseFiles, bool]]:
        """Files of each case, and whether it is held out for testing."""
        raise NotImplementedError

    def _remarks(self, root: Path, count: int) -> Sequence[str]:
        """Anything unexpected; ``count`` is the number of training cases."""
        return ()

    def _is_absent(self, path: Path) -> bool:
        """Return whether a file is missing, and record it."""
        reason = absent(path, DESCRIPTION)
        self._dropped += [reason] if reason else []
        return reason is not None


def channels_of(description: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Contrast of each channel, from ``channel_names`` or ``modality``: {"0": "T1", "1": "FLAIR"}.

    Raises:
        DataError: The keys are not 0, 1, ... in any order.
    """
    key = "channel_names" if "channel_names" in description else "modality"
    try:
        names = {int(number): str(name) for number, name in description[key].items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f'{path}: {key} should be {{"0": "T1", "1": "FLAIR"}}; add it') from error
    if not names or sorted(names) != list(range(len(names))):
        raise DataError(
            f"{path}: {key} should number the channels 0, 1, ...; it has {some(map(str, names)) or 'none'}"
        )
    return contrast_names([names[number] for number in range(len(names))])


def names_to_values(description: Mapping[str, Any], path: Path, cases: Iterable[CaseFiles]) -> LabelTable:
    """Values of each structure from ``labels`` in a ``dataset.json``, without the background.

    nnU-Net 2 writes {"anterior": 1, "whole": [1, 2]}, its version 1 and the Decathlon {"1": "anterior"}.

    Args:
        description: Content of the file.
        path: The file.
        cases: If none has a label, as in a data set to be segmented, names are optional.

    Raises:
        DataError: Names are missing, or a value is not an integer.
    """
    labels = description.get("labels")
    if labels is None and not any(case.labels for case in cases):
        return {}
    if not isinstance(labels, dict):
        raise DataError(f'{path}: labels should be {{"background": 0, "anterior": 1}}; add it')
    return {name: values for name, values in named_values(labels, path).items() if values != (0,)}
