"""Split a data set into training, validation and test files; no subject is on two sides.

Random choices follow ivadomed 2.9.10 (scikit-learn's ``train_test_split``), so a seed gives the same split as there.
"""

from __future__ import annotations

import logging
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.config.schema.loader import SplitDataset, SubjectSelection
from ivadomed.errors import ConfigError, DataError, some
from ivadomed.loader.bids.tables import column
from ivadomed.loader.layouts.layout import HELD_OUT
from ivadomed.loader.split.file import SIDES, read_split, write_split

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Split = tuple[list[str], list[str], list[str]]
"""File names for training, validation and testing."""

_ALL = SubjectSelection.model_construct()


def split_files(
    split: SplitDataset, df: pd.DataFrame, folder: str | PathLike[str], selection: SubjectSelection = _ALL
) -> Split:
    """File names of the three sides, from ``fname_split`` or newly drawn and saved.

    Args:
        split: Columns, fractions, seed, folds.
        df: Table of ``BidsDataframe``.
        folder: Folder in which a new split is saved, as ``split_datasets.joblib`` and ``split_datasets.json``.
        selection: Subjects to use; not applied to a split from a file.

    Raises:
        ConfigError: A fold is out of range, or all folds are requested.
        DataError: The split file does not fit the data, a column or value is missing, there are too few subjects, or
            a subject is on two sides.
    """
    if split.is_cross_validation:
        raise ConfigError('split_dataset.fold: "all" stands for several splits; give the number of a fold')
    if split.fname_split:
        return split_from_file(split.fname_split, df, int(split.fold))
    sides = draw(select_subjects(df, selection, split.random_seed), split)
    write_split(folder, dict(zip(SIDES, sides, strict=True)))
    return sides


def draw(df: pd.DataFrame, split: SplitDataset) -> Split:
    """Split the files of a table; rows without a value of ``split_method`` are left out."""
    rows, data_type, values = _usable(df, split)
    if split.n_folds:
        sides = _fold(rows, data_type, values, split)
    elif split.balance:
        sides = _balanced(rows, data_type, values, split)
    else:
        sides = _drawn(rows, data_type, values, split)
    check_leak(rows, sides)
    _log_fractions(rows, split.split_method, sides)
    return sides


def set_test_apart(df: pd.DataFrame, split: SplitDataset) -> tuple[pd.DataFrame, list[str]]:
    """Rows for training and validation, and the test files, the same as in `draw` without folds."""
    rows, data_type, values = _usable(df, split)
    chosen = _balanced if split.balance else partial(_drawn, clip=True)
    train, valid, test = chosen(rows, data_type, values, split)
    return rows[rows["filename"].isin([*train, *valid])], test


def _usable(df: pd.DataFrame, split: SplitDataset) -> tuple[pd.DataFrame, str, set[str]]:
    """Rows with a value of ``split_method``; the column that determines the test side and its values, if any."""
    # Columns from sidecars may hold numbers, lists, or both.
    named = (split.split_method, split.data_testing.data_type, split.balance)
    df = df.assign(**{name: df[name].map(str, na_action="ignore") for name in named if name and name in df})
    data_type, values = _test_values(df, split)
    return df[df[split.split_method].notna()], data_type, values


def select_subjects(df: pd.DataFrame, selection: SubjectSelection, random_seed: int) -> pd.DataFrame:
    """Keep ``n[i]`` random subjects whose column ``metadata[i]`` has ``value[i]``, for every i.

    Args:
        df: Table of ``BidsDataframe``.
        selection: Three lists of equal length; if they are empty, all subjects are kept.
        random_seed: Seed of the choice.

    Raises:
        ConfigError: The three lists differ in length.
        DataError: There are fewer subjects than requested.
    """
    where = "loader_parameters.subject_selection"
    if not len(selection.n) == len(selection.metadata) == len(selection.value):
        raise ConfigError(f"{where}: n, metadata and value must have the same length")
    if not selection.n:
        return df
    rng = np.random.default_rng(random_seed)
    chosen: set[str] = set()
    for count, name, value in zip(selection.n, selection.metadata, selection.value, strict=True):
        fitting = df[column(df, name, where).astype(str) == str(value)]
        subjects = sorted(fitting["participant_id"].dropna().unique())
        if count > len(subjects):
            raise DataError(
                f'{where}: {count} subjects with {name} "{value}" wanted, {len(subjects)} found; lower n'
            )
        chosen.update(subjects[index] for index in rng.permutation(len(subjects))[:count])
    return df[df["participant_id"].isin(chosen)]


def _test_values(df: pd.DataFrame, split: SplitDataset) -> tuple[str, set[str]]:
    """Column that determines the test side, and those of its requested values that occur.

    Raises:
        DataError: A column is missing, no row remains, or no file has one of the values.
    """
    method = split.split_method
    df = df[column(df, method, "split_dataset.split_method").notna()]
    if df.empty:
        raise DataError(f"split_dataset.split_method: no file has a value of {method}")
    asked = split.data_testing.data_type or split.data_testing.data_value
    if not asked and HELD_OUT in df and (held_out := _values_of(df[HELD_OUT])):
        logger.info("The images that the data set keeps apart (%s) are the test set", some(held_out))
        return HELD_OUT, set(held_out)
    data_type, wanted = (
        split.data_testing.data_type or method,
        set(map(str, split.data_testing.data_value or ())),
    )
    if data_type not in df and not wanted:
        logger.warning("split_dataset.data_testing: no column %s, %s is used", data_type, method)
        data_type = method
    present = _values_of(column(df, data_type, "split_dataset.data_testing:data_type"))
    for value in sorted(wanted.difference(present)):
        logger.warning("split_dataset.data_testing: no file has the %s %s", data_type, value)
    if wanted and wanted.isdisjoint(present):
        raise DataError(
            f"split_dataset.data_testing: no file has one of the {data_type} {sorted(wanted)}; "
            f"available: {some(present)}"
        )
    return data_type, wanted.intersection(present)


def _values_of(values: pd.Series) -> list[str]:
    """Distinct values as sorted strings."""
    return sorted(values.dropna().astype(str).unique().tolist())


def files_of(df: pd.DataFrame) -> list[str]:
    """Distinct file names of the rows."""
    return df["filename"].unique().tolist()


def _drawn(
    df: pd.DataFrame, data_type: str, values: set[str], split: SplitDataset, clip: bool = False
) -> Split:
    """Split by fixed test ``values``, or by randomly drawn ones if there are none.

    With ``clip``, a test set that leaves fewer groups than requested for training is not an error.
    """
    method, train_frac, test_frac = split.split_method, split.train_fraction, split.test_fraction
    if not values and test_frac > 0:
        present = _values_of(df[data_type])
        values = set(_share(present, max(test_frac, 1 / len(present)), split.random_seed)[0])
    is_test = df[data_type].astype(str).isin(values)
    groups = df[method].astype(str)
    # In order of appearance, not sorted, as in 2.9.10.
    rest, total = groups[~is_test].unique().tolist(), groups.nunique()
    if not clip and not rest:
        raise DataError(
            f"split_dataset: all values of {method} ({total}) are in the test set, none is left to train on; "
            "add data, or change data_testing or test_fraction"
        )
    if not clip and train_frac * total > len(rest) * (1 + 1e-9):
        raise DataError(
            f"split_dataset: train_fraction {train_frac} of {total} values of {method} exceeds "
            f"the {len(rest)} outside the test set; lower train_fraction or test_fraction"
        )
    train, valid = _share(rest, train_frac * total / len(rest), split.random_seed) if rest else ([], [])
    is_train, is_valid = ~is_test & groups.isin(train), ~is_test & groups.isin(valid)
    return files_of(df[is_train]), files_of(df[is_valid]), files_of(df[is_test])


def _share(values: list[str], fraction: float, seed: int) -> tuple[list[str], list[str]]:
    """Draw a fraction of ``values``, at least one; the remainder may be empty."""
    from sklearn.model_selection import train_test_split  # heavy, and needed only for a new split

    count = max(1, int(fraction * len(values)))
    if count >= len(values):
        return values, []
    drawn, left = train_test_split(values, train_size=count, random_state=seed)
    return drawn, left


def _balanced(df: pd.DataFrame, data_type: str, values: set[str], split: SplitDataset) -> Split:
    """Split each category of the column ``balance`` separately."""
    assert split.balance is not None
    column(df, split.balance, "split_dataset.balance")
    # A value must stay on one side, so its category is that of its first row even if rows differ.
    category = df.groupby(split.split_method, sort=False)[split.balance].transform("first")
    if category.isna().any():
        left_out = some(files_of(df[category.isna()]))
        logger.warning("split_dataset.balance: left out, without a value of %s: %s", split.balance, left_out)
    sides: Split = ([], [], [])
    for _, rows in df.groupby(category, sort=True):
        if rows[split.split_method].nunique() == 1 and not values:
            drawn: Split = (files_of(rows), [], [])  # too few to distribute: better used for training
        else:
            drawn = _drawn(rows, data_type, values, split, clip=True)
        for side, names in zip(sides, drawn, strict=True):
            side.extend(names)
    return sides


def _fold(df: pd.DataFrame, data_type: str, values: set[str], split: SplitDataset) -> Split:
    """One of the splits of a cross-validation.

    Fixed test ``values`` are the test side of every fold, and part ``fold`` is for validation. Without them,
    part ``fold`` is for testing and the next part for validation: over all folds, each subject is tested once.
    """
    method, n_folds, fold = split.split_method, split.n_folds or 0, int(split.fold)
    least = 2 if values else 3
    if n_folds < least or not 0 <= fold < n_folds:
        raise ConfigError(
            f"split_dataset: fold {fold} of {n_folds}: expected n_folds >= {least}, 0 <= fold < n_folds"
        )
    is_test = df[data_type].astype(str).isin(values)
    groups = groups_to_part(df[~is_test], split, n_folds)
    dealt = deal(categories_of(groups, split), n_folds, split.random_seed)
    parts = df[method].map(dict(zip(groups[method], dealt, strict=True)))
    if values:
        is_valid = ~is_test & (parts == fold)
    else:
        is_test, is_valid = parts == fold, parts == (fold + 1) % n_folds
    return files_of(df[~is_test & ~is_valid]), files_of(df[is_valid]), files_of(df[is_test])


def groups_to_part(df: pd.DataFrame, split: SplitDataset, n_folds: int) -> pd.DataFrame:
    """One row per value of ``split_method``.

    Raises:
        DataError: There are fewer values than folds.
    """
    method = split.split_method
    groups = df.drop_duplicates(method).sort_values(method)
    if len(groups) < n_folds:
        raise DataError(f"split_dataset.n_folds: {len(groups)} values of {method} for {n_folds} folds")
    return groups


def categories_of(groups: pd.DataFrame, split: SplitDataset) -> np.ndarray:
    """Category of each group in the column ``balance``; a single one without that column."""
    if not split.balance:
        return np.full(len(groups), "")
    return column(groups, split.balance, "split_dataset.balance").fillna("").to_numpy()


def deal(categories: np.ndarray, n_parts: int, seed: int) -> np.ndarray:
    """Part of each member, dealt out like cards.

    Sizes of parts differ by at most one, also within each category.
    """
    order = np.random.default_rng(seed).permutation(len(categories))
    order = order[np.argsort(categories[order], kind="stable")]
    parts = np.empty(len(order), int)
    parts[order] = np.arange(len(order)) % n_parts
    return parts


def split_from_file(path: str | PathLike[str], df: pd.DataFrame, fold: int) -> Split:
    """Files of a saved split that are in the data set.

    The name of a subject, as in old files, or of a session ("sub-01_ses-02") stands for its files. If the file
    has no test set, the images that the data set holds out are used.
    """
    saved = read_split(path, fold)
    images = df[df["participant_id"].notna()]
    known = set(images["filename"])
    of_subject = _files_of_subjects(images)
    if not saved["test"] and HELD_OUT in images:
        saved["test"] = files_of(images[images[HELD_OUT].notna()])
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
    _log_fractions(df, "participant_id", split)
    return split


def _files_of_subjects(images: pd.DataFrame) -> dict[str, list[str]]:
    """File names of each subject, "sub-01", and of each of its sessions, "sub-01_ses-02"."""
    found: dict[str, list[str]] = {}
    sessions = images["session"] if "session" in images else [None] * len(images)
    for subject, session, name in zip(images["participant_id"], sessions, images["filename"], strict=True):
        found.setdefault(subject, []).append(name)
        if isinstance(session, str):
            found.setdefault(f"{subject}_ses-{session}", []).append(name)
    return found


def check_leak(df: pd.DataFrame, split: Split) -> None:
    """Refuse a split that has files of one subject on two sides.

    Raises:
        DataError: Names the subjects.
    """
    subject: dict[str, Any] = {}
    if "participant_id" in df:
        subject = dict(zip(df["filename"], df["participant_id"], strict=True))
    train, valid, test = ({str(subject.get(name, name.split("_")[0])) for name in side} for side in split)
    leaked = sorted((train & valid) | (train & test) | (valid & test))
    if leaked:
        raise DataError(
            f"Split: {some(leaked)} would be on more than one of the sides {', '.join(SIDES)}; "
            'use split_method "participant_id", or put all files of these subjects into data_testing'
        )


def _log_fractions(df: pd.DataFrame, split_method: str, split: Split) -> None:
    """Log the shares of the three sides, counted in values of ``split_method``."""
    counts = [df.loc[df["filename"].isin(side), split_method].nunique() for side in split]
    shares = [round(count / max(sum(counts), 1), 3) for count in counts]
    logger.info(
        "After splitting: train, validation and test fractions are respectively %s, %s and %s of %s.",
        *shares,
        split_method,
    )
    for side, count in zip(SIDES, counts, strict=True):
        if count == 0:
            logger.warning("The %s side of the split is empty", side)
