"""Metrics of a prediction against a ground truth, and their mean over samples."""

from ivadomed.metrics.manager import MetricManager, get_metric_fns, metrics_without_mask
from ivadomed.metrics.scores import (
    METRICS,
    Metric,
    accuracy_score,
    dice_score,
    hausdorff_score,
    intersection_over_union,
    metric,
    mse,
    multi_class_dice_score,
    numeric_score,
    precision_score,
    recall_score,
    specificity_score,
    volumetric_similarity,
)
from ivadomed.runtime.moved import moved_names

__all__ = [
    "METRICS",
    "Metric",
    "MetricManager",
    "accuracy_score",
    "dice_score",
    "get_metric_fns",
    "hausdorff_score",
    "intersection_over_union",
    "metric",
    "metrics_without_mask",
    "mse",
    "multi_class_dice_score",
    "numeric_score",
    "precision_score",
    "recall_score",
    "specificity_score",
    "volumetric_similarity",
]

__getattr__ = moved_names(__name__, {}, {"ivadomed.evaluation.threshold": "plot_dice_thr plot_roc_curve"})
