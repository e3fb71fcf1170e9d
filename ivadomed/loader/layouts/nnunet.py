"""Raw data sets of nnU-Net: ``dataset.json``, ``imagesTr/X_0000.nii.gz``, ``labelsTr/X.nii.gz``, ``imagesTs``.

Isensee et al., nnU-Net, Nature Methods 2021; ``documentation/dataset_format.md`` of version 2. ``dataset.json``
of version 1, with ``modality`` and {value: name} as ``labels``, is supported too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.images.io import EXTENSIONS, is_picture
from ivadomed.loader.bids.files import BidsFile, Dropped
from ivadomed.loader.bids.index import entries_of, read_json_object
from ivadomed.loader.layouts.description import DESCRIPTION, DescribedLayout
from ivadomed.loader.layouts.naming import LABEL_MAP, CaseFiles, extension_of, subject_of

SPLITS = "splits_final.json"

_CHANNEL = re.compile(r"(.+)_(\d{4})")


class NnunetLayout(DescribedLayout):
    """A raw data set of nnU-Net; see ``DescribedLayout``."""

    labels_lie = "in labelsTr"
    held_out = "imagesTs"

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """``held_out`` for images in ``imagesTs``; pixel size from the JSON file next to a picture."""
        return super().metadata(file) | (_pixel_size(file.path) if is_picture(file.path) else {})

    def _cases(self, root: Path) -> list[tuple[CaseFiles, bool]]:
        self.ending = str(self.description.get("file_ending", ".nii.gz"))
        if not self.ending.lower().endswith(EXTENSIONS):
            raise DataError(
                f'{root / DESCRIPTION}: file_ending is "{self.ending}"; expected one of {", ".join(EXTENSIONS)}: '
                "convert the files, for example to .nii.gz"
            )
        return self._listed(root) if self.description.get("dataset") else self._scanned(root)

    def _remarks(self, root: Path, count: int) -> list[str]:
        return [*_about_number(root, self.description, count), *_about_split(root)]

    def _scanned(self, root: Path) -> list[tuple[CaseFiles, bool]]:
        """Cases found in the image folders."""
        found = []
        for end in ("Tr", "Ts"):
            images, labels = root / f"images{end}", root / f"labels{end}"
            cases = self._images(images) if images.is_dir() else {}
            for path in self._files(labels) if labels.is_dir() else ():
                name = path.name.removesuffix(self.ending)
                if name in cases:
                    cases[name].labels["", LABEL_MAP] = path
                else:
                    self._drop(
                        path, f"there is no image {name}_0000{self.ending} for this label in {images.name}"
                    )
            found += [(case, images.name == self.held_out) for case in cases.values()]
        return found

    def _images(self, folder: Path) -> dict[str, CaseFiles]:
        cases: dict[str, CaseFiles] = {}
        for path in self._files(folder):
            named = _CHANNEL.fullmatch(path.name.removesuffix(self.ending))
            number = int(named[2]) if named else -1
            if named and number < len(self.channels):
                case = cases.setdefault(named[1], CaseFiles(named[1], subject_of(named[1])))
                case.images[self.channels[number]] = path
            elif named:
                self._drop(path, f"{DESCRIPTION} names {len(self.channels)} channels, from _0000 on")
            else:
                self._drop(path, f"the name does not end with a channel number, _0000{self.ending}")
        if cases and len(self.channels) > 1 and self._is_colour(cases.values()):
            joined = "".join(self.channels)
            for case in cases.values():
                case.images = {joined: case.images[self.channels[0]]}
        return cases

    def _is_colour(self, cases: Iterable[CaseFiles]) -> bool:
        """Return whether the channels are those of color pictures, with one file per case."""
        return is_picture(self.ending) and all(list(case.images) == [self.channels[0]] for case in cases)

    def _files(self, folder: Path) -> list[Path]:
        """Files of a folder with the ending; links without content are recorded."""
        paths = [Path(entry.path) for entry in entries_of(folder) if entry.name.endswith(self.ending)]
        return [path for path in paths if not self._is_absent(path)]

    def _listed(self, root: Path) -> list[tuple[CaseFiles, bool]]:
        """Cases from the key ``dataset``, which lists the files of each."""
        content, where = self.description["dataset"], f"{root / DESCRIPTION}: dataset"
        found = []
        try:
            for name, files in content.items():
                case = CaseFiles(name, subject_of(name))
                for contrast, image in zip(self.channels, files["images"], strict=True):
                    if not self._is_absent(path := _placed(root, image)):
                        case.images[contrast] = path
                if not self._is_absent(path := _placed(root, files["label"])):
                    case.labels["", LABEL_MAP] = path
                found.append((case, False))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{where}: expected {{"case": {{"images": [a file per channel], "label": file}}}} ({error!r})'
            ) from error
        return found

    def _drop(self, path: Path, reason: str) -> None:
        self._dropped.append(Dropped(str(path), reason, "a name unknown to nnU-Net"))


def is_nnunet(root: Path, description: Mapping[str, Any]) -> bool:
    """Return whether the folder of a ``dataset.json`` is a raw data set of nnU-Net, version 1 or 2.

    Version 1 resembles the Decathlon, but its images are listed without the channel number.
    """
    if "channel_names" in description:
        return True
    try:
        named = root / description["training"][0]["image"]
    except (LookupError, TypeError):
        return False
    first = f"{named.name.removesuffix(extension_of(named.name) or '')}_0000{extension_of(named.name)}"
    return "modality" in description and not named.exists() and named.with_name(first).exists()


def _placed(root: Path, path: str) -> Path:
    return root / Path(os.path.expandvars(path)).expanduser()


def _pixel_size(path: Path) -> dict[str, Any]:
    """Pixel size from the JSON file that nnU-Net requires next to a TIFF: {"spacing": [Z, Y, X]} in mm."""
    for stem in (path.name.partition(".")[0], path.name.partition(".")[0].rpartition("_")[0]):
        file = path.with_name(f"{stem}.json")
        if file.is_file():
            spacing = read_json_object(file).get("spacing")
            if isinstance(spacing, list) and len(spacing) > 1:
                return {"PixelSize": [spacing[-1], spacing[-2]], "PixelSizeUnits": "mm"}
    return {}


def _about_number(root: Path, description: Mapping[str, Any], count: int) -> list[str]:
    """One line if files seem to be missing."""
    announced = description.get("numTraining", count)
    if announced == count:
        return []
    return [f"{root / DESCRIPTION}: numTraining is {announced}, but there are {count} training cases"]


def _about_split(root: Path) -> list[str]:
    path = root / SPLITS
    if not path.is_file():
        return []
    return [
        f"{path}: split_dataset.fname_split can select it, and fold one of its folds; otherwise the split is drawn"
    ]
