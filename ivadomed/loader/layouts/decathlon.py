"""A task of the Medical Segmentation Decathlon: ``dataset.json`` lists images, [X, Y, Z, channels], and label maps.

Antonelli et al., The Medical Segmentation Decathlon, Nature Communications 2022. MONAI data lists in the same
format are supported too, including those with one file per channel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.images.volume_of import VolumeOf
from ivadomed.loader.layouts.description import DESCRIPTION, DescribedLayout
from ivadomed.loader.layouts.naming import LABEL_MAP, CaseFiles, extension_of, subject_of

_LABELLED = ("training", "validation")


class DecathlonLayout(DescribedLayout):
    """A data set in the format of the Decathlon; see ``DescribedLayout``."""

    labels_lie = "in dataset.json"
    held_out = "test"

    def _cases(self, root: Path) -> Iterator[tuple[CaseFiles, bool]]:
        for key in (*_LABELLED, self.held_out):
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
                if label is not None and not self._is_absent(path := root / label):
                    case.labels["", LABEL_MAP] = path
                yield case, key == self.held_out

    def _case(self, root: Path, files: list[str]) -> CaseFiles:
        """Images of one case: a file with one volume per channel, or one file per channel."""
        if len(files) not in (1, len(self.channels)):
            raise DataError(
                f"{root / DESCRIPTION}: {files[0]} is one of {len(files)} files; modality has {len(self.channels)} "
                "channels, so one file or that many are expected"
            )
        name = Path(files[0]).name
        name = name.removesuffix(extension_of(name) or "")
        case = CaseFiles(name, subject_of(name))
        for number, contrast in enumerate(self.channels):
            path = root / files[min(number, len(files) - 1)]
            if (number == 0 or len(files) > 1) and self._is_absent(path):
                break
            is_volume = len(files) < len(self.channels)
            case.images[contrast] = VolumeOf(path, number, len(self.channels)) if is_volume else path
        return case


def is_decathlon(description: Mapping[str, Any]) -> bool:
    """Return whether a ``dataset.json`` is in the format of the Decathlon."""
    return "modality" in description and "training" in description


def _not_listed(root: Path, key: str, entry: object) -> DataError:
    return DataError(
        f'{root / DESCRIPTION}: {key} should be [{{"image": "imagesTr/X.nii.gz", "label": "labelsTr/X.nii.gz"}}]; '
        f"it holds {str(entry)[:100]}"
    )
