"""A task of the Medical Segmentation Decathlon: ``dataset.json`` lists images, [X, Y, Z, channels], and label maps.

Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 2022. The data lists of MONAI that are
written alike, also those with a file per channel, are read too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.images.label_suffix import LabelTable
from ivadomed.images.volume_of import VolumeOf
from ivadomed.loader.bids.files import BidsFile, Dropped, Selection
from ivadomed.loader.bids.index import read_json_object
from ivadomed.loader.layouts.layout import HELD_OUT, Layout
from ivadomed.loader.layouts.naming import (
    LABEL_MAP,
    CaseFiles,
    absent,
    extension_of,
    names_to_values,
    rows_of,
    subject_of,
)
from ivadomed.loader.layouts.nnunet import DESCRIPTION, channels_of

_LABELLED = ("training", "validation")


class DecathlonLayout(Layout):
    """A data set like those of the Decathlon.

    Args:
        root: Folder of ``dataset.json``.
        selection: Files that are wanted.

    Raises:
        DataError: ``dataset.json`` lacks a key or holds something else, or two cases have one name.
    """

    labels_lie = "in dataset.json"

    def __init__(self, root: Path, selection: Selection) -> None:
        self.description = read_json_object(root / DESCRIPTION)
        self.channels = channels_of(self.description, root / DESCRIPTION)
        self._held_out: set[tuple[str, str]] = set()
        self._dropped: list[Dropped] = []
        cases = [case for case in self._cases(root) if case.images]
        self.names = names_to_values(self.description, root / DESCRIPTION, cases)
        super().__init__(root, rows_of(cases, root, selection.extensions), self._dropped)

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """``held_out`` of the images that are listed under ``test``."""
        return {HELD_OUT: "test"} if self.is_held_out(file) else {}

    def is_held_out(self, file: BidsFile) -> bool:
        """Tell whether an image is one of ``test``."""
        return file.folders in self._held_out

    def label_values(self, file: BidsFile) -> LabelTable:
        """Names and values of ``labels``."""
        return self.names

    def _cases(self, root: Path) -> Iterator[CaseFiles]:
        for key in (*_LABELLED, "test"):
            entries = self.description.get(key, [])
            if not isinstance(entries, list):
                raise _not_listed(root, key, entries)
            for entry in entries:
                image, label = (
                    (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (entry, None)
                )
                files: list[Any] = image if isinstance(image, list) else [image]
                if not all(isinstance(name, str) for name in files) or not isinstance(label, str | None):
                    raise _not_listed(root, key, entry)
                case = self._case(root, files)
                if label is not None and self._is_there(path := root / label):
                    case.labels["", LABEL_MAP] = path
                if key == "test":
                    self._held_out.add(case.folders)
                yield case

    def _case(self, root: Path, files: list[str]) -> CaseFiles:
        """Images of one case: a file with a volume per channel, or a file per channel."""
        if len(files) not in (1, len(self.channels)):
            raise DataError(
                f"{root / DESCRIPTION}: {files[0]} is one of {len(files)} files; modality has {len(self.channels)} "
                "channels, so that one file or that many are expected"
            )
        name = Path(files[0]).name
        name = name.removesuffix(extension_of(name) or "")
        case = CaseFiles(name, subject_of(name))
        for number, contrast in enumerate(self.channels):
            path = root / files[min(number, len(files) - 1)]
            if (number == 0 or len(files) > 1) and not self._is_there(path):
                break
            is_volume = len(files) < len(self.channels)
            case.images[contrast] = VolumeOf(path, number, len(self.channels)) if is_volume else path
        return case

    def _is_there(self, path: Path) -> bool:
        reason = absent(path, DESCRIPTION)
        self._dropped += [reason] if reason else []
        return reason is None


def is_decathlon(description: Mapping[str, Any]) -> bool:
    """Tell whether a ``dataset.json`` is one of the Decathlon's."""
    return "modality" in description and "training" in description


def _not_listed(root: Path, key: str, entry: object) -> DataError:
    return DataError(
        f'{root / DESCRIPTION}: {key} should be [{{"image": "imagesTr/X.nii.gz", "label": "labelsTr/X.nii.gz"}}]; '
        f"it holds {str(entry)[:100]}"
    )
