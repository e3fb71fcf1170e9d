"""Pairs of prediction and ground truth: files matched by name, and their voxels."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.errors import DataError, some
from ivadomed.geometry.grid import Grid
from ivadomed.images import io
from ivadomed.images.label_suffix import names_for_files
from ivadomed.images.labels import LabelFile, iter_labels
from ivadomed.images.volume_of import ImagePath
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import check_same_grid, pixel_size_mm
from ivadomed.runtime.memory import available_cores

logger = logging.getLogger(__name__)

Suffixes = Sequence[str | Sequence[str]]
_PRED = "_pred"
_MEMORY = 4e9
_BYTES_PER_VOXEL = 32  # and class, peak memory of an evaluation
_TOLERANCE = 1e-3  # resampling and float16 move soft values slightly out of 0..1


@dataclass(frozen=True)
class PredictionPair:
    """The prediction of one image and its ground truth.

    Args:
        image_id: Name of the image without extension; the index in the table.
        predictions: One file with all classes ([X, Y, Z] or [X, Y, Z, K]), or one file per class.
        targets: One label per class; None if the image has no label of that class.
        image: The image, whose grid the others share; None if it is not available.
        subject: Participant; empty: the image is treated as its own subject.
        contrast: Contrast of the image; several channels are joined by "+".
        pixel_size: mm along rows and columns of a picture.
        ignore: Label of ignored voxels.
        soft: Keep soft ground truth between 0 and 1, as in training; otherwise it is thresholded at 0.5.
        among: All labels of the case, see ``read_label``.
    """

    image_id: str
    predictions: tuple[Path, ...]
    targets: tuple[LabelFile | None, ...]
    image: ImagePath | None = None
    subject: str = ""
    contrast: str = ""
    pixel_size: tuple[float, float] | None = None
    ignore: LabelFile | None = None
    soft: bool = False
    among: tuple[LabelFile, ...] = ()

    def check_grid(self) -> None:
        """Raise DataError unless all files have the same voxel grid; only headers are read.

        Pictures have no grid; their shapes are compared when they are read.
        """
        labels = dict.fromkeys(label.path for label in (*self.targets, self.ignore) if label is not None)
        files = [path for path in (self.image, *labels, *self.predictions) if path and io.is_nifti(path)]
        if len(files) < len(self.predictions) + 1:
            return
        first, *others = files
        grid = io.read_grid(first, several=True)
        for path in others:
            check_same_grid(grid, first, io.read_grid(path, several=True), path)


def job_count(pairs: Sequence[PredictionPair]) -> int:
    """Number of pairs to evaluate in parallel: limited by the number of cores and 4 GB of memory."""
    volumes = [pair for pair in pairs if io.is_nifti(pair.predictions[0])]
    measured = volumes or list(
        pairs[:1]
    )  # a picture must be read to get its size; the others are assumed alike
    voxels = (
        np.prod(io.read_grid(pair.predictions[0], several=True).shape) * len(pair.targets)
        for pair in measured
    )
    largest = max(map(int, voxels), default=1)
    return int(np.clip(_MEMORY // (largest * _BYTES_PER_VOXEL), 1, available_cores()))


def pairs_of_cases(
    cases: Sequence[Case], folder: Path, target_suffix: Suffixes, soft_gt: bool = False
) -> list[PredictionPair]:
    """Pairs of the cases with a prediction in ``folder``; with several raters, the first one is the ground truth.

    One warning lists the cases without a prediction, and one the predictions that match no case.

    Args:
        cases: Cases of the test set.
        folder: Folder of the predictions.
        target_suffix: See ``loader_parameters``.
        soft_gt: See ``loader_parameters``.

    Raises:
        DataError: No case has a prediction, or the file of a class is missing.
    """
    predictions = find_predictions(folder, {case.id for case in cases}, target_suffix)
    if not predictions:
        raise DataError(f"{folder}: no prediction of the test set; run --test first")
    missing = [case.id for case in cases if case.id not in predictions]
    if missing:
        logger.warning(
            "%s: no prediction for %d image(s) of the test set, which are left out: %s",
            folder,
            len(missing),
            some(missing),
        )
    return [
        PredictionPair(
            case.id,
            predictions[case.id],
            tuple(raters[0] if raters else None for raters in case.targets),
            case.images[0],
            case.subject,
            "+".join(case.contrasts),
            None if io.is_nifti(case.images[0]) else pixel_size_mm(case.metadata, case.images[0]),
            case.ignore,
            soft_gt,
            case.labels,
        )
        for case in cases
        if case.id in predictions
    ]


def find_predictions(
    folder: Path, images: Collection[str], target_suffix: Suffixes
) -> dict[str, tuple[Path, ...]]:
    """Prediction files by image name, sorted.

    ``<image>_pred.nii.gz`` (all classes) takes precedence over ``<image>_class-0_pred.nii.gz`` and so on, or
    ``<image><suffix>_pred.nii.gz``, one file per class; NIfTI files take precedence over pictures. One warning lists
    the predictions that match no image.

    Raises:
        DataError: The file of a class is missing.
    """
    whole: dict[str, Path] = {}
    parts: dict[str, dict[int, Path]] = defaultdict(dict)
    strangers = []
    for path in _prediction_files(folder):
        name = Path(io.split_extension(path)[0]).name.removesuffix(_PRED)
        if name in images:
            whole.setdefault(name, path)
            continue
        image_id, k = _class_of(name, images, target_suffix)
        if image_id:
            parts[image_id].setdefault(k, path)
        else:
            strangers.append(path.name)
    if strangers:
        logger.warning(
            "%s: %d prediction(s) match no evaluated image, and are left out: %s",
            folder,
            len(strangers),
            some(sorted(strangers)),
        )
    apart = {
        image_id: _complete(folder, image_id, files, len(target_suffix))
        for image_id, files in parts.items()
        if image_id not in whole
    }
    return dict(sorted(({image_id: (path,) for image_id, path in whole.items()} | apart).items()))


def _prediction_files(folder: Path) -> list[Path]:
    """Prediction files by name, NIfTI files before pictures."""
    # Hidden files are those of macOS, "._x_pred.nii.gz", which hold attributes of the file.
    files = (p for p in folder.glob(f"[!.]*{_PRED}.*") if p.name.lower().endswith(io.EXTENSIONS))
    named = (path for path in files if io.split_extension(path.name)[0].endswith(_PRED))
    return sorted(named, key=lambda path: (not io.is_nifti(path), path.name))


def _class_of(name: str, images: Collection[str], target_suffix: Suffixes) -> tuple[str, int]:
    """Image and class named by ``<image>_class-K`` or ``<image><suffix>``; an empty image if the name is neither.

    A suffix may end with another one (``_seg`` and ``_lesion_seg``): the longest that leaves the name of an image wins.
    """
    numbered = re.fullmatch(r"(.+)_class-(\d+)", name)
    if numbered:
        return (numbered[1] if numbered[1] in images else ""), int(numbered[2])
    fitting = [
        (suffix, k)
        for k, suffix in _names_of_classes(target_suffix)
        if name.endswith(suffix) and name.removesuffix(suffix) in images
    ]
    suffix, k = max(fitting, key=lambda found: len(found[0]), default=("", 0))
    return (name.removesuffix(suffix) if suffix else ""), k


def _names_of_classes(target_suffix: Suffixes) -> Iterator[tuple[int, str]]:
    """Class and suffix of each possible file name, for every rater."""
    several = [raters_of(entry) for entry in target_suffix]
    firsts = names_for_files([raters[0] for raters in several])
    for k, (first, raters) in enumerate(zip(firsts, several, strict=True)):
        for suffix in (first, *names_for_files(raters[1:])):
            yield k, io.without_extension(suffix)


def _complete(folder: Path, image_id: str, files: Mapping[int, Path], n_classes: int) -> tuple[Path, ...]:
    if sorted(files) != list(range(n_classes)):
        raise DataError(
            f"{folder}: {image_id} has predictions of the classes {', '.join(map(str, sorted(files)))}; expected "
            f"{n_classes}, one for each loader_parameters.target_suffix, counted from 0"
        )
    return tuple(files[k] for k in range(n_classes))


def raters_of(entry: str | Sequence[str]) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry)


@dataclass(frozen=True, eq=False)
class PairData:
    """Voxels of a pair, in native orientation.

    Args:
        prediction: [X, Y, Z, K] float32.
        target: [X, Y, Z, K] float32, zeros for a class without a file.
        zooms: mm along X, Y, Z; for a picture, along rows and columns, then 1.
        affine: [4, 4] of the prediction.
        header: NIfTI header of the prediction, None when it is a picture.
        is_picture: True for a picture, False for a volume.
        ignore: [X, Y, Z] bool, ignored voxels; None for none.
    """

    prediction: np.ndarray
    target: np.ndarray
    zooms: tuple[float, float, float]
    affine: np.ndarray
    header: Any
    is_picture: bool
    ignore: np.ndarray | None = None


def read_pair(pair: PredictionPair) -> PairData:
    """Read the files of a pair.

    Labels are read as in training, see ``ivadomed.images.labels``.

    Raises:
        DataError: A file is damaged, a label is invalid, a prediction differs from its ground truth in number of
            classes or shape, or holds class numbers (0, 1, 2, ...) or NaN instead of values in 0..1.
    """
    images = [io.read_classes(path) for path in pair.predictions]
    n_classes = sum(image.data.shape[3] for image in images)
    if n_classes != len(pair.targets):
        raise DataError(
            f"{pair.predictions[0]}: has {n_classes} classes, loader_parameters.target_suffix names "
            f"{len(pair.targets)}; evaluate with the suffixes of the training"
        )
    first, grid = pair.predictions[0], images[0].grid()
    parts = [
        voxels_on(grid, first, image, file) for file, image in zip(pair.predictions, images, strict=True)
    ]
    for file, part in zip(pair.predictions, parts, strict=True):
        _check_values(file, part)
    prediction = np.concatenate(parts, axis=3) if parts[1:] else parts[0]
    target = np.zeros_like(prediction)
    there = [label for label in (*pair.targets, pair.ignore) if label is not None]
    labels = iter_labels(there, soft=pair.soft, among=pair.among)
    for k, label in enumerate(pair.targets):
        if label is not None:
            target[..., k] = voxels_on(grid, first, next(labels), label.path)
    ignore = None
    if pair.ignore is not None:
        ignore = voxels_on(grid, first, next(labels), pair.ignore.path) >= 0.5
    zooms = images[0].zooms if pair.pixel_size is None else (*pair.pixel_size, 1.0)
    is_picture = not io.is_nifti(pair.image or pair.predictions[0])
    return PairData(prediction, target, zooms, images[0].affine, images[0].header, is_picture, ignore)


def voxels_on(grid: Grid, of: ImagePath, image: io.Image, path: ImagePath) -> np.ndarray:
    """Voxels [X, Y, Z, ...] of an image, in the axis order of another image with the same voxels.

    If the grids do not match (pictures have no position; for the others see ``PredictionPair.check_grid``), only the
    shapes are compared.

    Args:
        grid: Grid of the reference image.
        of: File of the reference image.
        image: Image with any number of volumes.
        path: File of ``image``.

    Raises:
        DataError: The shapes differ.
    """
    own = image.grid()
    if grid.matches(own):
        return grid.align(own, image.data)
    if own.shape != grid.shape:
        raise DataError(
            f"{path}: shape {own.shape} differs from {grid.shape} of {of}; a prediction and its ground truth must "
            "have the voxel grid of their image"
        )
    return image.data


def _check_values(path: ImagePath, data: np.ndarray) -> None:
    low, high = float(data.min()), float(data.max())
    if np.isnan(low) or np.isinf((low, high)).any():
        raise DataError(f"{path}: has NaN or infinite voxels; fix the file or predict the image again")
    if low >= -_TOLERANCE and high <= 1 + _TOLERANCE:
        return
    if np.array_equal(data, np.round(data)):
        found = f"from {low:g}" if low < 0 else f"up to {high:g}"
        raise DataError(
            f"{path}: has whole numbers {found}; expected values from 0 to 1. "
            "Split a map of several classes into one file per class, <image>_class-0_pred.nii.gz and so on"
        )
    logger.warning(
        "%s: values from %.3g to %.3g, expected 0 to 1: dice and other voxel counts are unreliable",
        path,
        low,
        high,
    )
