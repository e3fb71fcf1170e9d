"""Content of a data set: contrasts, labels, sizes, orientations. Only the headers of images are read."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import is_picture, read_grid
from ivadomed.images.label_suffix import file_suffix
from ivadomed.images.labels import KeptLabels, LabelReader
from ivadomed.loader.bids.files import BidsFile, Selection
from ivadomed.loader.bids.index import IMAGE_EXTENSIONS
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.cases.volumes import pixel_size_mm
from ivadomed.loader.layouts.index import open_index
from ivadomed.loader.layouts.layout import DataIndex
from ivadomed.runtime.terminal import hidden_bar
from ivadomed.suggest.classes import Offer, offer_classes
from ivadomed.suggest.foreground import (
    NOTHING,
    Foreground,
    LabelledImage,
    images_to_read,
    look_at_foreground,
)
from ivadomed.suggest.labels import Targets, choose_targets

_LOOKED_AT = 8
_FEWEST = 3

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Survey:
    """A data set as seen by a training.

    Args:
        paths: Folders of the data set.
        subjects: Number of subjects with labeled images.
        contrasts: Number of labeled images by contrast.
        channels: True if the contrasts of each subject share one grid.
        targets: The labels to train on.
        looked_at: Number of images whose labels were read.
        grids: Grids of the labeled images.
        orientations: Orientations of the files, the most common first.
        pictures: True if the images are pictures rather than NIfTI files.
        known_zooms: True if the pixel size is known.
        extensions: Extensions of images and labels.
        valid: True if names follow the rules of BIDS.
        ignore: Voxels to ignore in training, in the form of ``ignore_label``; None if there are none.
        foreground: Location of the labels in the volumes.
    """

    paths: tuple[Path, ...]
    subjects: int
    contrasts: Mapping[str, int]
    channels: bool
    targets: Targets
    looked_at: int
    grids: tuple[Grid, ...]
    orientations: tuple[str, ...]
    pictures: bool
    known_zooms: bool
    extensions: tuple[str, ...]
    valid: bool
    ignore: str | None = None
    foreground: Foreground = NOTHING

    @property
    def images(self) -> int:
        """Number of labeled images."""
        return len(self.grids)

    def sizes(self, slice_axis: int) -> tuple[np.ndarray, np.ndarray]:
        """Size in voxels and voxel size in mm of each image along height, width and depth, [N, 3] each.

        Args:
            slice_axis: RAS axis along which slices are taken.
        """
        grids = [replace(grid, slice_axis=slice_axis) for grid in self.grids]
        return np.array([grid.hwd_shape for grid in grids]), np.array([grid.zooms for grid in grids])


@dataclass(frozen=True)
class _Labelled:
    """An image and its labels by suffix."""

    image: BidsFile
    labels: Mapping[str, BidsFile]


def survey(
    path_data: Sequence[str | Path], target_suffix: Sequence[str] = (), contrasts: Sequence[str] = ()
) -> Survey:
    """Survey a data set.

    Args:
        path_data: Data sets: folders or tables.
        target_suffix: Labels to train on; a label map without values means all its classes; empty: all usable ones.
        contrasts: Contrasts to train on; empty: all with these labels.

    Raises:
        DataError: A folder does not exist, or there is no labeled image, too few subjects, or no usable label.
        ConfigError: A contrast has no labeled image, or a requested label cannot be parsed.
    """
    paths = tuple(Path(path).expanduser().absolute() for path in path_data)
    index, labelled, valid = _scan(paths, target_suffix)
    there = Counter(item.image.suffix for item in labelled)
    if absent := [name for name in contrasts if name not in there]:
        raise ConfigError(f"--contrasts: no labelled image is a {absent[0]}; there are {', '.join(there)}")
    labelled = [item for item in labelled if not contrasts or item.image.suffix in contrasts]
    sample = _spread(labelled, _LOOKED_AT)
    listed = [item.labels for item in _bar(sample, "Listing classes", "image")]
    opened = KeptLabels()  # the same labels are read for classes, kinds and location
    offer = offer_classes(listed, index.label_values, target_suffix, opened)
    files = Counter(chain.from_iterable(item.labels for item in labelled))
    targets = choose_targets(
        [offer.files(item.labels, index.label_values) for item in sample],
        {text: files[suffix.file] for text, suffix in offer.classes.items() if suffix.file in files},
        [_grid(item.image, index)[0] for item in sample],
        offer.wanted,
        opened,
    )
    chosen = set(map(file_suffix, targets.suffixes))
    labelled = [item for item in labelled if not item.labels.keys().isdisjoint(chosen)]
    used = [item.image for item in labelled]
    subjects = {(image.root, image.folders[0]) for image in used}
    if len(subjects) < _FEWEST:
        raise DataError(
            f"{_names(paths)}: {len(subjects)} subject(s) with labelled images; a training needs at least {_FEWEST}, "
            "one each for training, validation and test"
        )
    there = Counter(image.suffix for image in used)
    seen = [_grid(image, index) for image in _bar(used, "Reading headers", "image")]
    codes = Counter(
        "" if is_picture(image.path) else grid.axis_codes for image, (grid, _) in zip(used, seen, strict=True)
    )
    labels = [label for item in labelled for suffix, label in item.labels.items() if suffix in chosen]
    return Survey(
        paths=paths,
        subjects=len(subjects),
        contrasts={name: there[name] for name in (contrasts or sorted(there)) if name in there},
        channels=_on_one_grid(used, [grid for grid, _ in seen]),
        targets=targets,
        looked_at=len(sample),
        grids=tuple(grid for grid, _ in seen),
        orientations=tuple(code for code, _ in codes.most_common() if code),
        pictures=is_picture(used[0].path),
        known_zooms=all(known for _, known in seen),
        extensions=tuple(sorted({file.extension for file in (*used, *labels)})),
        valid=valid,
        ignore=offer.ignore if offer.ignore and file_suffix(offer.ignore) in chosen else None,
        foreground=_foreground(labelled, [grid for grid, _ in seen], index, offer, targets.suffixes, opened),
    )


def _foreground(
    labelled: Sequence[_Labelled],
    grids: Sequence[Grid],
    index: DataIndex,
    offer: Offer,
    suffixes: Sequence[str],
    opened: LabelReader,
) -> Foreground:
    """Location of the classes: in all images if they are small, else in some."""
    if is_picture(labelled[0].image.path):
        return NOTHING
    count = images_to_read(len(labelled), int(np.median([math.prod(grid.shape) for grid in grids])))
    items = []
    for item in _spread(labelled, count):
        files = offer.files(item.labels, index.label_values)
        labels = tuple(files[suffix] for suffix in suffixes if suffix in files)
        items.append(LabelledImage(item.image.image, item.image.suffix, labels))
    return look_at_foreground(items, count == len(labelled), opened)


def _bar(items: Sequence[Item], title: str, unit: str) -> Iterable[Item]:
    return tqdm(items, desc=title, unit=unit, leave=False, disable=hidden_bar())


def _scan(paths: Sequence[Path], target_suffix: Sequence[str]) -> tuple[DataIndex, list[_Labelled], bool]:
    """Index, labeled images of the more common kind (NIfTI or pictures), and True if the names are valid.

    The suffixes identify the label columns of a table if they are not evident.
    """
    everything = {"path_data": paths, "extensions": IMAGE_EXTENSIONS, "target_suffix": list(target_suffix)}
    for valid in (True, False):
        index = open_index(Selection.of({**everything, "bids_validate": valid}))
        labels = Labels(index)
        images = [file for file in index if not file.is_derivative]
        labelled = [item for image in images if (item := _Labelled(image, labels.by_suffix(image))).labels]
        kinds = [[item for item in labelled if is_picture(item.image.path) == kind] for kind in (False, True)]
        if any(kinds):
            return index, max(kinds, key=len), valid
    what = f"none of its {len(images)} images has a label" if images else "has no image"
    left = index.skipped
    example = f"\n{len(left)} left out, such as {left[0].file}: {left[0].reason}" if left else ""
    raise DataError(
        f"{_names(paths)}: {what}; images are sub-XX/anat/sub-XX_T1w.nii.gz, their labels "
        f"derivatives/labels/sub-XX/anat/sub-XX_T1w_SUFFIX.nii.gz{example}"
    )


def _grid(image: BidsFile, index: DataIndex) -> tuple[Grid, bool]:
    """Grid of an image with axial slices, and True if its pixel size is known."""
    if not is_picture(image.path):
        return read_grid(image.image), True
    size = pixel_size_mm(index.metadata(image), image.path)
    return read_grid(image.path, pixel_size=size), size is not None


def _spread(images: Sequence[_Labelled], most: int) -> list[_Labelled]:
    """At most this many images, spread evenly over the data set."""
    places = np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)
    return [images[place] for place in places]


def _on_one_grid(images: Sequence[BidsFile], grids: Sequence[Grid]) -> bool:
    """True if each subject (session, sample) has one image of each of several contrasts, all on one grid."""
    contrasts = {image.suffix for image in images}
    groups: dict[tuple[object, ...], list[tuple[str, Grid]]] = defaultdict(list)
    for image, grid in zip(images, grids, strict=True):
        groups[image.root, image.folders, image.entities.get("sample")].append((image.suffix, grid))
    return len(contrasts) > 1 and all(
        sorted(name for name, _ in group) == sorted(contrasts)
        and all(grid.matches(group[0][1]) for _, grid in group)
        for group in groups.values()
    )


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
