"""Atomic writes."""

import csv
import os
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivadomed.errors import OutputError
from ivadomed.images.files import atomic_folder, atomic_path, move, write_csv, write_json, write_text


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.nii.gz"
    write_text(path, "old")

    def fail():
        with atomic_path(path) as temporary:
            assert temporary.name.endswith(".nii.gz")
            temporary.write_text("half")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.nii.gz"]


def test_folders_are_made_and_permissions_are_ordinary(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"k": "é"})
    path = tmp_path / "a" / "b.json"
    assert path.read_text(encoding="utf-8") == '{\n    "k": "é"\n}\n'
    plain = tmp_path / "plain"
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/x.json: cannot be written"):
        write_text(tmp_path / "file" / "x.json", "")


REPLACE = os.replace


def does_nothing(source, target):
    """As a server that lost a rename and says that all is well."""


def raises_after_success(source, target):
    """As NFS, where the answer was lost and the second request finds the file gone."""
    REPLACE(source, target)
    raise FileNotFoundError(2, "No such file or directory", source)


def removes_the_file(source, target):
    os.unlink(source)


def test_a_rename_that_was_lost_is_an_error_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "replace", does_nothing)
    with pytest.raises(OutputError, match=r"x\.json: cannot be written .*did not rename"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_a_rename_that_was_done_in_spite_of_an_error_is_none(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_text(path, "old")
    monkeypatch.setattr(os, "replace", raises_after_success)
    write_text(path, "new")
    assert path.read_text() == "new"


def test_a_rename_that_lost_the_file_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", removes_the_file)
    with pytest.raises(OutputError, match="did not rename"):
        write_text(tmp_path / "x.json", "new")


def test_a_file_that_was_removed_before_the_rename_does_not_pass_for_the_old_one(tmp_path):
    (tmp_path / "target").write_text("old")
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "gone", tmp_path / "target")


@pytest.mark.parametrize("fault", [does_nothing, raises_after_success])
def test_a_folder_is_the_old_or_the_new_one(tmp_path, monkeypatch, fault):
    target = tmp_path / "folder"
    target.mkdir()
    (target / "old").touch()
    monkeypatch.setattr(os, "replace", fault)
    lost = fault is does_nothing
    expected = pytest.raises(OSError, match="did not rename") if lost else nullcontext()
    with expected, atomic_folder(target, replace=True) as partial:
        (partial / "new").touch()
    assert [file.name for file in target.iterdir()] == ["old" if lost else "new"]


def test_formulas_of_a_spreadsheet_become_text(tmp_path):
    formulas = [
        '=HYPERLINK("https://x.invalid","a")',
        "@SUM(1+1)",
        "+1+cmd|' /C calc'!A0",
        "-2+3",
        "\t=1",
        "\r=1",
    ]
    table = pd.DataFrame({"=1+1": formulas, "value": range(6)}, index=[*formulas[:3], "a", "b", 7])
    table["kind"] = table["=1+1"].astype("category")
    write_csv(tmp_path / "x.csv", table)
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["", "'=1+1", "value", "kind"]
    assert [row[0] for row in rows[1:]] == [*(f"'{formula}" for formula in formulas[:3]), "a", "b", "7"]
    for column in (1, 3):
        assert [row[column] for row in rows[1:]] == [
            *(f"'{formula}" for formula in formulas[:-1]),
            "'\n=1",  # a lone \r would begin a row
        ]
    assert list(table.index[:3]) == formulas[:3]  # the table itself is not changed
    assert list(table["=1+1"]) == formulas


def test_numbers_and_ordinary_text_stay_as_they_are(tmp_path):
    texts = ["-0.5", "+1", "-1e-3", "-inf", "-", "+", "n/a", "sub-01", "a=b", "", None]
    table = pd.DataFrame({"text": pd.Series(texts, dtype=object), "number": np.linspace(-5, 5, len(texts))})
    table[""] = [-1, 2.5, "x", True, None, *range(6)]
    table["whole"] = pd.Series([*range(10), None], dtype=object)
    table["flag"] = pd.Series([True, None] * 5 + [False], dtype=object)
    table["twice"] = table["text"].astype("category")
    table.columns = [*table.columns[:-1], "text"]
    table.to_csv(tmp_path / "plain.csv")
    write_csv(tmp_path / "x.csv", table)
    assert (tmp_path / "x.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False) | st.integers(), min_size=1))
def test_numbers_come_back(tmp_path, values):
    for column in (pd.Series(values), pd.Series(values, dtype=object), pd.Series(list(map(str, values)))):
        write_csv(tmp_path / "x.csv", pd.DataFrame({"value": column}))
        with (tmp_path / "x.csv").open(newline="") as file:
            assert [float(row[1]) for row in list(csv.reader(file))[1:]] == [float(value) for value in values]
