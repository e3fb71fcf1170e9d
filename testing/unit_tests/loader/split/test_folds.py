"""Cross-validation: each subject validated once, parts alike in size and classes, and the lists of splits in files."""

import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.config.schema.loader import SplitDataset
from ivadomed.errors import DataError
from ivadomed.loader.split.draw import split_files
from ivadomed.loader.split.file import count_splits
from ivadomed.loader.split.folds import cross_validation, spread


def frame(n: int, **columns) -> pd.DataFrame:
    subjects = [f"sub-{i:02d}" for i in range(n)]
    df = pd.DataFrame({"participant_id": subjects, **columns})
    return pd.concat(
        [df.assign(filename=[f"{name}_{c}.nii.gz" for name in subjects]) for c in ("T1w", "T2w")],
        ignore_index=True,
    )


def subjects(names) -> set[str]:
    return {name.split("_")[0] for name in names}


def nothing(names):
    return {}


def parts(df, classes_of=nothing, **given):
    return cross_validation(df, SplitDataset(fold="all", **given), classes_of)


many_classes = st.lists(st.frozensets(st.integers(0, 3)), min_size=5, max_size=40)


@settings(max_examples=60)
@given(
    classes=many_classes, n_folds=st.integers(2, 5), seed=st.integers(0, 99), test=st.sampled_from([0, 0.2])
)
def test_each_subject_is_validated_once_or_tested(classes, n_folds, seed, test):
    df = frame(len(classes))
    of_subject = dict(zip(df["participant_id"], classes, strict=False))

    def classes_of(names):
        return {name: of_subject[name.split("_")[0]] for name in names}

    given_ = {"n_folds": n_folds, "random_seed": seed, "test_fraction": test}
    if len(classes) - max(1, int(test * len(classes))) * (test > 0) < n_folds:
        with pytest.raises(DataError, match="n_folds"):
            parts(df, classes_of, **given_)
        return
    splits = parts(df, classes_of, **given_)
    assert splits == parts(df, classes_of, **given_)
    tested = {tuple(test) for *_, test in splits}
    assert len(tested) == 1
    assert Counter(name for _, valid, _ in splits for name in valid) + Counter(*tested) == Counter(
        df["filename"]
    )
    for train, valid, _ in splits:
        assert sorted(train) == sorted({name for _, other, _ in splits for name in other} - set(valid))
    sizes = [len(subjects(valid)) for _, valid, _ in splits]
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=200)
@given(classes=many_classes, n_parts=st.integers(3, 5), seed=st.integers(0, 99))
def test_a_class_of_as_many_subjects_as_parts_is_in_every_training_set(classes, n_parts, seed):
    dealt = spread(classes, n_parts, seed)
    counts = Counter(k for own in classes for k in own)
    rarest = min(counts.values(), default=0)
    for k, count in counts.items():
        within = [
            sum(k in own for own, p in zip(classes, dealt, strict=True) if p == part)
            for part in range(n_parts)
        ]
        assert count < n_parts or max(within) < count
        if len(counts) == 1 or (count == rarest and list(counts.values()).count(rarest) == 1):
            assert max(within) - min(within) <= 1  # nothing stands in its way


def test_a_rare_class_is_in_each_part_whatever_the_seed():
    classes = [{0, 1} if i < 5 else {0} for i in range(50)]
    for seed in range(20):
        dealt = spread(classes, 5, seed)
        assert sorted(dealt[:5]) == list(range(5))
        assert np.bincount(dealt).tolist() == [10] * 5


def test_patterns_of_classes_do_not_hide_a_class():
    """Sorted by pattern and dealt out like cards, all subjects with class 1 would be in one of two parts."""
    dealt = spread([set(), {1}, {0}, {0, 1}], 2, 0)
    for k in (0, 1):
        assert (
            len({part for own, part in zip([set(), {1}, {0}, {0, 1}], dealt, strict=True) if k in own}) == 2
        )


@settings(max_examples=40)
@given(values=st.lists(st.sampled_from("abc"), min_size=12, max_size=30), seed=st.integers(0, 99))
def test_categories_are_spread_evenly(values, seed):
    df = frame(len(values), site=values)
    splits = parts(df, n_folds=4, balance="site", random_seed=seed, test_fraction=0)
    site = dict(zip(df["participant_id"], df["site"], strict=True))
    for value in set(values):
        counts = [sum(site[name] == value for name in subjects(valid)) for _, valid, _ in splits]
        assert max(counts) - min(counts) <= 1


def test_the_test_set_is_that_of_a_split_without_folds(tmp_path):
    df = frame(20, site=list("abcd") * 5)
    for options in ({}, {"balance": "site"}, {"data_testing": {"data_type": "site", "data_value": ["b"]}}):
        alone = split_files(SplitDataset(**options), df, tmp_path)
        assert sorted(parts(df, n_folds=3, **options)[0][2]) == sorted(alone[2])


def test_groups_stay_together():
    df = frame(12, site=list("abcdef") * 2)
    for _, valid, _ in parts(df, n_folds=3, split_method="site", test_fraction=0):
        sites = set(df.loc[df["filename"].isin(valid), "site"])
        assert set(df.loc[df["site"].isin(sites), "filename"]) == set(valid)


def test_a_list_of_splits_is_read_back_fold_by_fold(tmp_path):
    df, file = frame(10), tmp_path / "splits.json"
    splits = parts(df, n_folds=5)
    file.write_text(json.dumps([dict(zip(("train", "valid", "test"), one, strict=True)) for one in splits]))
    assert count_splits(file) == 5
    for fold, one in enumerate(splits):
        assert split_files(SplitDataset(fname_split=str(file), fold=fold), df, tmp_path) == one


def test_one_split_is_no_cross_validation(tmp_path):
    file = tmp_path / "split.json"
    file.write_text(json.dumps({"train": [], "valid": [], "test": []}))
    with pytest.raises(DataError, match=re.escape(f"{file} holds one split")):
        count_splits(file)
    file.write_text(json.dumps([{"train": [], "val": []}] * 3))
    with pytest.raises(DataError, match=r"n_folds: 5, but .* has 3 folds"):
        count_splits(file, 5)
