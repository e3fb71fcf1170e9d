"""Pointers of git-annex and Git LFS."""

import pytest

from ivadomed.images.pointers import is_pointer


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"/annex/objects/MD5E-s4--00.nii.gz\n", True),
        (b"../../.git/annex/objects/Xx/0q/MD5E-s4--00.nii.gz/MD5E-s4--00.nii.gz", True),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", True),
        (b"participant_id\n/annex/objects/x\n", False),
        (b"\x1f\x8b\x08", False),
        (b"", False),
    ],
)
def test_a_pointer_is_told_by_its_beginning(tmp_path, content, expected):
    (tmp_path / "file").write_bytes(content)
    assert (
        is_pointer(tmp_path / "file") == is_pointer(str(tmp_path / "file")) == is_pointer(content) == expected
    )


def test_what_cannot_be_read_is_none(tmp_path):
    assert not is_pointer(tmp_path)
    assert not is_pointer(tmp_path / "absent")
