"""A raw data set of nnU-Net: ``dataset.json``, ``imagesTr/X_0000.nii.gz``, ``labelsTr/X.nii.gz``, ``imagesTs``.

Isensee et al., nnU-Net, Nature Methods 2021; ``documentation/dataset_format.md`` of version 2. The ``dataset.json`` of
version 1 is read too, which has ``modality`` and {value: name} as ``labels``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError, some
from ivadomed.images.io import EXTENSIONS, is_picture
from ivadomed.images.label_suffix import LabelTable
from ivadomed.loader.bids.files import BidsFile, Dropped, Selection
from ivadomed.loader.bids.index import entries_of, read_json_object
from ivadomed.loader.layouts.layout import HELD_OUT, Layout
from ivadomed.loader.layouts.naming import (
    LABEL_MAP,
    CaseFiles,
    absent,
    contrast_names,
    extension_of,
    names_to_values,
    rows_of,
    subject_of,
)

DESCRIPTION = "dataset.json"
SPLITS = "splits_final.json"

_CHANNEL = re.compile(r"(.+)_(\d{4})")
_SETS = {"Tr": "", "Ts": "imagesTs"}
"""Ends of the folders of images and labels -> value of the column ``HELD_OUT``."""


class NnunetLayout(Layout):
    """A raw data set of nnU-Net.

    Args:
        root: Folder of ``dataset.json``.
        selection: Files that are wanted.

    Raises:
        DataError: ``dataset.json`` lacks a key or holds something else, or two cases have one name.
    """

    labels_lie = "in labelsTr"

    def __init__(self, root: Path, selection: Selection) -> None:
        self.description = read_json_object(root / DESCRIPTION)
        self.ending = str(self.description.get("file_ending", ".nii.gz"))
        self.channels = channels_of(self.description, root / DESCRIPTION)
        self._dropped: list[Dropped] = []
        if not self.ending.lower().endswith(EXTENSIONS):
            raise DataError(
                f'{root / DESCRIPTION}: file_ending is "{self.ending}"; expected one of {", ".join(EXTENSIONS)}: '
                "convert the files, for example to .nii.gz"
            )
        found = self._listed(root) if self.description.get("dataset") else self._scanned(root)
        cases = [case for case, _ in found]
        self._held_out = {case.folders for case, held_out in found if held_out}
        self.names = names_to_values(self.description, root / DESCRIPTION, cases)
        remarks = [
            *_about_number(root, self.description, len(found) - len(self._held_out)),
            *_about_split(root),
        ]
        super().__init__(root, rows_of(cases, root, selection.extensions), self._dropped, remarks)

    def metadata(self, file: BidsFile) -> dict[str, Any]:
        """``held_out`` of the images in ``imagesTs``; size of pixels from the JSON file beside a picture."""
        known = {HELD_OUT: _SETS["Ts"]} if self.is_held_out(file) else {}
        return known | (_pixel_size(file.path) if is_picture(file.path) else {})

    def is_held_out(self, file: BidsFile) -> bool:
        """Tell whether an image is one of ``imagesTs``."""
        return file.folders in self._held_out

    def label_values(self, file: BidsFile) -> LabelTable:
        """Names and values of ``labels``; a region has several values."""
        return self.names

    def _scanned(self, root: Path) -> list[tuple[CaseFiles, str]]:
        """Cases of the folders of images, and the name of the folder of those that are kept apart."""
        found = []
        for end, held_out in _SETS.items():
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
            found += [(case, held_out) for case in cases.values()]
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
                self._drop(path, f"the name does not end with the number of a channel, _0000{self.ending}")
        if cases and len(self.channels) > 1 and self._is_colour(cases.values()):
            joined = "".join(self.channels)
            for case in cases.values():
                case.images = {joined: case.images[self.channels[0]]}
        return cases

    def _is_colour(self, cases: Iterable[CaseFiles]) -> bool:
        """Tell whether the channels are those of coloured pictures: each case has one file."""
        return is_picture(self.ending) and all(list(case.images) == [self.channels[0]] for case in cases)

    def _files(self, folder: Path) -> list[Path]:
        """Files of a folder with the ending; links without content are recorded."""
        paths = [Path(entry.path) for entry in entries_of(folder) if entry.name.endswith(self.ending)]
        return [path for path in paths if not self._is_absent(path)]

    def _listed(self, root: Path) -> list[tuple[CaseFiles, str]]:
        """Cases of the key ``dataset``, which names the files of each."""
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
                found.append((case, ""))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f'{where}: expected {{"case": {{"images": [a file per channel], "label": file}}}} ({error!r})'
            ) from error
        return found

    def _is_absent(self, path: Path) -> bool:
        reason = absent(path, DESCRIPTION)
        self._dropped += [reason] if reason else []
        return reason is not None

    def _drop(self, path: Path, reason: str) -> None:
        self._dropped.append(Dropped(str(path), reason, "a name that nnU-Net does not know"))


def is_nnunet(root: Path, description: Mapping[str, Any]) -> bool:
    """Tell whether the folder of a ``dataset.json`` is a raw data set of nnU-Net, version 1 or 2.

    That of version 1 is like the Decathlon's, but for the images, which it names without the number of the channel.
    """
    if "channel_names" in description:
        return True
    try:
        named = root / description["training"][0]["image"]
    except (LookupError, TypeError):
        return False
    first = f"{named.name.removesuffix(extension_of(named.name) or '')}_0000{extension_of(named.name)}"
    return "modality" in description and not named.exists() and named.with_name(first).exists()


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


def _placed(root: Path, path: str) -> Path:
    return root / Path(os.path.expandvars(path)).expanduser()


def _pixel_size(path: Path) -> dict[str, Any]:
    """Size of the pixels from the JSON file that nnU-Net wants beside a TIFF: {"spacing": [Z, Y, X]} in mm."""
    for stem in (path.name.partition(".")[0], path.name.partition(".")[0].rpartition("_")[0]):
        file = path.with_name(f"{stem}.json")
        if file.is_file():
            spacing = read_json_object(file).get("spacing")
            if isinstance(spacing, list) and len(spacing) > 1:
                return {"PixelSize": [spacing[-1], spacing[-2]], "PixelSizeUnits": "mm"}
    return {}


def _about_number(root: Path, description: Mapping[str, Any], count: int) -> list[str]:
    """A line when files seem to be missing."""
    announced = description.get("numTraining", count)
    if announced == count:
        return []
    return [f"{root / DESCRIPTION}: numTraining is {announced}, and there are {count} cases to train on"]


def _about_split(root: Path) -> list[str]:
    path = root / SPLITS
    if not path.is_file():
        return []
    return [
        f"{path}: split_dataset.fname_split can name it, and fold one of its folds; else the split is drawn"
    ]
