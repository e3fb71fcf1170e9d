"""Splits of nnU-Net, and images that a data set keeps apart for testing."""

import json

import pandas as pd
import pytest

from ivadomed.config.schema.loader import SplitDataset
from ivadomed.errors import DataError
from ivadomed.loader.split.draw import split_files
from ivadomed.loader.split.file import read_split

FOLDS = [
    {"train": ["a_1", "a_2"], "val": ["sub-b_ses-1"]},
    {"train": ["a_1"], "val": ["a_2", "gone"]},
]


@pytest.fixture
def splits(tmp_path):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(FOLDS))
    return path


def frame(held_out=()):
    rows = [
        ("sub-a1", None),
        ("sub-a2", None),
        ("sub-b", "1"),
        ("sub-b", "2"),
        *((name, None) for name in held_out),
    ]
    names = [
        f"{subject}{f'_ses-{session}' if session else ''}_{contrast}.nii.gz"
        for subject, session in rows
        for contrast in ("T1w", "T2w")
    ]
    twice = [row for row in rows for _ in range(2)]
    df = pd.DataFrame(
        {"filename": names, "participant_id": [s for s, _ in twice], "session": [n for _, n in twice]}
    )
    if held_out:
        df["held_out"] = ["imagesTs" if subject in held_out else None for subject, _ in twice]
    return df


def files(*cases):
    return [f"{case}_{contrast}.nii.gz" for case in cases for contrast in ("T1w", "T2w")]


def test_a_fold_names_the_files_of_its_cases(splits, tmp_path):
    train, valid, test = split_files(SplitDataset(fname_split=str(splits)), frame(), tmp_path)
    assert (train, valid, test) == (files("sub-a1", "sub-a2"), files("sub-b_ses-1"), [])
    train, valid, test = split_files(SplitDataset(fname_split=str(splits), fold=1), frame(), tmp_path)
    assert (train, valid) == (files("sub-a1"), files("sub-a2"))


def test_what_is_kept_apart_is_tested(splits, tmp_path):
    data = frame(held_out=["sub-t"])
    assert split_files(SplitDataset(fname_split=str(splits)), data, tmp_path)[2] == files("sub-t")
    drawn = split_files(SplitDataset(train_fraction=0.5), data, tmp_path)
    assert drawn[2] == files("sub-t")
    assert sorted(drawn[0] + drawn[1]) == sorted(files("sub-a1", "sub-a2", "sub-b_ses-1", "sub-b_ses-2"))
    folds = [split_files(SplitDataset(n_folds=2, fold=fold), data, tmp_path) for fold in range(2)]
    assert [test for *_, test in folds] == [files("sub-t")] * 2


def test_values_that_the_configuration_names_go_before(tmp_path):
    split = SplitDataset(data_testing={"data_type": "participant_id", "data_value": ["sub-a1"]})
    assert split_files(split, frame(held_out=["sub-t"]), tmp_path)[2] == files("sub-a1")


def test_a_fold_that_is_not_there_and_another_list_are_refused(splits, tmp_path):
    with pytest.raises(
        DataError, match=r"split_dataset\.fold: .*splits_final\.json has the folds 0 to 1, but no 2"
    ):
        read_split(splits, 2)
    for content in ([["a"]], [{"train": ["a"]}], [{"train": "a", "val": []}]):
        splits.write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"fname_split: .*splits_final\.json.* must"):
            read_split(splits)
