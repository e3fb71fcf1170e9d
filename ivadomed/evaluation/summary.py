"""Mean, spread and confidence interval of each metric, per class and contrast."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ivadomed.evaluation.pairs import PredictionPair
from ivadomed.images.files import write_csv

SUMMARY_FILE = Path("results_eval", "summary.csv")
ALL = "all"
"""Name of the group with all contrasts."""

DRAWS = 5_000
_SEED = 0
_LEVEL = 95.0
_CHUNK = 4_000_000  # numbers drawn at a time: 32 MB
_MOST_LINES = 30
_SHOWN = ("dice", "hd95", "nsd", "lf1")


def summarize(
    table: pd.DataFrame, pairs: Iterable[PredictionPair], class_names: Sequence[str] = ()
) -> pd.DataFrame:
    """Summarize each metric over all images and per contrast.

    The confidence interval of the mean is a percentile bootstrap (Efron and Tibshirani, 1993) of 5,000 draws
    with a fixed seed. Subjects are resampled, each with all of its images, because images of one subject are
    correlated. It is undefined for fewer than two subjects.

    Args:
        table: One row per image, see ``evaluate_predictions``.
        pairs: Subject and contrast of the images.
        class_names: Name of each class, see ``class_labels``; empty: class numbers are used.

    Returns:
        One row per contrast ("all" first, and alone if there is only one contrast), class and metric: ``n`` images
        where the metric is defined, ``n_undefined`` where it is not, ``mean``, ``std`` (of the sample, n - 1),
        ``median``, ``ci95_low``, ``ci95_high``. ``class`` is empty for columns without one.
    """
    known = {pair.image_id: pair for pair in pairs}
    subjects = np.array([known[image].subject or image for image in table.index], dtype=object)
    contrasts = np.array([known[image].contrast for image in table.index], dtype=object)
    names = sorted(set(contrasts) - {""})
    groups = {ALL: np.ones(len(table), bool)}
    groups |= {name: contrasts == name for name in names if len(names) > 1}
    columns = sorted(table.columns, key=lambda column: int(split_column(column)[1] or -1))  # 10 comes after 9
    rows = [
        {"contrast": contrast, "class": name_of_class(k, class_names), "metric": metric, **row}
        for contrast, chosen in groups.items()
        for (metric, k), row in zip(
            map(split_column, columns),
            _describe(table[columns].to_numpy(float)[chosen], subjects[chosen]),
            strict=True,
        )
    ]
    names = ["contrast", "class", "metric", "n", "n_undefined", "mean", "std", "median"]
    return pd.DataFrame(rows, columns=[*names, "ci95_low", "ci95_high"])


def write_summary(
    table: pd.DataFrame,
    pairs: Iterable[PredictionPair],
    path_output: str | os.PathLike[str],
    class_names: Sequence[str] = (),
) -> pd.DataFrame:
    """Write ``results_eval/summary.csv`` and return it; see ``summarize``."""
    summary = summarize(table, pairs, class_names)
    write_csv(Path(path_output, SUMMARY_FILE), summary, index=False)
    return summary


def split_column(column: str) -> tuple[str, str]:
    """Metric and class of a column: "dice" and "0" of ``dice_class0``; the class may be empty."""
    match = re.fullmatch(r"(.+)_class(\d+)", column)
    return (match[1], match[2]) if match else (column, "")


def name_of_class(k: str, class_names: Sequence[str]) -> str:
    """Name of the class with this number, as in a column; the number itself if no name is known."""
    return class_names[int(k)] if k.isdigit() and int(k) < len(class_names) else k


def in_words(column: str, class_names: Sequence[str]) -> str:
    """Readable name of a column: "dice seg-lesion" for ``dice_class1``; "dice" if there is one class."""
    metric, k = split_column(column)
    return f"{metric} {name_of_class(k, class_names)}" if k and len(class_names) > 1 else metric


def mean_over_classes(table: pd.DataFrame, metric: str = "dice") -> pd.Series:
    """Mean of a metric over the classes of each image where it is defined; NaN if it is defined for none.

    Args:
        table: One row per image, see ``evaluate_predictions``.
        metric: Name of the metric, without a class.
    """
    columns = [column for column in table.columns if split_column(column)[0] == metric]
    return table[columns].mean(axis=1)


def by_class(summary: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    """Yield (contrast, class) and the rows of each group of a summary, class by class."""
    order = {name: number for number, name in enumerate(summary["class"].unique())}
    places = summary["class"].map(order)
    yield from summary.loc[places.sort_values(kind="stable").index].groupby(["contrast", "class"], sort=False)


def summary_text(summary: pd.DataFrame) -> str:
    """Format the main metrics for the terminal: mean [confidence interval], one line per group for the first groups."""
    chosen = summary[summary["metric"].isin(_SHOWN)]
    metrics = [metric for metric in _SHOWN if (chosen.loc[chosen["metric"] == metric, "n"] > 0).any()]
    lines = [["", "images", *(f"{metric} (mm)" if metric == "hd95" else metric for metric in metrics)]]
    several = chosen["contrast"].nunique() > 1
    for (contrast, k), group in by_class(chosen):
        rows = group.set_index("metric")
        images = int((rows["n"] + rows["n_undefined"]).iloc[0])
        cells = [_cell(rows.loc[metric], images) if metric in rows.index else "" for metric in metrics]
        name = f"class {k}" if k.isdigit() else k
        lines.append([f"{name}, {contrast}" if several else name, str(images), *cells])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    shown = [line.rstrip() for line in text][: _MOST_LINES + 1]
    more = len(lines) - len(shown)
    return "\n".join(
        ["Mean [95 % confidence interval]:", *shown, *([f"... and {more} more lines"] if more else [])]
    )


def _cell(row: pd.Series, images: int) -> str:
    if not row["n"]:
        return "undefined"
    interval = "" if np.isnan(row["ci95_low"]) else f" [{row['ci95_low']:.3g}, {row['ci95_high']:.3g}]"
    count = "" if row["n"] == images else f" of {row['n']}"
    return f"{row['mean']:.3g}{interval}{count}"


def _describe(values: np.ndarray, subjects: np.ndarray) -> list[dict[str, float]]:
    """Statistics of each column of ``values`` [images, metrics]; NaN is left out."""
    intervals = bootstrap_intervals(values, subjects)
    rows = []
    for column, (low, high) in zip(values.T, intervals, strict=True):
        exists = column[~np.isnan(column)]
        rows.append(
            {
                "n": len(exists),
                "n_undefined": len(column) - len(exists),
                "mean": exists.mean() if len(exists) else np.nan,
                "std": exists.std(ddof=1) if len(exists) > 1 else np.nan,
                "median": np.median(exists) if len(exists) else np.nan,
                "ci95_low": low,
                "ci95_high": high,
            }
        )
    return rows


def bootstrap_intervals(
    values: np.ndarray, subjects: Sequence[object] | np.ndarray, draws: int = DRAWS
) -> np.ndarray:
    """95 % confidence interval of the mean of each column, by resampling subjects with replacement.

    Args:
        values: [images, metrics]; NaN is left out.
        subjects: [images] subject of each image.
        draws: Number of bootstrap samples.

    Returns:
        [metrics, 2] lower and upper bound; NaN if fewer than two subjects have a value.
    """
    _, owner = np.unique(np.asarray(subjects, dtype=str), return_inverse=True)
    exists = ~np.isnan(values)
    intervals = np.full((values.shape[1], 2), np.nan)
    alike: dict[bytes, list[int]] = defaultdict(list)  # columns defined for the same images share the draws
    for column in range(values.shape[1]):
        alike[exists[:, column].tobytes()].append(column)
    for columns in alike.values():
        kept = exists[:, columns[0]]
        _, subject = np.unique(owner[kept], return_inverse=True)
        n_subjects = int(subject.max(initial=-1)) + 1
        if n_subjects < 2:
            continue
        sums = np.zeros((n_subjects, len(columns)))
        np.add.at(sums, subject, values[np.ix_(kept, columns)])
        means = _drawn_means(sums, np.bincount(subject), draws)
        tail = (100 - _LEVEL) / 2
        intervals[columns] = np.percentile(means, [tail, 100 - tail], axis=0).T
    return intervals


def _drawn_means(sums: np.ndarray, counts: np.ndarray, draws: int) -> np.ndarray:
    """[draws, metrics] bootstrap means, from ``sums`` [subjects, metrics] over ``counts`` [subjects] images."""
    rng = np.random.default_rng(_SEED)
    n = len(counts)
    means = []
    for start in range(0, draws, max(1, _CHUNK // n)):
        size = min(max(1, _CHUNK // n), draws - start)
        drawn = rng.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)
        means.append((times @ sums) / (times @ counts)[:, None])
    return np.concatenate(means)
