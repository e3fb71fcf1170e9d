"""Metrics of batches, and their mean over samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np

from ivadomed.metrics import scores
from ivadomed.metrics.scores import METRICS, Metric

_SEGMENTATION: tuple[Metric, ...] = (
    scores.dice_score,
    scores.multi_class_dice_score,
    scores.precision_score,
    scores.recall_score,
    scores.specificity_score,
    scores.intersection_over_union,
    scores.accuracy_score,
    scores.hausdorff_score,
)
_OF_TASK: dict[str, tuple[Metric, ...]] = {
    "segmentation": _SEGMENTATION,
    "classification": _SEGMENTATION[:-1],  # a vector of scores has no shape to measure
    "regression": (scores.mse,),
}


def get_metric_fns(task: str, eval_params: Mapping[str, Any] | None = None) -> list[Metric]:
    """Metrics to compute on each validation and test batch.

    Args:
        task: "segmentation", "classification" or "regression" (heat maps).
        eval_params: Evaluation parameters. They select metrics of whole volumes (``ivadomed.evaluation``); they have
            no effect on the metrics of batches.

    Raises:
        ValueError: Unknown task.
    """
    if task not in _OF_TASK:
        raise ValueError(f"get_metric_fns: unknown task {task!r}; expected one of {', '.join(_OF_TASK)}")
    return list(_OF_TASK[task])


def metrics_without_mask(names: Iterable[str]) -> list[str]:
    """Names of the metrics that cannot ignore voxels.

    Raises:
        ConfigError: For an unknown name.
    """
    return [name for name in names if "mask" not in signature(METRICS.find(name)).parameters]


class MetricManager:
    """Mean of metrics over samples.

    NaN is left out, so an empty slice neither raises nor lowers the mean Dice.

    Args:
        metric_fns: Functions ``(prediction [C, ...], ground truth [C, ...]) -> float``, with a keyword ``mask`` if
            voxels are ignored.

    Attributes:
        metric_fns: The functions.
        result_dict: Values so far by function name; NaN (metric undefined for the sample) is left out.
        num_samples: Number of samples seen.
    """

    def __init__(self, metric_fns: Iterable[Metric]) -> None:
        self.metric_fns = list(metric_fns)
        self.reset()

    def __call__(
        self, prediction: np.ndarray, ground_truth: np.ndarray, mask: np.ndarray | None = None
    ) -> None:
        """Add a batch [B, C, H, W] or [B, C, H, W, D]; each of the B samples counts once.

        Args:
            prediction: Values in [0, 1].
            ground_truth: The same shape.
            mask: [B, 1, ...], True at the voxels that count; None for all.
        """
        self.num_samples += len(prediction)
        for number, (sample, truth) in enumerate(zip(prediction, ground_truth, strict=True)):
            counted = {} if mask is None else {"mask": mask[number]}
            for metric in self.metric_fns:
                value = metric(sample, truth, **counted)
                if not np.isnan(value):
                    self.result_dict[_name(metric)].append(value)

    def get_results(self) -> dict[str, float]:
        """Mean of each metric over the samples where it is defined; NaN if there is none."""
        return {
            name: float(np.mean(values)) if values else np.nan for name, values in self.result_dict.items()
        }

    def merge(self, results: Iterable[Mapping[str, Sequence[float]]]) -> None:
        """Replace the values by those of several managers, each of which saw part of the samples."""
        parts = [{name: list(values) for name, values in part.items()} for part in results]
        for name, values in self.result_dict.items():
            values[:] = [value for part in parts for value in part[name]]

    def reset(self) -> None:
        """Discard all samples."""
        self.num_samples = 0
        self.result_dict: dict[str, list[float]] = {_name(metric): [] for metric in self.metric_fns}


def _name(metric: Metric) -> str:
    return getattr(metric, "__name__", type(metric).__name__)
