"""Slice classification: the probability of each class in each slice, and its evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.inference.backends import refuse_not_finite
from ivadomed.inference.engine import Forward
from ivadomed.loader.samples import SampleDataset, in_order
from ivadomed.metrics import accuracy_score, precision_score, recall_score, specificity_score
from ivadomed.runtime.terminal import hidden_bar

SLICES = "classified_slices.csv"
"""Table of all slices, in the folder of a run."""

EVALUATION = "evaluation_classification.csv"
"""Table of the metrics, in ``results_eval``."""

ALL = "all images"
_COLUMNS = ("image_id", "slice", "row", "column", "class", "probability", "truth")


def classify(
    dataset: SampleDataset,
    forward: Forward,
    class_names: Sequence[str],
    batch_size: int,
) -> pd.DataFrame:
    """Classify the slices (or 2D patches) of a data set.

    Args:
        dataset: Samples; their targets, if any, are [K] of 0 and 1.
        forward: Function from a batch to probabilities [B, K].
        class_names: Suffix of each class.
        batch_size: Samples per call of ``forward``.

    Returns:
        One row per sample and class: ``image_id``, ``slice``, ``row`` and ``column`` (the first voxel of a patch),
        ``class``, ``probability``, and ``truth`` (NaN without labels).
    """
    rows: list[tuple[object, ...]] = []
    batches = in_order(dataset, batch_size)
    for batch in tqdm(batches, desc="Classification", unit="batch", leave=False, disable=hidden_bar()):
        predictions = forward(batch)
        refuse_not_finite(predictions, dataset.names_of(batch), "the network")
        probabilities = predictions.cpu().numpy()
        labelled = batch.target is not None and batch.target.shape[1] > 0
        truths = batch.target.numpy() if labelled else np.full(probabilities.shape, np.nan)
        for window, guess, truth in zip(batch.windows, probabilities, truths, strict=True):
            row, column, depth = window.start
            voxel = (dataset.cases[window.case].id, depth, row, column)
            rows += [
                (*voxel, name, float(p), float(t))
                for name, p, t in zip(class_names, guess, truth, strict=True)
            ]
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def read_slices(folder: Path) -> pd.DataFrame:
    """Read the table that ``--test`` wrote to the folder of a run.

    Raises:
        DataError: The table is missing, unreadable, or lacks a column.
    """
    path = folder / SLICES
    if not path.is_file():
        raise DataError(f"{path}: no classified slices of the test set; run --test first")
    try:
        table = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable table ({error}); run --test again") from error
    missing = set(_COLUMNS) - set(table.columns)
    if missing:
        raise DataError(f"{path}: has no column {', '.join(sorted(missing))}; run --test again")
    return table


def evaluate_slices(table: pd.DataFrame, threshold: float = 0.5) -> pd.DataFrame:
    """Compute the metrics of each image and, in the rows "all images", of all slices pooled.

    Args:
        table: See ``classify``, with truths.
        threshold: Smallest probability that counts as positive.

    Returns:
        One row per image and class: number of slices, number of positive slices, accuracy, precision, recall and
        specificity at the threshold, and area under the ROC curve. NaN where a metric is undefined.
    """
    groups = [(ALL, table), *table.groupby("image_id", sort=True)]
    return pd.DataFrame(
        {"image_id": name, "class": of_class, **_metrics(rows, threshold)}
        for name, group in groups
        for of_class, rows in group.groupby("class", sort=False)
    )


def _metrics(rows: pd.DataFrame, threshold: float) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score  # slow to import, for classifiers only

    truth, probability = rows["truth"].to_numpy(), rows["probability"].to_numpy()
    guess = (probability >= threshold).astype(float)
    both = 0 < truth.sum() < len(truth)
    return {
        "n_slices": len(rows),
        "n_positive": int(truth.sum()),
        "accuracy": accuracy_score(guess, truth, np.nan),
        "precision": precision_score(guess, truth, np.nan),
        "recall": recall_score(guess, truth, np.nan),
        "specificity": specificity_score(guess, truth, np.nan),
        "roc_auc": float(roc_auc_score(truth, probability)) if both else np.nan,
    }
