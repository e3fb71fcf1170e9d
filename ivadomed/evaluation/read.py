"""Read a prediction and its ground truth into arrays, and refuse what would give wrong numbers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.evaluation.pairs import PredictionPair
from ivadomed.geometry.grid import Grid
from ivadomed.images import io

logger = logging.getLogger(__name__)

_TOLERANCE = 1e-3  # of soft values, which resampling and float16 carry a little out of 0..1


@dataclass(frozen=True, eq=False)
class PairData:
    """The voxels of a pair, native orientation.

    Args:
        prediction: [X, Y, Z, K] float32.
        target: [X, Y, Z, K] float32, zeros for a class without a file.
        zooms: mm along X, Y, Z; of a picture along rows and columns, and 1.
        affine: [4, 4] of the prediction.
        header: NIfTI header of the prediction, None when it is a picture.
        is_picture: Whether the image is one, not a volume.
    """

    prediction: np.ndarray
    target: np.ndarray
    zooms: tuple[float, float, float]
    affine: np.ndarray
    header: Any
    is_picture: bool


def read_pair(pair: PredictionPair) -> PairData:
    """Read the files of a pair.

    A label with values above 1 (0 and 255, for example) is a mask at 0.5, as in training.

    Raises:
        DataError: A file is damaged, a prediction has another number of classes or another shape than its ground
            truth, or holds numbers of classes (0, 1, 2, ...) or NaN in place of values in 0..1.
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
    for k, path in enumerate(pair.targets):
        if path is not None:
            target[..., k] = _read_target(path, first, grid)
    zooms = images[0].zooms if pair.pixel_size is None else (*pair.pixel_size, 1.0)
    is_picture = not io.is_nifti(pair.image or pair.predictions[0])
    return PairData(prediction, target, zooms, images[0].affine, images[0].header, is_picture)


def voxels_on(grid: Grid, of: Path, image: io.Image, path: Path) -> np.ndarray:
    """[X, Y, Z, ...] of an image in the order of the axes of another, which has the same voxels.

    Where they do not lie in one place (pictures do not say where they lie, see ``PredictionPair.check_grid`` for the
    others) their shape counts.

    Args:
        grid: Of the other one.
        of: Its file.
        image: Of any number of volumes.
        path: Its file.

    Raises:
        DataError: Their shapes differ.
    """
    own = image.grid()
    if grid.matches(own):
        return grid.align(own, image.data)
    if own.shape != grid.shape:
        raise DataError(
            f"{path}: shape {own.shape} differs from {grid.shape} of {of}; a prediction and its ground truth have the "
            "voxels of their image"
        )
    return image.data


def _check_values(path: Path, data: np.ndarray) -> None:
    low, high = float(data.min()), float(data.max())
    if np.isnan(low) or np.isinf((low, high)).any():
        raise DataError(f"{path}: has NaN or infinite voxels; mend the file or predict the image again")
    if high > 1 + _TOLERANCE and np.array_equal(data, np.round(data)):
        raise DataError(
            f"{path}: has whole numbers up to {high:g}; expected values from 0 to 1. Of a map of several classes, "
            "write one file per class, <image>_class-0_pred.nii.gz and so on"
        )
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        logger.warning(
            "%s: values from %.3g to %.3g, expected 0 to 1: dice and all that counts voxels mean little",
            path,
            low,
            high,
        )


def _read_target(path: Path, prediction: Path, grid: Grid) -> np.ndarray:
    target = voxels_on(grid, prediction, io.read_label(path), path)
    if not np.isfinite(target).all():
        raise DataError(f"{path}: has NaN or infinite voxels; mend the file or leave the subject out")
    return (target >= 0.5).astype(target.dtype) if target.max() > 1 + _TOLERANCE else target
