"""What a split is made of: the column whose values stay together, the subjects taken, the leak check."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.split.file import SIDES

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Split = tuple[list[str], list[str], list[str]]
"""File names for training, validation and testing."""


def select_subjects(
    df: pd.DataFrame, subject_selection: Mapping[str, Sequence[Any]] | None, random_seed: int
) -> pd.DataFrame:
    """Keep ``n[i]`` random subjects whose column ``metadata[i]`` has ``value[i]``, for every i.

    Args:
        df: Table of ``BidsDataframe``.
        subject_selection: {"n": [...], "metadata": [...], "value": [...]} of equal lengths; all subjects
            stay if they are empty.
        random_seed: Seed of the choice.

    Raises:
        ConfigError: The three lists differ in length.
        DataError: There are fewer subjects than asked for.
    """
    given = subject_selection or {}
    counts, columns, values = (list(given.get(key) or ()) for key in ("n", "metadata", "value"))
    where = "loader_parameters.subject_selection"
    if not len(counts) == len(columns) == len(values):
        raise ConfigError(f"{where}: n, metadata and value must have the same length")
    if not counts:
        return df
    rng = np.random.default_rng(random_seed)
    chosen: set[str] = set()
    for count, name, value in zip(counts, columns, values, strict=True):
        fitting = df[column(df, name, where).astype(str) == str(value)]
        subjects = sorted(fitting["participant_id"].dropna().unique())
        if count > len(subjects):
            raise DataError(
                f'{where}: {count} subjects with {name} "{value}" wanted, {len(subjects)} found; lower n'
            )
        chosen.update(subjects[place] for place in rng.permutation(len(subjects))[:count])
    return df[df["participant_id"].isin(chosen)]


def with_text(df: pd.DataFrame, *names: str | None) -> pd.DataFrame:
    """The table with the named columns as text: those of sidecars may hold numbers, lists, or both."""
    texts = {name: df[name].map(str, na_action="ignore") for name in names if name is not None and name in df}
    return df.assign(**texts)


def splittable(
    df: pd.DataFrame, split_method: str, data_testing: Mapping[str, Any]
) -> tuple[pd.DataFrame, str, set[str]]:
    """Rows with a value of ``split_method``, the column that chooses the test side, its wanted values.

    Raises:
        DataError: A column is missing, no row is left, or no file has one of the values.
    """
    df = df[column(df, split_method, "split_dataset.split_method").notna()]
    if df.empty:
        raise DataError(f"split_dataset.split_method: no file has a value of {split_method}")
    data_type, wanted = data_testing.get("data_type") or split_method, data_testing.get("data_value") or []
    if data_type not in df and not wanted:
        logger.warning("split_dataset.data_testing: no column %s, %s is used", data_type, split_method)
        data_type = split_method
    column(df, data_type, "split_dataset.data_testing:data_type")
    return df, data_type, _present(df, data_type, set(map(str, wanted)))


def values_of(values: pd.Series) -> list[str]:
    """Distinct values as sorted strings."""
    return sorted(values.dropna().astype(str).unique().tolist())


def column(df: pd.DataFrame, name: str, where: str) -> pd.Series:
    """A column of the table; ``where`` is the key of the configuration that names it.

    Raises:
        DataError: There is no such column.
    """
    if name not in df:
        near = difflib.get_close_matches(name, map(str, df.columns), 1)
        hint = f', did you mean "{near[0]}"?' if near else "."
        # Those of the tables come last, behind those of file names and sidecars.
        columns = some(map(str, reversed(df.columns)), 12)
        raise DataError(f'{where}: the data set has no column "{name}"{hint} Columns: {columns}')
    return df[name]


def files_of(df: pd.DataFrame) -> list[str]:
    """File names of the rows, each once."""
    return df["filename"].unique().tolist()


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


def log_fractions(df: pd.DataFrame, split_method: str, split: Split) -> None:
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


def some(names: Iterable[str], limit: int = 5, separator: str = ", ") -> str:
    """The first names, and how many there are besides."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return separator.join(names[:limit]) + more


def _present(df: pd.DataFrame, name: str, wanted: set[str]) -> set[str]:
    present = values_of(df[name])
    for value in sorted(wanted.difference(present)):
        logger.warning("split_dataset.data_testing: no file has the %s %s", name, value)
    if wanted and wanted.isdisjoint(present):
        raise DataError(
            f"split_dataset.data_testing: no file has one of the {name} {sorted(wanted)}; "
            f"there are {some(present)}"
        )
    return wanted.intersection(present)
