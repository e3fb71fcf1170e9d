"""Metrics of a prediction against a ground truth: pure functions of two arrays, and their mean over samples.

Policy for empty masks: a metric that does not exist says so. Dice of two empty masks is ``empty_score`` (NaN
by default; 1 in ``multi_class_dice_score``, as in ivadomed 2.9.10); a ratio whose denominator is zero is
``err_value`` (0 by default; the evaluation asks for NaN). ``MetricManager`` leaves NaN out of its means, so an
empty slice neither raises nor lowers the mean Dice.

The counts are soft: a prediction of 0.3 on a true voxel is 0.3 true
positives and 0.7 false negatives.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ivadomed.images.files import atomic_path

Metric = Callable[[np.ndarray, np.ndarray], float]


def numeric_score(prediction: np.ndarray, groundtruth: np.ndarray) -> tuple[float, float, float, float]:
    """Count false positives, false negatives, true positives and true negatives.

    Args:
        prediction: Values in [0, 1], any shape.
        groundtruth: Values in [0, 1], the same shape.

    Returns:
        FP, FN, TP, TN; they add up to the number of elements.

    Raises:
        ValueError: The shapes differ.
    """
    prediction, groundtruth = _pair(prediction, groundtruth)
    # Three sums give all four counts; FP = sum(p * (1 - g)) and so on would allocate twice as many volumes.
    predicted = float(prediction.sum(dtype=np.float64))
    true = float(groundtruth.sum(dtype=np.float64))
    both = _inner(prediction, groundtruth)
    return predicted - both, true - both, both, prediction.size - predicted - true + both


def dice_score(im1: np.ndarray, im2: np.ndarray, empty_score: float = np.nan) -> float:
    """Dice coefficient ``2 |A B| / (|A| + |B|)``, soft.

    Args:
        im1: Values in [0, 1], any shape.
        im2: Values in [0, 1], the same shape.
        empty_score: Result for two empty masks.

    Raises:
        ValueError: The shapes differ.
    """
    im1, im2 = _pair(im1, im2)
    total = float(im1.sum(dtype=np.float64) + im2.sum(dtype=np.float64))
    return 2.0 * _inner(im1, im2) / total if total else empty_score


def multi_class_dice_score(im1: np.ndarray, im2: np.ndarray) -> float:
    """Mean Dice over the classes [C, ...]; of a class that is empty in both masks it is 1."""
    im1, im2 = _pair(im1, im2)
    return float(np.mean([dice_score(a, b, empty_score=1.0) for a, b in zip(im1, im2, strict=True)]))


def precision_score(prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0) -> float:
    """Positive predictive value ``TP / (TP + FP)``; ``err_value`` when nothing is predicted."""
    fp, _, tp, _ = numeric_score(prediction, groundtruth)
    return _ratio(tp, tp + fp, err_value)


def recall_score(prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0) -> float:
    """True positive rate ``TP / (TP + FN)``; ``err_value`` when the ground truth is empty."""
    _, fn, tp, _ = numeric_score(prediction, groundtruth)
    return _ratio(tp, tp + fn, err_value)


def specificity_score(prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0) -> float:
    """True negative rate ``TN / (TN + FP)``; ``err_value`` when the ground truth fills the array."""
    fp, _, _, tn = numeric_score(prediction, groundtruth)
    return _ratio(tn, tn + fp, err_value)


def intersection_over_union(prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0) -> float:
    """Jaccard index ``TP / (TP + FP + FN)``; ``err_value`` when both masks are empty."""
    fp, fn, tp, _ = numeric_score(prediction, groundtruth)
    return _ratio(tp, tp + fp + fn, err_value)


def accuracy_score(prediction: np.ndarray, groundtruth: np.ndarray, err_value: float = 0.0) -> float:
    """Fraction of right voxels ``(TP + TN) / N``; ``err_value`` for arrays without elements."""
    fp, fn, tp, tn = numeric_score(prediction, groundtruth)
    return _ratio(tp + tn, tp + tn + fp + fn, err_value)


def volumetric_similarity(im1: np.ndarray, im2: np.ndarray, empty_score: float = np.nan) -> float:
    """Agreement of two volumes wherever they lie: ``1 - ||A| - |B|| / (|A| + |B|)`` (Taha and Hanbury, 2015).

    Args:
        im1: Values in [0, 1], any shape.
        im2: Values in [0, 1], the same shape.
        empty_score: Result for two empty masks.
    """
    im1, im2 = _pair(im1, im2)
    a, b = (float(mask.sum(dtype=np.float64)) for mask in (im1, im2))
    return 1 - abs(a - b) / (a + b) if a + b else empty_score


def mse(im1: np.ndarray, im2: np.ndarray) -> float:
    """Sum of squared differences per pixel of the first two axes.

    For a 2D image that is the mean squared error. For [H, W, D] it is D times the mean, the number that
    ivadomed has always reported; divide by D to compare images of different depth.
    """
    im1, im2 = _pair(im1, im2)
    difference = np.subtract(im1, im2, dtype=np.float64)
    return _inner(difference, difference) / float(np.prod(im1.shape[:2]))


def hausdorff_score(prediction: np.ndarray, groundtruth: np.ndarray) -> float:
    """Directed Hausdorff distance between the value profiles of two arrays.

    This is the number that ivadomed has always reported. Its points are rows of values, not positions of
    voxels: it grows with the disagreement of the profiles and is neither in voxels nor in mm. 0 means that
    every profile of the prediction occurs in the ground truth; two empty masks give 0.

    Args:
        prediction: [M, N] (M points in N dimensions), [C, H, W] (mean over H of the distance between C points
            of W values) or [C, H, W, D] (mean over C and W of the distance between H points of D values).
        groundtruth: The same shape.

    Raises:
        ValueError: The shapes differ, or have other than 2 to 4 axes.
    """
    prediction, groundtruth = _pair(prediction, groundtruth)
    if not 2 <= prediction.ndim <= 4:
        raise ValueError(f"hausdorff_score: expected 2 to 4 axes, got shape {prediction.shape}")
    sets = [_point_sets(array) for array in (prediction, groundtruth)]
    count = sets[0].shape[0]
    # Most sets of a medical image are background in both: their distance is 0 and needs no computation.
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
    """Largest distance of a point of [M, N] to its nearest of [K, N]."""
    if points.shape[1] == 1:  # a picture of many rows: the nearest number is a neighbour in their order
        ordered, values = np.sort(others[:, 0]), points[:, 0]
        at = np.searchsorted(ordered, values).clip(1, len(ordered) - 1) if len(ordered) > 1 else 0
        return float(np.minimum(abs(values - ordered[at]), abs(values - ordered[at - 1])).max())
    points, others = _background_once(points), _background_once(others)
    # |a - b|^2 = |a|^2 + |b|^2 - 2 a b: one matrix product in place of M * K differences.
    norms, other_norms = (points**2).sum(axis=1), (others**2).sum(axis=1)
    nearest = norms + (other_norms - 2 * (points @ others.T)).min(axis=1)
    rounding = 1e-13 * (norms + other_norms.max())
    return float(np.sqrt(np.where(nearest > rounding, nearest, 0).max()))


def _background_once(points: np.ndarray) -> np.ndarray:
    """Points [M, N] of which at most one is all zeros."""
    filled = points.any(axis=1)
    return points if filled.all() else np.concatenate([points[filled], points[~filled][:1]])


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"prediction and ground truth differ in shape: {a.shape} and {b.shape}")
    return a, b


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.multiply(a, b).sum(dtype=np.float64))


def _ratio(numerator: float, denominator: float, otherwise: float) -> float:
    return numerator / denominator if denominator > 0 else otherwise


def _mean(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN; NaN when there is none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


SEGMENTATION_METRICS: tuple[Metric, ...] = (
    dice_score,
    multi_class_dice_score,
    precision_score,
    recall_score,
    specificity_score,
    intersection_over_union,
    accuracy_score,
    hausdorff_score,
)
METRICS: dict[str, tuple[Metric, ...]] = {
    "segmentation": SEGMENTATION_METRICS,
    "classification": SEGMENTATION_METRICS[:-1],  # a vector of scores has no shape to measure
    "regression": (mse,),
}


def get_metric_fns(task: str, eval_params: Mapping[str, Any] | None = None) -> list[Metric]:
    """Metrics to compute on every validation and test batch.

    Args:
        task: "segmentation", "classification" or "regression" (heat maps).
        eval_params: Evaluation parameters. They choose among the metrics of whole volumes
            (``ivadomed.evaluation``); the metrics of batches are the same for all of them.

    Raises:
        ValueError: Unknown task.
    """
    if task not in METRICS:
        raise ValueError(f"get_metric_fns: unknown task {task!r}; expected one of {', '.join(METRICS)}")
    return list(METRICS[task])


class MetricManager:
    """Mean of metrics over samples.

    Args:
        metric_fns: Functions ``(prediction [C, ...], ground truth [C, ...]) -> float``.

    Attributes:
        metric_fns: The functions.
        result_dict: Their values so far by function name; NaN (metric undefined for the sample) is left out.
        num_samples: Number of samples seen.
    """

    def __init__(self, metric_fns: Iterable[Metric]) -> None:
        self.metric_fns = list(metric_fns)
        self.reset()

    def __call__(self, prediction: np.ndarray, ground_truth: np.ndarray) -> None:
        """Add a batch [B, C, H, W] or [B, C, H, W, D]; each of the B samples counts once."""
        self.num_samples += len(prediction)
        for sample, truth in zip(prediction, ground_truth, strict=True):
            for metric in self.metric_fns:
                value = metric(sample, truth)
                if not np.isnan(value):
                    self.result_dict[_name(metric)].append(value)

    def get_results(self) -> dict[str, float]:
        """Mean of each metric over the samples where it exists; NaN when there is none."""
        return {name: _mean(values) for name, values in self.result_dict.items()}

    def merge(self, results: Iterable[Mapping[str, Sequence[float]]]) -> None:
        """Replace the values by those of several managers, each of which saw a part of the samples."""
        parts = [{name: list(values) for name, values in part.items()} for part in results]
        for name, values in self.result_dict.items():
            values[:] = [value for part in parts for value in part[name]]

    def reset(self) -> None:
        """Forget all samples."""
        self.num_samples = 0
        self.result_dict: dict[str, list[float]] = {_name(metric): [] for metric in self.metric_fns}


def _name(metric: Metric) -> str:
    return getattr(metric, "__name__", type(metric).__name__)


def plot_dice_thr(
    thr_list: Sequence[float], dice_list: Sequence[float], opt_thr_idx: int, fname_out: str | os.PathLike[str]
) -> None:
    """Plot Dice against the threshold and mark the best one.

    Args:
        thr_list: Thresholds.
        dice_list: Mean Dice at each threshold.
        opt_thr_idx: Index of the best threshold.
        fname_out: Picture to write; its extension chooses the format.
    """
    label = f"Maximum DICE at {thr_list[opt_thr_idx]:.3g}"
    _plot(thr_list, dice_list, opt_thr_idx, label, ("Thresholds", "Dice"), False, fname_out)


def plot_roc_curve(
    tpr: Sequence[float], fpr: Sequence[float], opt_thr_idx: int, fname_out: str | os.PathLike[str]
) -> None:
    """Plot the receiver operating characteristic, its area, and mark the best threshold.

    Args:
        tpr: True positive rate at each threshold.
        fpr: False positive rate at each threshold.
        opt_thr_idx: Index of the best threshold.
        fname_out: Picture to write; its extension chooses the format.
    """
    order = np.lexsort((tpr, fpr))
    x, y = np.asarray(fpr, float)[order], np.asarray(tpr, float)[order]
    area = float(np.diff(x) @ (y[1:] + y[:-1]) / 2)
    axes = (f"False Positive Rate (area under the curve {area:.3f})", "True Positive Rate")
    label = f"Optimal threshold, ({fpr[opt_thr_idx]:.3g}, {tpr[opt_thr_idx]:.3g})"
    _plot(fpr, tpr, opt_thr_idx, label, axes, True, fname_out)


def _plot(
    x: Sequence[float],
    y: Sequence[float],
    mark: int,
    label: str,
    axis_names: tuple[str, str],
    diagonal: bool,
    path: str | os.PathLike[str],
) -> None:
    # A Figure of its own needs neither a display nor pyplot's global state.
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.add_subplot()
    if diagonal:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle="--")
    axes.plot(x, y, marker="o")
    axes.plot([x[mark]], [y[mark]], color="tab:red", marker="o", linestyle="", label=label)
    axes.set(xlabel=axis_names[0], ylabel=axis_names[1])
    axes.legend(loc="best")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
