"""Metrics of a prediction against a ground truth: pure functions of two arrays.

Policy for empty masks: undefined metrics are marked as such. Dice of two empty masks is ``empty_score`` (NaN
by default; 1 in ``multi_class_dice_score``, as in ivadomed 2.9.10); a ratio with a zero denominator is
``err_value`` (0 by default; NaN in the evaluation).

``mask``, of a broadcastable shape, is True at the voxels that count; the others are excluded from both arrays and
from all denominators. None counts all voxels.

Counts are soft: a prediction of 0.3 on a true voxel counts as 0.3 true positives and 0.7 false negatives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ivadomed.registry import Registry

Metric = Callable[..., float]
Mask = np.ndarray | None

METRICS: Registry[Metric] = Registry(
    None,
    place="evaluation_parameters.metrics: {name!r}",
    unknown="evaluation_parameters.metrics: {name!r} is unknown",
    no_argument="evaluation_parameters.metrics: {name} has no argument {key!r}{hint} Accepted: {known}.",
    expected="function; expected one of a prediction and a ground truth",
)
"""Name -> function of prediction and ground truth (arrays of equal shape) and `mask`; extensible."""
metric = METRICS.register


def numeric_score(
    prediction: np.ndarray, groundtruth: np.ndarray, mask: Mask = None
) -> tuple[float, float, float, float]:
    """Count false positives, false negatives, true positives and true negatives.

    Args:
        prediction: Values in [0, 1], any shape.
        groundtruth: Values in [0, 1], the same shape.
        mask: Elements that count.

    Returns:
        FP, FN, TP, TN; they sum to the number of elements that count.

    Raises:
        ValueError: The shapes differ.
    """
    prediction, groundtruth = _pair(prediction, groundtruth, mask)
    # Three sums give all four counts; FP = sum(p * (1 - g)) and so on would allocate twice as much memory.
    predicted = float(prediction.sum(dtype=np.float64))
    true = float(groundtruth.sum(dtype=np.float64))
    both = _inner(prediction, groundtruth)
    return predicted - both, true - both, both, _count(prediction, mask) - predicted - true + both


@metric
def dice_score(im1: np.ndarray, im2: np.ndarray, empty_score: float = np.nan, mask: Mask = None) -> float:
    """Dice coefficient ``2 |A B| / (|A| + |B|)``, soft.

    Args:
        im1: Values in [0, 1], any shape.
        im2: Values in [0, 1], the same shape.
        empty_score: Result for two empty masks.
        mask: Elements that count.

    Raises:
        ValueError: The shapes differ.
    """
    im1, im2 = _pair(im1, im2, mask)
    total = float(im1.sum(dtype=np.float64) + im2.sum(dtype=np.float64))
    return 2.0 * _inner(im1, im2) / total if total else empty_score


@metric
def multi_class_dice_score(im1: np.ndarray, im2: np.ndarray, mask: Mask = None) -> float:
    """Mean Dice over the classes [C, ...]; 1 for a class that is empty in both masks."""
    im1, im2 = _pair(im1, im2, mask)
    return float(np.mean([dice_score(a, b, empty_score=1.0) for a, b in zip(im1, im2, strict=True)]))


@metric
def precision_score(
    prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0, mask: Mask = None
) -> float:
    """Positive predictive value ``TP / (TP + FP)``; ``err_value`` if nothing is predicted."""
    fp, _, tp, _ = numeric_score(prediction, groundtruth, mask)
    return _ratio(tp, tp + fp, err_value)


@metric
def recall_score(
    prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0, mask: Mask = None
) -> float:
    """True positive rate ``TP / (TP + FN)``; ``err_value`` if the ground truth is empty."""
    _, fn, tp, _ = numeric_score(prediction, groundtruth, mask)
    return _ratio(tp, tp + fn, err_value)


@metric
def specificity_score(
    prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0, mask: Mask = None
) -> float:
    """True negative rate ``TN / (TN + FP)``; ``err_value`` if the ground truth fills the array."""
    fp, _, _, tn = numeric_score(prediction, groundtruth, mask)
    return _ratio(tn, tn + fp, err_value)


@metric
def intersection_over_union(
    prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0, mask: Mask = None
) -> float:
    """Jaccard index ``TP / (TP + FP + FN)``; ``err_value`` if both masks are empty."""
    fp, fn, tp, _ = numeric_score(prediction, groundtruth, mask)
    return _ratio(tp, tp + fp + fn, err_value)


@metric
def accuracy_score(
    prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0, mask: Mask = None
) -> float:
    """Fraction of correct voxels ``(TP + TN) / N``; ``err_value`` for arrays without elements."""
    fp, fn, tp, tn = numeric_score(prediction, groundtruth, mask)
    return _ratio(tp + tn, tp + tn + fp + fn, err_value)


@metric
def volumetric_similarity(
    im1: np.ndarray, im2: np.ndarray, empty_score: float = np.nan, mask: Mask = None
) -> float:
    """Position-independent volume similarity ``1 - ||A| - |B|| / (|A| + |B|)`` (Taha and Hanbury, 2015).

    Args:
        im1: Values in [0, 1], any shape.
        im2: Values in [0, 1], the same shape.
        empty_score: Result for two empty masks.
        mask: Elements that count.
    """
    im1, im2 = _pair(im1, im2, mask)
    a, b = (float(mask.sum(dtype=np.float64)) for mask in (im1, im2))
    return 1 - abs(a - b) / (a + b) if a + b else empty_score


@metric
def mse(im1: np.ndarray, im2: np.ndarray, mask: Mask = None) -> float:
    """Sum of squared differences per pixel of the first two axes.

    For a 2D image this is the mean squared error. For [H, W, D] it is D times the mean, as ivadomed has always
    reported it; divide by D to compare images of different depth. With a mask it is D times the mean over the voxels
    that count, NaN if there are none.
    """
    im1, im2 = _pair(im1, im2, mask)
    difference = np.subtract(im1, im2, dtype=np.float64)
    pixels = float(np.prod(im1.shape[:2]))
    if mask is not None:
        pixels *= _count(im1, mask) / im1.size
    return _ratio(_inner(difference, difference), pixels, np.nan)


@metric
def hausdorff_score(prediction: np.ndarray, groundtruth: np.ndarray, mask: Mask = None) -> float:
    """Directed Hausdorff distance between the value profiles of two arrays.

    This is the number that ivadomed has always reported. Its points are rows of values, not voxel positions: it
    grows with the disagreement of the profiles and is in neither voxels nor mm. 0 means that every profile of the
    prediction occurs in the ground truth; two empty masks give 0.

    Args:
        prediction: [M, N] (M points in N dimensions), [C, H, W] (mean over H of the distance between C points
            of W values) or [C, H, W, D] (mean over C and W of the distance between H points of D values).
        groundtruth: The same shape.
        mask: Values that count; the others are 0 in both.

    Raises:
        ValueError: The shapes differ, or do not have 2 to 4 axes.
    """
    prediction, groundtruth = _pair(prediction, groundtruth, mask)
    if not 2 <= prediction.ndim <= 4:
        raise ValueError(f"hausdorff_score: expected 2 to 4 axes, got shape {prediction.shape}")
    sets = [_point_sets(array) for array in (prediction, groundtruth)]
    count = sets[0].shape[0]
    # Most sets of a medical image are background in both arrays: their distance is 0 without computation.
    differs = (sets[0] != sets[1]).any(axis=(1, 2))
    if sets[0].shape[1] == 1:
        a, b = (points[differs, 0].astype(np.float64) for points in sets)
        return float(np.linalg.norm(a - b, axis=1).sum()) / count
    pairs = (tuple(points[place].astype(np.float64) for points in sets) for place in np.flatnonzero(differs))
    return sum(_directed_hausdorff(*pair) for pair in pairs) / count


def _point_sets(array: np.ndarray) -> np.ndarray:
    """[sets, points, dimensions] of an array with 2 to 4 axes."""
    if array.ndim == 2:
        return array[None]
    if array.ndim == 3:
        return array.swapaxes(0, 1)
    channels, height, width, depth = array.shape
    return array.transpose(0, 2, 1, 3).reshape(channels * width, height, depth)


def _directed_hausdorff(points: np.ndarray, others: np.ndarray) -> float:
    """Largest distance from a point of [M, N] to its nearest neighbor in [K, N]."""
    if points.shape[1] == 1:  # many 1D points: the nearest one is adjacent in sorted order
        ordered, values = np.sort(others[:, 0]), points[:, 0]
        at = np.searchsorted(ordered, values).clip(1, len(ordered) - 1) if len(ordered) > 1 else 0
        return float(np.minimum(abs(values - ordered[at]), abs(values - ordered[at - 1])).max())
    points, others = _background_once(points), _background_once(others)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a b: one matrix product instead of M * K differences.
    norms, other_norms = (points**2).sum(axis=1), (others**2).sum(axis=1)
    nearest = norms + (other_norms - 2 * (points @ others.T)).min(axis=1)
    rounding = 1e-13 * (norms + other_norms.max())
    return float(np.sqrt(np.where(nearest > rounding, nearest, 0).max()))


def _background_once(points: np.ndarray) -> np.ndarray:
    """Points [M, N] with at most one row of zeros."""
    filled = points.any(axis=1)
    return points if filled.all() else np.concatenate([points[filled], points[~filled][:1]])


def _pair(a: np.ndarray, b: np.ndarray, mask: Mask = None) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays, set to 0 where the mask is False."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"prediction and ground truth differ in shape: {a.shape} and {b.shape}")
    if mask is None:
        return a, b
    return np.where(mask, a, np.zeros((), a.dtype)), np.where(mask, b, np.zeros((), b.dtype))


def _count(array: np.ndarray, mask: Mask) -> int:
    """Number of elements of an array that count."""
    return array.size if mask is None else int(np.count_nonzero(np.broadcast_to(mask, array.shape)))


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.multiply(a, b).sum(dtype=np.float64))


def _ratio(numerator: float, denominator: float, otherwise: float) -> float:
    return numerator / denominator if denominator > 0 else otherwise
