"""Atomic writes."""

import os

import pytest

from ivadomed.errors import OutputError
from ivadomed.files import atomic_path, write_json, write_text


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
