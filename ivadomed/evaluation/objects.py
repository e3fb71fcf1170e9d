"""The objects of one class in prediction and ground truth, and which of them found each other.

All overlaps are counted in one pass over the voxels that both masks hold, whatever the number of objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivadomed.postprocessing.objects import label_objects, object_sizes, select_objects

TRUE_POSITIVE, FALSE_POSITIVE, FALSE_NEGATIVE = 1, 2, 3


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
        """[H, W, D], every object filled with its value of ``values`` [n], background 0."""
        return np.concatenate([np.zeros(1, values.dtype), values])[self.labels]

    def without(self, small: int) -> np.ndarray:
        """Mask of the objects of at least ``small`` voxels."""
        return select_objects(self.labels, self.sizes >= small)


def match_objects(
    predicted: Objects, true: Objects, overlap_vox: int | None, overlap_ratio: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which predicted objects are true, and which true objects are found.

    Either ``overlap_vox`` or ``overlap_ratio`` is the least overlap; one voxel is needed in any case.

    * Voxels: an object counts when the other mask holds that many of its voxels, in one object or in several.
    * Ratio, in whole voxels: a true object is found when that much of it is predicted, in one object or in several. A
      predicted object is true when it holds that much of one true object, however large it is itself (a generous
      outline of a small lesion is no false detection).

    Returns:
        Booleans [n_pred] and [n_true].
    """
    pred_index, true_index, voxels = _contingency(predicted, true)
    in_prediction = np.bincount(true_index, voxels, len(true))
    if overlap_vox is not None:
        least = max(overlap_vox, 1)
        return np.bincount(pred_index, voxels, len(predicted)) >= least, in_prediction >= least
    parts = np.maximum(np.round((overlap_ratio or 0.0) * true.sizes), 1)
    right = np.zeros(len(predicted), bool)
    right[pred_index[voxels >= parts[true_index]]] = True
    return right, in_prediction >= parts


def _contingency(predicted: Objects, true: Objects) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of objects that share voxels: index of the predicted one, of the true one, number of voxels."""
    both = (predicted.labels > 0) & (true.labels > 0)
    pairs = (predicted.labels[both].astype(np.int64) - 1) * len(true) + true.labels[both] - 1
    unique, voxels = np.unique(pairs, return_counts=True)
    pred_index, true_index = np.divmod(unique, max(len(true), 1))
    return pred_index, true_index, voxels


def paint_detection(
    predicted: Objects, true: Objects, predicted_found: np.ndarray, true_found: np.ndarray
) -> np.ndarray:
    """[H, W, D] uint8: predicted objects are 1 (TP) or 2 (FP); what is missed of true objects is 3 (FN).

    Every predicted voxel is 1 or 2, also where it touches a true object that counts as missed.
    """
    missed = true.paint(np.where(true_found, 0, FALSE_NEGATIVE).astype(np.uint8))
    positive = predicted.paint(np.where(predicted_found, TRUE_POSITIVE, FALSE_POSITIVE).astype(np.uint8))
    return np.where(positive > 0, positive, missed)
