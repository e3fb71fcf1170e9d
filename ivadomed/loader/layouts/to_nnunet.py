"""Write cases as a raw data set of nnU-Net, version 2.

Isensee et al., nnU-Net, Nature Methods 2021; ``documentation/dataset_format.md``, ``region_based_training.md`` and
``ignore_label.md`` of version 2: one file per channel, one label map per case with consecutive values from 1,
overlapping classes as regions of several values, and ignored voxels as the highest value.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ivadomed import __version__
from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.files import atomic_folder, atomic_path, write_json
from ivadomed.images.io import is_nifti, read_grid, read_header, read_image, write_nifti, write_volume
from ivadomed.images.labels import iter_labels
from ivadomed.images.volume_of import ImagePath, VolumeOf
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import grid_of, on_grid, pixel_size_mm
from ivadomed.loader.layouts.description import DESCRIPTION
from ivadomed.loader.layouts.nnunet import SPLITS
from ivadomed.runtime.terminal import hidden_bar

ENDING = ".nii.gz"
_LEVEL = 6  # gzip level: higher ones take much longer for little gain
_AXIS = 2  # arbitrary: no slices are used
_MOST_VALUES = np.iinfo(np.uint8).max

Combination = tuple[int, ...]
"""Classes of a voxel, ascending; () is the background."""


@dataclass(frozen=True)
class CaseSet:
    """Cases of a data set by their names in it.

    Args:
        training: Cases to train and validate on.
        testing: Cases held out for testing.
        splits: Names of the training and validation cases of each fold.
        classes: Names of the classes, see ``class_labels``.
        channels: Contrast of each channel.
    """

    training: Mapping[str, Case]
    testing: Mapping[str, Case]
    splits: Sequence[tuple[Sequence[str], Sequence[str]]]
    classes: Sequence[str]
    channels: Sequence[str]


class Combinations:
    """Combinations of classes that occur in voxels of a data set, numbered as they are found.

    Attributes:
        known: Combination -> its number.
        counts: Combination -> voxels.
    """

    def __init__(self) -> None:
        self.known: dict[Combination, int] = {(): 0}
        self.counts: Counter[Combination] = Counter()

    def read(self, case: Case, grid: Grid) -> tuple[np.ndarray, np.ndarray | None]:
        """Read the labels of a case.

        A class labelled by several raters is present where at least half of them agree.

        Returns:
            Combination numbers [H, W, D]; the mask of ignored voxels, or None.

        Raises:
            DataError: See ``read_volume``.
        """
        ignored = () if case.ignore is None else (case.ignore,)
        files = [*(file for file in case.rater_files if file is not None), *ignored]
        labels = iter_labels(files, pixel_size_mm(case.metadata, case.images[0]), among=case.labels)
        found = np.zeros(grid.hwd_shape, np.int32)
        for k, raters in enumerate(case.targets):
            if raters is not None:
                votes = [on_grid(grid, case, next(labels), file.path) for file in raters]
                self._add(found, np.mean(votes, axis=0) >= 0.5, k)
        if case.ignore is None:
            return found, None
        ignore = on_grid(grid, case, next(labels), case.ignore.path) > 0
        found[ignore] = 0
        return found, ignore

    def _add(self, found: np.ndarray, mask: np.ndarray, k: int) -> None:
        """Add class ``k`` to the combinations of the voxels in a mask."""
        combinations = list(self.known)
        numbers, inverse = np.unique(found[mask], return_inverse=True)
        new = [self.known.setdefault((*combinations[n], k), len(self.known)) for n in numbers]
        found[mask] = np.array(new, np.int32)[inverse]

    def count(self, found: np.ndarray) -> None:
        """Count the voxels of each combination, except the background."""
        counts = np.bincount(found.ravel(), minlength=len(self.known))
        for combination, number in self.known.items():
            if combination and counts[number]:
                self.counts[combination] += int(counts[number])

    def values(self, n_classes: int) -> dict[Combination, int]:
        """Label value of each combination, from 1: single classes in order, then their overlaps.

        Raises:
            DataError: There are more than fit into a byte.
        """
        lacking = set(range(n_classes)).difference(*self.counts)
        wanted = sorted({*self.counts, *((k,) for k in lacking)}, key=lambda each: (len(each), each))
        if len(wanted) >= _MOST_VALUES:
            raise DataError(
                f"loader_parameters.target_suffix: the classes overlap in {len(wanted)} ways, but an nnU-Net "
                "label map has 255 values; leave out some classes"
            )
        return {combination: value for value, combination in enumerate(wanted, start=1)}

    def painted(self, values: Iterable[Combination], n_classes: int) -> dict[int, Combination]:
        """Order in which nnU-Net paints regions over each other, from largest to smallest.

        Args:
            values: Combinations that have a value.
            n_classes: Number of classes.

        Returns:
            Class -> the combination of voxels where this class is painted last, in painting order.
        """
        sizes = [
            sum(n for combination, n in self.counts.items() if k in combination) for k in range(n_classes)
        ]
        place = {k: i for i, k in enumerate(sorted(range(n_classes), key=lambda k: -sizes[k]))}
        meant = {}
        for k in place:
            with_k = [combination for combination in values if k in combination]
            on_top = [combination for combination in with_k if max(combination, key=place.__getitem__) == k]
            meant[k] = max(on_top or with_k, key=lambda combination: self.counts[combination])
        return meant


def write_nnunet(cases: CaseSet, output: str | os.PathLike[str], name: str) -> None:
    """Write ``imagesTr``, ``labelsTr``, ``imagesTs``, ``labelsTs``, ``dataset.json`` and ``splits_final.json``.

    Images that are NIfTI files are copied; pictures become single-slice NIfTI files. One case is in memory at a time.

    Args:
        cases: Cases to write.
        output: Folder to create, ``DatasetXXX_NAME``; it appears once everything is written.
        name: Name of the data set.

    Raises:
        DataError: A file cannot be used, see ``read_volume``, or classes overlap in too many ways.
        OutputError: ``output`` holds files or cannot be written.
    """
    sides = {"Tr": cases.training, "Ts": cases.testing}
    every = [(side, key, case) for side, named in sides.items() for key, case in named.items()]
    combinations = Combinations()
    with atomic_folder(output) as place:
        for _, _, case in _bar(every, "Reading labels"):
            combinations.count(combinations.read(case, grid_of(case, _AXIS))[0])
        values = combinations.values(len(cases.classes))
        for side, key, case in _bar(every, "Writing"):
            grid = _write_images(case, place / f"images{side}", key)
            _write_label(case, grid, place / f"labels{side}" / f"{key}{ENDING}", combinations, values)
        ignores = any(case.ignore is not None for _, _, case in every)
        write_json(place / DESCRIPTION, _description(cases, name, combinations, values, ignores))
        folds = [{"train": list(train), "val": list(valid)} for train, valid in cases.splits]
        write_json(place / SPLITS, folds)


def _bar(items: Sequence[Any], what: str) -> Iterable[Any]:
    return tqdm(items, desc=what, unit="case", leave=False, disable=hidden_bar())


def _write_images(case: Case, folder: Path, key: str) -> Grid:
    """Write the channels of a case; return their common grid, that of the first."""
    grid = grid_of(case, _AXIS)
    folder.mkdir(exist_ok=True)
    for channel, source in enumerate(case.images):
        path = folder / f"{key}_{channel:04d}{ENDING}"
        if not _copied(source, grid, path):
            image = read_image(source, pixel_size_mm(case.metadata, source))
            data = grid.to_native(on_grid(grid, case, image, source))
            write_nifti(path, _compact(data), grid.affine)
    return grid


def _copied(source: ImagePath, grid: Grid, path: Path) -> bool:
    """Copy a NIfTI file unchanged; False for other formats, or another axis order than the first channel's."""
    if not is_nifti(source):
        return False
    own = read_grid(source, _AXIS, several=True)
    if own.shape != grid.shape or not np.allclose(own.affine, grid.affine):
        return False
    if isinstance(source, VolumeOf):
        write_volume(source, path)
        return True
    with atomic_path(path) as temporary, source.open("rb") as stream:
        packed = source.name.lower().endswith(".gz")
        with temporary.open("wb") if packed else gzip.open(temporary, "wb", _LEVEL) as copy:
            shutil.copyfileobj(stream, copy)
    return True


def _compact(data: np.ndarray) -> np.ndarray:
    """Values in the smallest type that holds them: integer gray levels of pictures need no floats."""
    for dtype in (np.uint8, np.uint16):
        limit = np.iinfo(dtype).max
        if data.min() >= 0 and data.max() <= limit and np.array_equal(data, np.rint(data)):
            return data.astype(dtype)
    return data


def _write_label(
    case: Case, grid: Grid, path: Path, combinations: Combinations, values: Mapping[Combination, int]
) -> None:
    """Write the label map of a case; ignored voxels get the value after the last class."""
    found, ignore = combinations.read(case, grid)
    table = np.array([values.get(combination, 0) for combination in combinations.known], np.uint8)
    data = table[found]
    if ignore is not None:
        data[ignore] = len(values) + 1
    first = case.images[0]
    header = read_header(first) if is_nifti(first) else None
    path.parent.mkdir(exist_ok=True)
    write_nifti(path, np.ascontiguousarray(grid.to_native(data)), grid.affine, header)


def _description(
    cases: CaseSet,
    name: str,
    combinations: Combinations,
    values: Mapping[Combination, int],
    ignores: bool,
) -> dict[str, Any]:
    """Content of ``dataset.json``."""
    labels: dict[str, Any] = {"background": 0}
    order: dict[str, Any] = {}
    if all(len(combination) == 1 for combination in values):
        labels |= {cases.classes[k]: value for (k,), value in values.items()}
    else:
        meant = combinations.painted(values, len(cases.classes))
        for k in meant:
            labels[cases.classes[k]] = [value for combination, value in values.items() if k in combination]
        order = {"regions_class_order": [values[combination] for combination in meant.values()]}
    if ignores:
        labels["ignore"] = len(values) + 1
    return {
        "name": name,
        "channel_names": {str(number): channel for number, channel in enumerate(cases.channels)},
        "labels": labels,
        **order,
        "numTraining": len(cases.training),
        "file_ending": ENDING,
        "overwrite_image_reader_writer": "SimpleITKIO",
        "converted_by": f"ivadomed {__version__}",
    }
