import json
from pathlib import Path

import pytest

from ivadomed.errors import DataError
from ivadomed.loader.bids.files import BidsFile
from ivadomed.loader.bids.label_tables import LabelTables, read_table

FOLDER = "derivatives/labels/sub-01/anat"


def label(root: Path, name="sub-01_T1w_dseg", folder=FOLDER):
    relative = f"{folder}/{name}.nii.gz"
    (root / folder).mkdir(parents=True, exist_ok=True)
    return BidsFile(root / relative, root, relative, ("sub-01", ""), {}, "", ".nii.gz", "anat", True)


def write(root: Path, place: str, *rows: str):
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["index\tname", *rows]) + "\n", encoding="utf-8")
    return path


def test_the_nearest_table_counts_and_in_a_folder_the_longest_name(tmp_path):
    file = label(tmp_path)
    assert LabelTables().of(file) == {}
    for place, name in [
        ("dseg.tsv", "root"),
        ("derivatives/labels/dseg.tsv", "of all"),
        ("derivatives/labels/T1w_dseg.tsv", "of T1w"),
        (f"{FOLDER}/sub-01_T1w_dseg.tsv", "own"),
    ]:
        write(tmp_path, place, f"1\t{name}")
        assert LabelTables().of(file) == {name: (1,)}


@pytest.mark.parametrize(
    "place",
    [
        f"{FOLDER}/sub-01_T2w_dseg.tsv",  # of another image
        f"{FOLDER}/sub-02_T1w_dseg.tsv",
        f"{FOLDER}/sub-01_T1w_desc-a_dseg.tsv",
        f"{FOLDER}/sub-01_T1w.tsv",
        "derivatives/labels/participants.tsv",
        "derivatives/other/dseg.tsv",  # of another data set
    ],
)
def test_tables_of_others_do_not_count(tmp_path, place):
    write(tmp_path, place, "1\tother")
    assert LabelTables().of(label(tmp_path)) == {}


def test_two_tables_that_apply_alike_are_an_error(tmp_path):
    for place in ("sub-01_dseg.tsv", "T1w_dseg.tsv"):
        write(tmp_path, f"derivatives/labels/{place}", "1\ta")
    with pytest.raises(DataError, match=r"two tables apply equally, .*T1w_dseg.tsv and .*sub-01_dseg.tsv"):
        LabelTables().of(label(tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        {"LabelMap": {"a": 1, "b": 2}},
        {"labels": {"1": "a", "2": "b"}},
        {"LabelMap": {"a": [1], "b": [2]}},
        {"labels": {"a": "1", "b": 2.0}},
    ],
)
def test_a_sidecar_tells_the_names_where_no_table_does(tmp_path, content):
    file = label(tmp_path)
    sidecar = tmp_path / FOLDER / "sub-01_T1w_dseg.json"
    sidecar.write_text(json.dumps(content), encoding="utf-8")
    assert LabelTables().of(file) == {"a": (1,), "b": (2,)}
    write(tmp_path, "derivatives/labels/dseg.tsv", "5\tc")
    assert LabelTables().of(file) == {"c": (5,)}


@pytest.mark.parametrize("content", [{"Author": "x"}, {"LabelMap": ["a", "b"]}, ["a"], {}])
def test_a_sidecar_that_names_no_classes_is_passed_over(tmp_path, content):
    file = label(tmp_path)
    (tmp_path / FOLDER / "sub-01_T1w_dseg.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "derivatives/labels/dseg.json").write_text('{"labels": {"a": 3}}', encoding="utf-8")
    assert LabelTables().of(file) == {"a": (3,)}


def test_a_table_has_further_columns_and_names_twice(tmp_path):
    path = tmp_path / "dseg.tsv"
    path.write_text(
        "\ufeffname\tcolor\tindex\nGrey Matter\t#f00\t1\n\t\t\nGrey Matter\t#f00\t4\nCSF\t\t2.0\n", "utf-8"
    )
    assert read_table(path) == {"Grey Matter": (1, 4), "CSF": (2,)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("value\tname\n1\ta\n", "expected the columns index and name, found value, name"),
        ("", "found none"),
        ("index\tname\none\ta\n", "the value of 'a' is 'one'; expected an integer"),
        ("index\tname\n1.5\ta\n", "the value of 'a' is '1.5'"),
    ],
)
def test_a_table_that_is_none_is_an_error(tmp_path, text, message):
    path = tmp_path / "dseg.tsv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        read_table(path)
    path.write_bytes(b"index\tname\n1\t\xe4\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_table(path)
