"""Splits for cross-validating a run: drawn or read from a file, and kept in the folder of the run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.images.files import write_json
from ivadomed.images.labels import StoredLabel, open_label
from ivadomed.loader.build import list_cases
from ivadomed.loader.split.draw import Split, select_subjects, split_from_file
from ivadomed.loader.split.file import SIDES, SPLITS, count_splits
from ivadomed.loader.split.folds import cross_validation
from ivadomed.runtime.memory import available_cores
from ivadomed.runtime.terminal import hidden_bar

if TYPE_CHECKING:
    from ivadomed.config import RunConfig
    from ivadomed.loader.bids_dataframe import BidsDataframe
    from ivadomed.loader.cases.case import Case

log = logging.getLogger(__name__)


def draw_folds(config: RunConfig, bids_df: BidsDataframe) -> list[dict[str, list[str]]]:
    """File names of the sides "train", "valid" and "test" of each fold: drawn or from ``fname_split``.

    Raises:
        DataError: See ``cross_validation`` and ``split_from_file``; a fold has no subjects to train or
            validate on; a label cannot be read.
    """
    split = config.split_dataset
    if split.fname_split:
        path = split.fname_split
        splits = [
            split_from_file(path, bids_df.df, fold) for fold in range(count_splits(path, split.n_folds))
        ]
        _check_parts(splits, path)
    else:
        chosen = select_subjects(bids_df.df, config.loader_parameters.subject_selection, split.random_seed)
        splits = cross_validation(chosen, split, partial(classes_of_files, config, bids_df))
    return [dict(zip(SIDES, sides, strict=True)) for sides in splits]


def write_folds(folder: Path, splits: Sequence[dict[str, list[str]]]) -> Path:
    """Write the splits of all folds into the folder of a run; return the file."""
    write_json(folder / SPLITS, list(splits))
    return folder / SPLITS


def classes_of_files(config: RunConfig, bids_df: BidsDataframe, names: Sequence[str]) -> dict[str, Set[int]]:
    """Classes with a labelled voxel in any rater's label of each image, by file name.

    The labels are read because a file may be empty; a class without a file is absent.

    Raises:
        DataError: A label cannot be read or is invalid.
    """
    cases = list_cases(config, bids_df, names, "training").cases
    with ThreadPoolExecutor(available_cores()) as pool:
        found = tqdm(
            pool.map(_classes_of, cases),
            desc="Labels",
            total=len(cases),
            unit="image",
            leave=False,
            disable=hidden_bar(),
        )
        return {case.metadata["filename"]: classes for case, classes in zip(cases, found, strict=True)}


def _classes_of(case: Case) -> Set[int]:
    return frozenset(_labelled(case))


def _labelled(case: Case) -> Iterator[int]:
    stored: dict[Path, StoredLabel] = {}
    for k, raters in enumerate(case.targets):
        for label in raters or ():
            if label.path not in stored:
                stored[label.path] = open_label(label.path)
            if stored[label.path].holds(label.values):
                yield k
                break


def _check_parts(splits: Sequence[Split], path: str) -> None:
    """Refuse splits from a file that are not a cross-validation.

    Raises:
        DataError: A fold lacks a side, shares validation files with another one, or the test sets differ.
    """
    seen: set[str] = set()
    for fold, (train, valid, test) in enumerate(splits):
        if not train or not valid:
            side = "validate on" if train else "train on"
            raise DataError(
                f"split_dataset.fname_split: {path}: fold {fold} has no image of this data set to {side}"
            )
        if twice := seen.intersection(valid):
            raise DataError(
                f"split_dataset.fname_split: {path}: {min(twice)} is validated by more than one fold; expected each "
                "image once"
            )
        if set(test) != set(splits[0][2]):
            raise DataError(
                f"split_dataset.fname_split: {path}: fold {fold} tests other images than fold 0; expected the same "
                "test set for all folds"
            )
        seen.update(valid)
