"""Metrics of a cross-validation, per fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ivadomed.evaluation.summary import in_words, split_column
from ivadomed.images.io import split_extension

FOLDER = "cross_validation"
"""Folder of the predictions on the training set and their evaluation, inside the folder of a run of all folds."""

_METRICS = ("dice", "lf1")


def fold_means(table: pd.DataFrame, splits: Sequence[Mapping[str, Sequence[str]]]) -> pd.DataFrame:
    """Mean of the main metrics over the validation images of each fold; undefined values are left out.

    Args:
        table: One row per image, see ``evaluate_predictions``.
        splits: Split of each fold; "valid" lists the file names of the images that its model did not see.

    Returns:
        One row per fold that has an image in the table (index ``fold``): ``images``, and a column such as
        ``dice_class0`` for each class.
    """
    fold_of = {
        Path(split_extension(name)[0]).name: fold
        for fold, split in enumerate(splits)
        for name in split["valid"]
    }
    folds = pd.Series(table.index.map(fold_of), index=table.index, name="fold")
    columns = [name for metric in _METRICS for name in table.columns if split_column(name)[0] == metric]
    means = table[columns].groupby(folds).mean().dropna(axis=1, how="all")
    means.insert(0, "images", folds.value_counts().sort_index().to_numpy())
    means.index = means.index.astype(int)
    return means


def folds_text(means: pd.DataFrame, class_names: Sequence[str] = ()) -> str:
    """Format the fold means for the terminal, one line per fold, with class names."""
    named = means.rename(columns=lambda column: in_words(column, class_names))
    return named.reset_index().to_string(index=False, float_format="{:.3f}".format)
