"""Subject-wise comparison of the metrics of several runs, on the images and classes they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ivadomed.evaluation.paired import compare_each_two
from ivadomed.evaluation.summary import split_column

ALL_CLASSES = ""
"""Stands for the mean over classes."""


@dataclass(frozen=True, eq=False)
class ComparedMetric:
    """One metric of one class.

    Args:
        metric: Name of the metric.
        class_name: Name of the class, or ``ALL_CLASSES``.
        values: [subjects, runs] mean over the images of a subject for which every run has a value.
        pairs: See ``compare_each_two``; differences are the run ``first`` minus the run ``second``, which precedes it
            in the order given.
        undefined: Number of images for which a run has no value; they are excluded from all runs.
    """

    metric: str
    class_name: str
    values: pd.DataFrame
    pairs: pd.DataFrame
    undefined: int = 0


@dataclass(frozen=True, eq=False)
class ClassMetrics:
    """Metrics of one run.

    Args:
        table: One row per image, see ``evaluate_predictions``.
        class_names: Name of each class.
    """

    table: pd.DataFrame
    class_names: Sequence[str]

    def values(self, metric: str, classes: Sequence[str]) -> pd.Series:
        """Mean of a metric over these classes, where defined, by image."""
        columns = [f"{metric}_class{self.class_names.index(name)}" for name in classes]
        return self.table[[column for column in columns if column in self.table]].mean(axis=1)

    def metrics(self) -> list[str]:
        """Names of the per-class metrics, sorted."""
        return sorted({split_column(column)[0] for column in self.table if split_column(column)[1]})


def common_images(runs: Mapping[str, ClassMetrics]) -> list[str]:
    """Images common to all runs, sorted."""
    return sorted(set.intersection(*(set(run.table.index) for run in runs.values())))


def common_classes(runs: Mapping[str, ClassMetrics]) -> list[str]:
    """Classes common to all runs, in the order of the first run."""
    first, *others = runs.values()
    return [name for name in first.class_names if all(name in run.class_names for run in others)]


def compare_runs(
    runs: Mapping[str, ClassMetrics], metrics: Sequence[str], subjects: Mapping[str, str]
) -> list[ComparedMetric]:
    """Compare runs on the images and classes they share.

    Args:
        runs: Metrics of at least two runs, by name.
        metrics: Metrics to compare; those that a run lacks are skipped.
        subjects: Subject of each image; tests are paired by subject, because images of one subject are correlated.

    Returns:
        For each metric, the mean over classes (if there are several) and each class.
    """
    images, classes = common_images(runs), common_classes(runs)
    groups = {ALL_CLASSES: classes} if len(classes) > 1 else {}
    groups |= {name: [name] for name in classes}
    return [
        _compared(runs, metric, name, chosen, images, subjects)
        for metric in metrics
        if all(metric in run.metrics() for run in runs.values())
        for name, chosen in groups.items()
    ]


def _compared(
    runs: Mapping[str, ClassMetrics],
    metric: str,
    name: str,
    classes: Sequence[str],
    images: Sequence[str],
    subjects: Mapping[str, str],
) -> ComparedMetric:
    by_image = pd.DataFrame({run: found.values(metric, classes).loc[images] for run, found in runs.items()})
    known = by_image.dropna()
    values = known.groupby([subjects[str(image)] for image in known.index]).mean()
    later_first = {run: values[run] for run in reversed(list(runs))}
    pairs = compare_each_two(later_first)
    return ComparedMetric(
        metric, name, values, pairs.iloc[::-1].reset_index(drop=True), len(by_image) - len(known)
    )


def table_of(compared: Sequence[ComparedMetric]) -> pd.DataFrame:
    """Table of all tests: one row per metric, class ("all" for their mean) and pair of runs."""
    parts = [
        found.pairs.assign(
            metric=found.metric, **{"class": found.class_name or "all", "n_undefined": found.undefined}
        )
        for found in compared
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["metric", "class", *(name for name in table if name not in ("metric", "class"))]]
