"""Splits: no subject on two sides, balance, folds, saved files, and files that are not trusted."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from ivadomed.compat.loader import (
    get_new_subject_file_split,
    get_subdatasets_subject_files_list,
    split_dataset,
)
from ivadomed.config.schema.loader import SplitDataset, SubjectSelection
from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.split.draw import (
    draw,
    select_subjects,
)
from ivadomed.loader.split.file import read_split, write_split

ANY: dict[str, Any] = {"data_type": None, "data_value": []}


def table(n=30, contrasts=("T1w", "T2w"), **columns):
    subjects = [f"sub-{i:02d}" for i in range(n)]
    rows = {name: [values[i % len(values)] for i in range(n)] for name, values in columns.items()}
    df = pd.DataFrame({"participant_id": subjects, **rows})
    parts = [df.assign(filename=df["participant_id"] + f"_{contrast}.nii.gz") for contrast in contrasts]
    labels = pd.DataFrame({"filename": [f"{subject}_T1w_seg-manual.nii.gz" for subject in subjects]})
    return pd.concat([*parts, labels], ignore_index=True)


def params(**others):
    return {
        "fname_split": None,
        "random_seed": 6,
        "split_method": "participant_id",
        "data_testing": ANY,
        "balance": None,
        "train_fraction": 0.6,
        "test_fraction": 0.2,
    } | others


def subjects(side):
    return {name.split("_")[0] for name in side}


def assert_disjoint(sides, n=None):
    sets = [subjects(side) for side in sides]
    assert sum(map(len, sets)) == len(set().union(*sets))
    if n is not None:
        assert len(set().union(*sets)) == n


def test_choices_are_those_of_scikit_learn():
    df = table(30, ["T1w"])
    names = [f"sub-{i:02d}" for i in range(30)]
    test, rest = train_test_split(names, train_size=0.25, random_state=1)
    rest = [name for name in names if name in rest]
    train, valid = train_test_split(rest, train_size=15, random_state=1)
    sides = split_dataset(df, "participant_id", ANY, 1, 0.5, 0.25)
    assert [subjects(side) for side in sides] == [set(train), set(valid), set(test)]


def test_fractions_are_logged_as_in_the_tutorial(caplog, tmp_path):
    caplog.set_level(logging.INFO)
    get_subdatasets_subject_files_list(params(), table(10), tmp_path)
    line = "train, validation and test fractions are respectively 0.6, 0.2 and 0.2 of participant_id."
    assert f"After splitting: {line}" in caplog.text


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(4, 40),
    seed=st.integers(0, 2**31 - 1),
    train=st.floats(0.1, 0.6),
    test=st.floats(0, 0.3),
    method=st.sampled_from(["participant_id", "site"]),
    sites=st.lists(st.sampled_from("abcdef"), min_size=4, max_size=40, unique_by=None),
)
def test_no_subject_is_on_two_sides(n, seed, train, test, method, sites):
    df = table(n, site=sites)
    try:
        sides = split_dataset(df, method, ANY, seed, train, test)
    except DataError as error:
        if not re.search("lower train_fraction|none is left to train on", str(error)):
            raise
        return
    assert_disjoint(sides, n)
    assert sorted(name for side in sides for name in side) == sorted(
        df["filename"][df["participant_id"].notna()]
    )


@st.composite
def any_table(draw):
    """Images of subjects from several data sets: sites, groups and sessions vary, also within a subject."""
    n = draw(st.integers(2, 12))
    rows = []
    for i in range(n):
        site, group = draw(st.sampled_from("abc")), draw(st.sampled_from(["hc", "ms", None]))
        for k in range(draw(st.integers(1, 3))):
            moved = draw(st.integers(0, 9)) == 0  # some subjects were scanned at two sites
            rows.append((f"sub-{i:02d}", f"sub-{i:02d}_run-{k}_T1w.nii.gz", "d" if moved else site, group))
    return pd.DataFrame(draw(st.permutations(rows)), columns=["participant_id", "filename", "site", "group"])


@settings(deadline=None, max_examples=150)
@given(
    df=any_table(),
    method=st.sampled_from(["participant_id", "site"]),
    balance=st.sampled_from([None, "group", "site"]),
    testing=st.sampled_from([[], ["a"], ["a", "d"]]),
    folds=st.sampled_from([None, 2, 3, 4]),
    fractions=st.sampled_from([(0.5, 0.25), (0.6, 0.2), (0.4, 0.0)]),
    selected=st.sampled_from([[], [2]]),
    seed=st.integers(0, 99),
)
def test_no_table_and_no_options_give_a_leak(
    tmp_path_factory, df, method, balance, testing, folds, fractions, selected, seed
):
    wanted = params(
        split_method=method,
        balance=balance,
        data_testing={"data_type": "site" if testing else None, "data_value": testing},
        random_seed=seed,
        train_fraction=fractions[0],
        test_fraction=fractions[1],
        n_folds=folds,
        fold=1,
    )
    selection = {"n": selected, "metadata": ["site"] * len(selected), "value": ["b"] * len(selected)}
    folder = tmp_path_factory.getbasetemp()
    try:
        sides = get_subdatasets_subject_files_list(wanted, df, folder, selection)
    except (DataError, ConfigError) as error:
        # Never a leak of our own making: subjects keep together unless they were scanned at two sites.
        if "more than one of the sides" in str(error):
            assert method == "site" or balance == "site" or testing
            assert df.groupby("participant_id")["site"].nunique().max() > 1
        return
    assert_disjoint(sides)
    files = [name for side in sides for name in side]
    assert len(files) == len(set(files))
    assert set(files) <= set(df["filename"])
    of_site = dict(zip(df["filename"], df["site"], strict=True))
    if method == "site":
        assert sum(len({of_site[name] for name in side}) for side in sides) == len(
            {of_site[n] for n in files}
        )
    if testing:
        assert all((of_site[name] in testing) == (name in sides[2]) for name in files)


@pytest.mark.parametrize("n_folds", [None, 3])
@pytest.mark.parametrize(
    "values",
    [[[1, 2], [1, 3], [2], "x"], [1, 1.5, "1", "a"], [{"a": 1}, None, 3, 4]],
    ids=["lists", "mixed", "dicts"],
)
def test_values_of_sidecars_of_any_type_can_be_split_by(tmp_path, values, n_folds):
    df = table(12, site="abc", sidecar=values)
    df["sidecar"] = df["sidecar"].astype(object)
    wanted = params(split_method="sidecar", balance="site", n_folds=n_folds, train_fraction=0.4)
    sides = get_subdatasets_subject_files_list(wanted, df, tmp_path)
    assert_disjoint(sides)
    text = dict(zip(df["filename"], map(str, df["sidecar"]), strict=True))
    found = [{text[name] for name in side} for side in sides]
    assert sum(map(len, found)) == len(set().union(*found))
    assert sides[0]


def test_values_with_several_categories_stay_on_one_side(tmp_path):
    """Every site has patients and controls: whole sites are drawn all the same."""
    df = table(24, site="abcdef", disease=["hc"] * 12 + ["ms"] * 12)
    for seed in range(5):
        sides = get_new_subject_file_split(df, "site", ANY, seed, 0.5, 0.25, tmp_path, "disease")
        of_site = dict(zip(df["filename"], df["site"], strict=True))
        sites = [{of_site[name] for name in side} for side in sides]
        assert sum(map(len, sites)) == len(set().union(*sites)) == 6


def test_values_choose_the_test_side():
    df = table(30, site="abc")
    train, valid, test = split_dataset(
        df, "participant_id", {"data_type": "site", "data_value": ["c", "z"]}, 1, 0.5, 0.1
    )
    assert subjects(test) == {f"sub-{i:02d}" for i in range(2, 30, 3)}
    assert (len(subjects(train)), len(subjects(valid))) == (15, 5)


def test_numbers_and_strings_are_the_same_value():
    df = table(10, site=["1", "2"])
    _, _, test = split_dataset(df, "participant_id", {"data_type": "site", "data_value": [2]}, 1, 0.4, 0.1)
    assert len(subjects(test)) == 5


def test_leaks_are_refused():
    df = table(6)
    df["contrast"] = df["filename"].str.extract("_(T.w)")
    with pytest.raises(DataError, match="more than one of the sides"):
        split_dataset(df, "participant_id", {"data_type": "contrast", "data_value": ["T2w"]}, 1, 0.5, 0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sitte", ANY, 1, 0.5, 0.2), 'did you mean "site"'),
        (("participant_id", {"data_type": "side", "data_value": ["a"]}, 1, 0.5, 0.2), "data_type"),
        (("participant_id", {"data_type": "site", "data_value": ["q"]}, 1, 0.5, 0.2), "available: a, b, c"),
        (
            ("participant_id", {"data_type": "site", "data_value": ["a", "b"]}, 1, 0.9, 0.2),
            "lower train_fraction",
        ),
        (
            ("participant_id", {"data_type": "site", "data_value": ["a", "b", "c"]}, 1, 0.5, 0.2),
            "none is left to train on",
        ),
    ],
)
def test_wrong_parameters_are_named(arguments, message):
    with pytest.raises(DataError, match=message):
        split_dataset(table(30, site="abc"), *arguments)


def test_an_unknown_column_without_values_falls_back(caplog):
    df = table(10)
    wanted = split_dataset(df, "participant_id", ANY, 1, 0.5, 0.2)
    assert split_dataset(df, "participant_id", {"data_type": "site", "data_value": []}, 1, 0.5, 0.2) == wanted
    assert "site" in caplog.text


def test_categories_are_spread_evenly(tmp_path):
    df = table(40, disease=["hc", "hc", "hc", "ms"])
    sides = get_new_subject_file_split(df, "participant_id", ANY, 3, 0.6, 0.2, tmp_path, "disease")
    assert_disjoint(sides, 40)
    sick = {f"sub-{i:02d}" for i in range(3, 40, 4)}
    assert [len(subjects(side) & sick) for side in sides] == [6, 2, 2]
    assert [len(subjects(side) - sick) for side in sides] == [18, 6, 6]


def test_a_rare_category_does_not_stop_the_split(tmp_path):
    df = table(13, disease=["hc"] * 10 + ["ms"] * 2 + ["als"])
    sides = get_new_subject_file_split(df, "participant_id", ANY, 3, 0.6, 0.2, tmp_path, "disease")
    assert_disjoint(sides, 13)
    assert "sub-12" in subjects(sides[0])


@settings(deadline=None, max_examples=40)
@given(n=st.integers(5, 30), folds=st.integers(3, 5), seed=st.integers(0, 1000))
def test_folds_test_every_subject_once(n, folds, seed):
    df = table(n, disease=["hc", "hc", "ms"])
    splits = [
        draw(df, SplitDataset(random_seed=seed, n_folds=folds, fold=fold, balance="disease"))
        for fold in range(folds)
    ]
    for sides in splits:
        assert_disjoint(sides, n)
    tested = [subjects(test) for _, _, test in splits]
    assert sum(map(len, tested)) == n == len(set().union(*tested))
    assert max(map(len, tested)) - min(map(len, tested)) <= 1
    sick = [sum(int(name[4:]) % 3 == 2 for name in side) for side in tested]
    assert max(sick) - min(sick) <= 1


def test_folds_with_a_fixed_test_side(tmp_path):
    df = table(20, site="abcd")
    fixed = {"data_type": "site", "data_value": ["d"]}
    validated: set[str] = set()
    for fold in range(3):
        wanted = params(data_testing=fixed, n_folds=3, fold=fold)
        sides = get_subdatasets_subject_files_list(wanted, df, tmp_path)
        assert_disjoint(sides, 20)
        assert subjects(sides[2]) == {f"sub-{i:02d}" for i in range(3, 20, 4)}
        assert not validated & subjects(sides[1])
        validated |= subjects(sides[1])
        assert read_split(tmp_path / "split_datasets.json")["valid"] == sides[1]
    assert len(validated) == 15


@pytest.mark.parametrize(("n_folds", "fold"), [(2, 0), (5, 5), (5, -1)])
def test_folds_out_of_range(n_folds, fold):
    with pytest.raises(ConfigError, match=f"fold {fold} of {n_folds}"):
        draw(table(10), SplitDataset().model_copy(update={"n_folds": n_folds, "fold": fold}))


def selection(n, metadata, value):
    return SubjectSelection.model_construct(n=n, metadata=metadata, value=value)


def test_subject_selection():
    df = table(20, disease=["hc", "ms"], sex="MMF")
    chosen = select_subjects(df, selection([3, 2], ["disease", "sex"], ["ms", "F"]), 1)
    kept = sorted(subjects(chosen["filename"]))
    sick, female = [int(name[4:]) % 2 == 1 for name in kept], [int(name[4:]) % 3 == 2 for name in kept]
    assert sum(sick) >= 3
    assert sum(female) >= 2
    assert len(kept) <= 5
    assert select_subjects(df, selection([], [], []), 1) is df
    with pytest.raises(DataError, match=r"11 subjects .* 10 found"):
        select_subjects(df, selection([11], ["disease"], ["ms"]), 1)
    with pytest.raises(ConfigError, match="same length"):
        select_subjects(df, selection([1], [], []), 1)


def test_a_new_split_is_saved_and_read_again(tmp_path):
    df = table(10)
    sides = get_subdatasets_subject_files_list(params(), df, tmp_path)
    saved = dict(zip(("train", "valid", "test"), sides, strict=True))
    assert joblib.load(tmp_path / "split_datasets.joblib") == saved
    assert json.loads((tmp_path / "split_datasets.json").read_text()) == saved
    for name in ("split_datasets.joblib", "split_datasets.json"):
        again = params(fname_split=str(tmp_path / name), random_seed=99)
        assert get_subdatasets_subject_files_list(again, df, tmp_path / "other") == sides
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "split_datasets.joblib",
        "split_datasets.json",
    ]


def test_a_saved_split_is_fitted_to_the_data(tmp_path, caplog):
    split = {
        "train": ["sub-00"],
        "valid": ["sub-01_T1w.nii.gz"],
        "test": ["sub-99_T1w.nii.gz", "sub-02_T2w.nii.gz"],
    }
    write_split(tmp_path, split)
    wanted = params(fname_split=str(tmp_path / "split_datasets.json"))
    train, valid, test = get_subdatasets_subject_files_list(wanted, table(5), tmp_path)
    assert train == ["sub-00_T1w.nii.gz", "sub-00_T2w.nii.gz"]
    assert (valid, test) == (["sub-01_T1w.nii.gz"], ["sub-02_T2w.nii.gz"])
    assert "sub-99_T1w.nii.gz" in caplog.text


def test_a_saved_leak_is_refused(tmp_path):
    write_split(tmp_path, {"train": ["sub-00_T1w.nii.gz"], "valid": [], "test": ["sub-00_T2w.nii.gz"]})
    wanted = params(fname_split=tmp_path / "split_datasets.joblib")
    with pytest.raises(DataError, match="sub-00 would be on more than one"):
        get_subdatasets_subject_files_list(wanted, table(5), tmp_path)


@pytest.mark.parametrize("dump", [joblib.dump, lambda value, path: path.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("names", [["sub-1.nii", "sub-2.nii"], []])
def test_arrays_of_strings_are_read(tmp_path, dump, names):
    path = tmp_path / "split.joblib"
    array = np.array(names, dtype="U9")
    dump({"train": array, "valid": [np.str_("sub-3.nii")], "test": ("sub-4.nii",)}, path)
    assert read_split(path) == {"train": names, "valid": ["sub-3.nii"], "test": ["sub-4.nii"]}


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("dump", [joblib.dump, lambda value, path: path.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: np.array([evil], dtype=object)])
def test_no_code_of_a_split_file_is_run(tmp_path, dump, wrap):
    evil = Evil(tmp_path / "made")
    dump({"train": wrap(evil), "valid": [], "test": []}, tmp_path / "split.joblib")
    with pytest.raises(DataError, match=r"split\.joblib is not a split file"):
        read_split(tmp_path / "split.joblib")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", pickle.dumps(["a"]), pickle.dumps({"train": [], "valid": [], "test": [1]})]
)
def test_damaged_split_files_are_named(tmp_path, content):
    (tmp_path / "split.joblib").write_bytes(content)
    with pytest.raises(DataError, match=r"fname_split: .*split\.joblib"):
        read_split(tmp_path / "split.joblib")
    with pytest.raises(DataError, match="cannot be read"):
        read_split(tmp_path / "absent.json")
