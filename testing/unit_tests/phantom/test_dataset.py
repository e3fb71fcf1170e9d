"""A data set appears complete or not at all, and nothing of the user's is replaced."""

import json

import pytest

from ivadomed.errors import OutputError
from ivadomed.phantom.dataset import is_phantom, staged, write_descriptions, write_tsv


def write(target, overwrite=False, marker="new"):
    with staged(target, overwrite) as root:
        write_descriptions(root, "test", "1.4.0", marker)


def test_appears_when_complete(tmp_path):
    target = tmp_path / "a" / "data"
    with staged(target, overwrite=False) as root:
        write_descriptions(root, "test", "1.4.0", "text")
        assert not target.exists()
        assert root.parent == target.parent
    assert is_phantom(target)
    assert [path.name for path in target.parent.iterdir()] == ["data"]


def test_leaves_nothing_after_a_failure(tmp_path):
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "data", overwrite=False):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_accepts_an_empty_folder(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data")
    assert is_phantom(tmp_path / "data")


def test_replaces_a_phantom_only_on_request(tmp_path):
    write(tmp_path / "data", marker="old")
    with pytest.raises(OutputError, match="not empty"):
        write(tmp_path / "data")
    assert (tmp_path / "data" / "README").read_text() == "old"
    write(tmp_path / "data", overwrite=True)
    assert (tmp_path / "data" / "README").read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["results", "derivatives/manual"])
def test_keeps_a_phantom_with_something_added(tmp_path, name):
    write(tmp_path / "data")
    (tmp_path / "data" / name).mkdir()
    with pytest.raises(OutputError, match=name):
        write(tmp_path / "data", overwrite=True)
    assert (tmp_path / "data" / name).is_dir()


@pytest.mark.parametrize(
    "description",
    [None, "{", "[]", json.dumps({"Name": "x"}), json.dumps({"GeneratedBy": [{"Name": "other"}]})],
)
def test_never_replaces_anything_else(tmp_path, description):
    (tmp_path / "precious.txt").write_text("x")
    if description is not None:
        (tmp_path / "dataset_description.json").write_text(description)
    with pytest.raises(OutputError, match="not written by"):
        write(tmp_path, overwrite=True)
    assert (tmp_path / "precious.txt").exists()


def test_refuses_a_file(tmp_path):
    (tmp_path / "data").write_text("x")
    with pytest.raises(OutputError, match="is a file"):
        write(tmp_path / "data", overwrite=True)


def test_tsv(tmp_path):
    write_tsv(tmp_path / "t.tsv", ("a", "b"), [(1, None), ("x", 2)])
    assert (tmp_path / "t.tsv").read_text() == "a\tb\n1\tn/a\nx\t2\n"
