"""Split a data set into training, validation and test files, never with one subject on two sides.

The random choices are those of ivadomed 2.9.10 (scikit-learn's ``train_test_split``), so that a seed gives
the split it gave there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from ivadomed.errors import DataError
from ivadomed.loader.split.file import SIDES, read_split, write_split
from ivadomed.loader.split.folds import kfold_split
from ivadomed.loader.split.groups import (
    Split,
    check_leak,
    column,
    files_of,
    log_fractions,
    select_subjects,
    some,
    splittable,
    values_of,
    with_text,
)

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


def get_subdatasets_subject_files_list(
    split_params: Mapping[str, Any],
    df: pd.DataFrame,
    path_output: str | PathLike[str],
    subject_selection: Mapping[str, Sequence[Any]] | None = None,
) -> Split:
    """File names of the three sides, from ``fname_split`` or newly drawn.

    Args:
        split_params: ``split_dataset`` of the configuration.
        df: Table of ``BidsDataframe``.
        path_output: Folder that a new split is saved in.
        subject_selection: See ``select_subjects``; not applied to a split from a file.

    Raises:
        DataError: The split file does not fit the data, or a subject is on two sides.
    """
    if split_params.get("fname_split"):
        return _from_file(split_params["fname_split"], df)
    method, seed = split_params["split_method"], split_params["random_seed"]
    testing = split_params.get("data_testing") or {}
    balance = split_params.get("balance")
    if split_params.get("n_folds"):
        selected = select_subjects(df, subject_selection, seed)
        fold = split_params.get("fold") or 0
        split = kfold_split(selected, method, testing, seed, split_params["n_folds"], fold, balance)
        write_split(path_output, dict(zip(SIDES, split, strict=True)))
        return split
    train_frac, test_frac = split_params.get("train_fraction", 0.6), split_params.get("test_fraction", 0.2)
    return get_new_subject_file_split(
        df, method, testing, seed, train_frac, test_frac, path_output, balance, subject_selection
    )


def get_new_subject_file_split(
    df: pd.DataFrame,
    split_method: str,
    data_testing: Mapping[str, Any],
    random_seed: int,
    train_frac: float,
    test_frac: float,
    path_output: str | PathLike[str],
    balance: str | None,
    subject_selection: Mapping[str, Sequence[Any]] | None = None,
) -> Split:
    """Draw a split and save it as ``split_datasets.joblib`` and ``split_datasets.json``.

    Args:
        df: Table of ``BidsDataframe``.
        split_method: Column whose values stay together, e.g. "participant_id", "institution_id".
        data_testing: {"data_type": column or None, "data_value": values that go to the test side}.
        random_seed: Seed of all random choices.
        train_frac: Share of the values of ``split_method`` for training.
        test_frac: Share for testing, when ``data_testing`` names no values.
        path_output: Folder of the run.
        balance: Column with categories; each is split by itself, so that all are spread evenly. A value of
            ``split_method`` with several categories counts to that of its first row.
        subject_selection: See ``select_subjects``.

    Raises:
        DataError: A column or value is missing, too few subjects, or a subject is on two sides.
    """
    df = select_subjects(df, subject_selection, random_seed)
    sides = split_dataset(df, split_method, data_testing, random_seed, train_frac, test_frac, balance)
    write_split(path_output, dict(zip(SIDES, sides, strict=True)))
    return sides


def split_dataset(
    df: pd.DataFrame,
    split_method: str,
    data_testing: Mapping[str, Any],
    random_seed: int,
    train_frac: float = 0.8,
    test_frac: float = 0.1,
    balance: str | None = None,
) -> Split:
    """Split the files of a table without saving; see ``get_new_subject_file_split``.

    Rows without a value of ``split_method`` are left out.
    """
    df = with_text(df, split_method, data_testing.get("data_type"), balance)
    fractions = (train_frac, test_frac)
    if balance:
        sides = _split_balanced(df, split_method, data_testing, random_seed, fractions, balance)
    else:
        sides = _split(*splittable(df, split_method, data_testing), split_method, random_seed, fractions)
    check_leak(df, sides)
    log_fractions(df, split_method, sides)
    return sides


def _split_balanced(
    df: pd.DataFrame,
    split_method: str,
    data_testing: Mapping[str, Any],
    seed: int,
    fractions: tuple[float, float],
    balance: str,
) -> Split:
    df, data_type, values = splittable(df, split_method, data_testing)
    column(df, balance, "split_dataset.balance")
    # A value that stays on one side has one category, even where its rows differ: that of its first row.
    category = df.groupby(split_method, sort=False)[balance].transform("first")
    if category.isna().any():
        left_out = some(files_of(df[category.isna()]))
        logger.warning("split_dataset.balance: left out, without a value of %s: %s", balance, left_out)
    sides: Split = ([], [], [])
    for _, part in df.groupby(category, sort=True):
        if part[split_method].nunique() == 1 and not values:
            drawn: Split = (files_of(part), [], [])  # too few to spread: better to learn from it
        else:
            drawn = _split(part, data_type, values, split_method, seed, fractions, clip=True)
        for side, names in zip(sides, drawn, strict=True):
            side.extend(names)
    return sides


def _split(
    df: pd.DataFrame,
    data_type: str,
    values: set[str],
    split_method: str,
    seed: int,
    fractions: tuple[float, float],
    clip: bool = False,
) -> Split:
    """Split by fixed test ``values``, or by drawn ones if there are none.

    With ``clip``, a test set that leaves fewer groups than wanted for training is no error.
    """
    train_frac, test_frac = fractions
    if not values and test_frac > 0:
        present = values_of(df[data_type])
        values = set(_draw(present, max(test_frac, 1 / len(present)), seed)[0])
    is_test = df[data_type].astype(str).isin(values)
    groups = df[split_method].astype(str)
    # In order of appearance, not sorted: 2.9.10 drew from this order.
    rest, total = groups[~is_test].unique().tolist(), groups.nunique()
    if not clip and not rest:
        raise DataError(
            f"split_dataset: all values of {split_method} ({total}) are in the test set, none is left to train on; "
            "add data, or change data_testing or test_fraction"
        )
    if not clip and train_frac * total > len(rest) * (1 + 1e-9):
        raise DataError(
            f"split_dataset: train_fraction {train_frac} of {total} values of {split_method} is more than "
            f"the {len(rest)} left beside the test set; lower train_fraction or test_fraction"
        )
    train, valid = _draw(rest, train_frac * total / len(rest), seed) if rest else ([], [])
    is_train, is_valid = ~is_test & groups.isin(train), ~is_test & groups.isin(valid)
    return files_of(df[is_train]), files_of(df[is_valid]), files_of(df[is_test])


def _draw(values: list[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Draw a share of ``values``, at least one; what is left may be empty."""
    from sklearn.model_selection import train_test_split  # heavy, and only a new split needs it

    count = max(1, int(fraction * len(values)))
    if count >= len(values):
        return values, []
    drawn, left = train_test_split(values, train_size=count, random_state=seed)
    return drawn, left


def _from_file(path: str | PathLike[str], df: pd.DataFrame) -> Split:
    """Sides of a saved split that are in the data set; a subject's name, as in old files, means its files."""
    saved = read_split(path)
    images = df[df["participant_id"].notna()]
    known = set(images["filename"])
    of_subject = images.groupby("participant_id")["filename"].unique()
    split: Split = ([], [], [])
    missing: list[str] = []
    for side, files in zip(SIDES, split, strict=True):
        for name in saved[side]:
            if name in known:
                files.append(name)
            elif name in of_subject:
                files.extend(of_subject[name])
            else:
                missing.append(name)
    if missing:
        logger.warning("%s: %d of its files are not used here: %s", path, len(missing), some(missing))
    if not any(split):
        raise DataError(f"split_dataset.fname_split: {path} names no file of this data set")
    check_leak(df, split)
    log_fractions(df, "participant_id", split)
    return split
