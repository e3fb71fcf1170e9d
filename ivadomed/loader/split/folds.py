"""Cross-validation: parts of equal size, grouped by subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.split.groups import (
    Split,
    check_leak,
    column,
    files_of,
    log_fractions,
    splittable,
    with_text,
)

if TYPE_CHECKING:
    import pandas as pd


def kfold_split(
    df: pd.DataFrame,
    split_method: str,
    data_testing: Mapping[str, Any],
    random_seed: int,
    n_folds: int,
    fold: int,
    balance: str | None = None,
) -> Split:
    """One of the ``n_folds`` splits of a cross-validation.

    With values in ``data_testing`` these are the test side of every fold, and part ``fold`` validates.
    Without, part ``fold`` tests and the next part validates: over all folds each subject is tested once.

    Args:
        df: Table of ``BidsDataframe``.
        split_method: Column whose values stay together.
        data_testing: {"data_type": column or None, "data_value": values}.
        random_seed: Seed; the same for all folds of one experiment.
        n_folds: Number of parts.
        fold: Which part, 0 .. n_folds - 1.
        balance: Column with categories to spread evenly over the parts (as in the first row of a group).

    Raises:
        ConfigError: ``fold`` or ``n_folds`` is out of range.
        DataError: There are fewer groups than folds, or a subject is on two sides.
    """
    df = with_text(df, split_method, data_testing.get("data_type"), balance)
    df, data_type, values = splittable(df, split_method, data_testing)
    least = 2 if values else 3
    if n_folds < least or not 0 <= fold < n_folds:
        raise ConfigError(
            f"split_dataset: fold {fold} of {n_folds}: expected n_folds >= {least}, 0 <= fold < n_folds"
        )
    is_test = df[data_type].astype(str).isin(values)
    parts = df[split_method].map(_parts(df[~is_test], split_method, n_folds, random_seed, balance))
    if values:
        is_valid = ~is_test & (parts == fold)
    else:
        is_test, is_valid = parts == fold, parts == (fold + 1) % n_folds
    sides = files_of(df[~is_test & ~is_valid]), files_of(df[is_valid]), files_of(df[is_test])
    check_leak(df, sides)
    log_fractions(df, split_method, sides)
    return sides


def _parts(
    df: pd.DataFrame, split_method: str, n_folds: int, seed: int, balance: str | None
) -> dict[Any, int]:
    """Part of each value, dealt out like cards: sizes differ by one at most, also within each category."""
    groups = df.drop_duplicates(split_method).sort_values(split_method)
    if len(groups) < n_folds:
        raise DataError(f"split_dataset.n_folds: {len(groups)} values of {split_method} for {n_folds} folds")
    order = np.random.default_rng(seed).permutation(len(groups))
    if balance:
        category = column(groups, balance, "split_dataset.balance").fillna("").to_numpy()
        order = order[np.argsort(category[order], kind="stable")]
    values = groups[split_method].to_numpy()[order]
    return {value: place % n_folds for place, value in enumerate(values)}
