"""``ivadomed.loader`` of 2.x and of the manual of 2020: splits by subject, and tables of names."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.errors import ConfigError, DataError
from ivadomed.images.io import EXTENSIONS
from ivadomed.loader.bids.tables import read_tsv
from ivadomed.loader.conditions.film_encoder import contrast_ids
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.loader.split.draw import get_new_subject_file_split
from ivadomed.loader.split.file import SIDES, read_split
from ivadomed.loader.utils import TRANSFORM_PARAMS

EXT_LST = list(EXTENSIONS)
"""Extensions of image files that can be read."""

CONTRAST_CATEGORY = dict(contrast_ids())
"""Number of each contrast that FiLM knows, see ``config/contrast_dct.json``."""

GENERIC_CONTRAST = {
    "T1w": "T1w",
    "T2w": "T2w",
    "T2star": "T2star",
    "acq-MToff_MTS": "PD",
    "acq-MTon_MTS": "MT",
    "acq-T1w_MTS": "T1w",
}
"""Contrast that an image of a name shows."""

MANUFACTURER_CATEGORY = {"Siemens": 0, "Philips": 1, "GE": 2}
"""Number of each manufacturer, as 2.x had them; a ``FilmEncoder`` learns those of its training set."""

_METHODS = {
    "per_center": "institution_id",
    "per_patient": "participant_id",
    "per_person": "participant_id",
    "institution_id": "institution_id",
    "participant_id": "participant_id",
}


def clean_metadata(metadata_lst: Sequence[Any]) -> list[SampleMetadata]:
    """Copies of metadata without what the transforms drew.

    Args:
        metadata_lst: Metadata of the channels of a sample.
    """
    cleaned = []
    for record in metadata_lst:
        new = SampleMetadata(copy.copy(dict(record.items())))
        for key in TRANSFORM_PARAMS:
            new.metadata.pop(key, None)
        cleaned.append(new)
    return cleaned


def get_new_subject_split(
    path_folder: str | os.PathLike[str],
    center_test: Sequence[str],
    split_method: str,
    random_seed: int,
    train_frac: float,
    test_frac: float,
    log_directory: str | os.PathLike[str],
) -> tuple[list[str], list[str], list[str]]:
    """Draw a split of the subjects of a data set and save it as ``split_datasets.joblib``.

    Args:
        path_folder: The data set; its ``participants.tsv`` names the subjects and, in
            ``institution_id``, their centers.
        center_test: Centers that go to the test side; empty draws it too.
        split_method: "per_center" or "per_patient".
        random_seed: Seed of all random choices.
        train_frac: Share for training.
        test_frac: Share for testing.
        log_directory: Where the split is saved.

    Returns:
        Training, validation and test subjects.

    Raises:
        ConfigError: There is no such method.
        DataError: There is no usable table, or there are too few subjects.
    """
    if split_method not in _METHODS:
        raise ConfigError(f"split_method: {split_method!r}; expected per_center or per_patient")
    rows = read_tsv(Path(path_folder) / "participants.tsv", "participant_id")
    df = pd.DataFrame(rows)
    df["filename"] = df["participant_id"]
    testing = {"data_type": "institution_id" if center_test else None, "data_value": list(center_test)}
    training, validation, test = get_new_subject_file_split(
        df, _METHODS[split_method], testing, random_seed, train_frac, test_frac, log_directory, None
    )
    return list(training), list(validation), list(test)


def get_subdatasets_subjects_list(
    split_params: Mapping[str, Any], bids_path: str | os.PathLike[str], log_directory: str | os.PathLike[str]
) -> tuple[list[str], list[str], list[str]]:
    """Subjects of the three sides, from ``fname_split`` or newly drawn.

    Args:
        split_params: ``split_dataset`` as the manual of 2020 has it: ``fname_split``, or ``random_seed``, ``method``,
            ``center_test``, ``train_fraction`` and ``test_fraction``.
        bids_path: The data set.
        log_directory: Where a new split is saved.

    Returns:
        Training, validation and test subjects.

    Raises:
        DataError: The split file cannot be read, or there are too few subjects.
    """
    if split_params.get("fname_split"):
        saved = read_split(split_params["fname_split"])
        training, validation, test = (saved[side] for side in SIDES)
        return training, validation, test
    missing = [key for key in ("random_seed", "train_fraction", "test_fraction") if key not in split_params]
    if missing:
        raise DataError(f"split_dataset: has no {', '.join(missing)}; add it, or fname_split")
    return get_new_subject_split(
        bids_path,
        split_params.get("center_test") or [],
        split_params.get("method") or split_params.get("split_method") or "per_patient",
        split_params["random_seed"],
        split_params["train_fraction"],
        split_params["test_fraction"],
        log_directory,
    )
