"""Objects of one class in prediction and ground truth, and their matching.

All overlaps are counted in one pass over the voxels common to both masks, regardless of the number of objects.
Thresholds of the configuration, given in voxels, mm3 or as a ratio, are converted to voxels of an image here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ivadomed.config.load import load_section
from ivadomed.config.schema.predictions import EvaluationParameters, Overlap, RemoveSmallObjects, TargetSize
from ivadomed.postprocessing.objects import (
    label_objects,
    minimum_voxels,
    object_sizes,
    per_class,
    select_objects,
)

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = 1, 2, 3
_SECTION = "evaluation_parameters"
_VOXEL = 0.5


@dataclass(frozen=True, eq=False)
class Objects:
    """The connected objects of one mask.

    Args:
        labels: [H, W, D], 0 background, 1..n the objects.
        sizes: [n] voxels.
    """

    labels: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> Objects:
        """Objects of a mask [H, W, D]; voxels that share a face or an edge are connected."""
        labels, count = label_objects(mask)
        return cls(labels, object_sizes(labels, count))

    def __len__(self) -> int:
        return len(self.sizes)

    def paint(self, values: np.ndarray) -> np.ndarray:
        """Fill each object with its value of ``values`` [n]: [H, W, D], background 0."""
        return np.concatenate([np.zeros(1, values.dtype), values])[self.labels]

    def without(self, small: int) -> np.ndarray:
        """Mask of the objects with at least ``small`` voxels."""
        return select_objects(self.labels, self.sizes >= small)


class Overlaps(NamedTuple):
    """Pairs of a predicted and a true object that share voxels.

    Args:
        predicted: [P] index of the predicted object.
        true: [P] index of the true object.
        voxels: [P] number of voxels they share.
    """

    predicted: np.ndarray
    true: np.ndarray
    voxels: np.ndarray

    @classmethod
    def between(cls, predicted: Objects, true: Objects) -> Overlaps:
        """Overlaps of the objects of two masks."""
        both = (predicted.labels > 0) & (true.labels > 0)
        pairs = (predicted.labels[both].astype(np.int64) - 1) * len(true) + true.labels[both] - 1
        unique, voxels = np.unique(pairs, return_counts=True)
        return cls(*np.divmod(unique, max(len(true), 1)), voxels)

    def of(self, kept: np.ndarray) -> Overlaps:
        """Overlaps of the predicted objects for which ``kept`` [n_pred] is true."""
        chosen = kept[self.predicted]
        return Overlaps(self.predicted[chosen], self.true[chosen], self.voxels[chosen])

    def matches(
        self, n_predicted: int, true_sizes: np.ndarray, overlap_vox: int | None, overlap_ratio: float | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predicted objects [n_pred] that are true, and true ones [n_true] that are found; see ``match_objects``."""
        in_prediction = np.bincount(self.true, self.voxels, len(true_sizes))
        if overlap_vox is not None:
            least = max(overlap_vox, 1)
            return np.bincount(self.predicted, self.voxels, n_predicted) >= least, in_prediction >= least
        parts = np.maximum(np.round((overlap_ratio or 0.0) * true_sizes), 1)
        right = np.zeros(n_predicted, bool)
        right[self.predicted[self.voxels >= parts[self.true]]] = True
        return right, in_prediction >= parts


def match_objects(
    predicted: Objects, true: Objects, overlap_vox: int | None, overlap_ratio: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Match objects: which predicted ones are true, and which true ones are found.

    Either ``overlap_vox`` or ``overlap_ratio`` is the minimum overlap; at least one voxel is always required.

    * Voxels: an object counts when the other mask contains that many of its voxels, in one or several objects.
    * Ratio, in whole voxels: a true object is found when that fraction of it is predicted, in one or several objects.
      A predicted object is true when it covers that fraction of one true object, whatever its own size (a generous
      outline of a small lesion is not a false detection).

    Returns:
        Booleans [n_pred] and [n_true].
    """
    overlaps = Overlaps.between(predicted, true)
    return overlaps.matches(len(predicted), true.sizes, overlap_vox, overlap_ratio)


def paint_detection(
    predicted: Objects, true: Objects, predicted_found: np.ndarray, true_found: np.ndarray
) -> np.ndarray:
    """Paint objects into [H, W, D] uint8: predicted ones are 1 (TP) or 2 (FP); missed true voxels are 3 (FN).

    Every predicted voxel is 1 or 2, even inside a true object that counts as missed.
    """
    missed = true.paint(np.where(true_found, 0, FALSE_NEGATIVE).astype(np.uint8))
    positive = predicted.paint(np.where(predicted_found, TRUE_POSITIVE, FALSE_POSITIVE).astype(np.uint8))
    return np.where(positive > 0, positive, missed)


def paint_voxels(predicted: np.ndarray, true: np.ndarray, ignore: np.ndarray | None = None) -> np.ndarray:
    """Paint voxels of two masks: 1 in both (TP), 2 in the prediction only (FP), 3 in the ground truth only (FN).

    Args:
        predicted: [X, Y, Z, K], soft values are thresholded at 0.5.
        true: [X, Y, Z, K], likewise.
        ignore: [X, Y, Z], ignored voxels, painted 0; None for none.

    Returns:
        [X, Y, Z, K] uint8.
    """
    positive, wanted = predicted >= _VOXEL, true >= _VOXEL
    # One byte a voxel.
    found, missed, wrong = np.array([TRUE_POSITIVE, FALSE_NEGATIVE, FALSE_POSITIVE], np.uint8)
    painted = np.where(positive, np.where(wanted, found, wrong), missed * wanted)
    if ignore is not None:
        painted[ignore] = 0
    return painted


def evaluation_parameters(params: Mapping[str, Any] | EvaluationParameters | None) -> EvaluationParameters:
    """Parse the section ``evaluation_parameters``; missing keys get the defaults of the schema.

    Raises:
        ConfigError: An unknown key or unit, limits that do not increase, or a ratio outside 0..1.
    """
    if isinstance(params, EvaluationParameters):
        return params
    return load_section(_SECTION, params or {})


def least_overlap(overlap: Overlap | None, voxel_volume: float) -> tuple[int | None, float | None]:
    """Minimum overlap, in voxels or as a fraction, for an object to count as found; the other one is None.

    mm3 are rounded to voxels, as for the size ranges.
    """
    overlap = overlap or Overlap()
    if overlap.unit == "ratio":
        return None, overlap.thr
    return int(np.ceil(overlap.thr) if overlap.unit == "vox" else np.round(overlap.thr / voxel_volume)), None


def smallest_sizes(section: RemoveSmallObjects | None, voxel_volume: float, n_classes: int) -> list[int]:
    """Size in voxels of the smallest object to keep, per class; 0 keeps all.

    Raises:
        ConfigError: The number of thresholds is neither one nor the number of classes.
    """
    if section is None:
        return [0] * n_classes
    key = f"{_SECTION}.remove_small"
    limits = per_class(section.thr, n_classes, f"{key}.thr")
    return [minimum_voxels(limit, section.unit, voxel_volume, key) for limit in limits]


def size_ranges(section: TargetSize | None, sizes: np.ndarray, voxel_volume: float) -> np.ndarray:
    """Size range (1, 2, ...) of objects of ``sizes`` voxels; limits belong to the range below them."""
    if section is None:
        return np.ones(len(sizes), int)
    return np.searchsorted(np.array(_limits(section, voxel_volume)), sizes) + 1


def size_suffixes(section: TargetSize | None, voxel_volume: float, size_min: int) -> list[str]:
    """Name suffix of each size range, for example ``_21-100vox`` and ``_101-INFvox``.

    With "mm3" the numbers are rounded voxel counts, ``_0.0-40.0mm3``. Names are those of ivadomed 2.9.10, even where
    they do not describe the range: in mm3, a lower end is the previous limit plus 1 mm3, and the first one reads the
    voxels of ``remove_small`` as mm3.
    """
    if section is None:
        return []
    in_voxels = section.unit == "vox"

    def name(limit: float) -> str:
        return f"{limit:g}" if in_voxels else str(float(np.round(limit / voxel_volume)))

    lows = [name(size_min), *(name(limit + 1) for limit in section.thr)]
    highs = [*map(name, section.thr), "INF"]
    return [f"_{low}-{high}{section.unit}" for low, high in zip(lows, highs, strict=True)]


def _limits(section: TargetSize, voxel_volume: float) -> list[float]:
    """Size in voxels of the largest object of each range but the last."""
    if section.unit == "vox":
        return list(section.thr)
    return [float(np.round(limit / voxel_volume)) for limit in section.thr]
