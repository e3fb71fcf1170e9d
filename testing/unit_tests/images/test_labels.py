"""Labels by one rule."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ivadomed.images import labels
from ivadomed.images.labels import LabelFile, read_label, read_labels

MAP = np.array([0, 1, 2, 2, 4], np.uint8).reshape(5, 1, 1)


@pytest.fixture
def dseg(tmp_path) -> Path:
    nib.save(nib.Nifti1Image(MAP, np.eye(4)), tmp_path / "dseg.nii.gz")
    return tmp_path / "dseg.nii.gz"


def test_values_of_a_map_make_up_a_class(dseg):
    one, several = read_labels([LabelFile(dseg, (2,)), LabelFile(dseg, (1, 4))])
    np.testing.assert_array_equal(one.data.ravel(), [0, 0, 1, 1, 0])
    np.testing.assert_array_equal(several.data.ravel(), [0, 1, 0, 0, 1])
    assert one.data.dtype == np.float32


def test_a_file_is_read_once_however_many_classes_it_holds(dseg, monkeypatch):
    read = []
    opened = labels.open_label
    monkeypatch.setattr(labels, "open_label", lambda path, size=None: read.append(path) or opened(path, size))
    read_labels([LabelFile(dseg, (value,)) for value in (1, 2, 3)])
    assert read == [dseg]
    assert not read_label(LabelFile(dseg, (3,))).data.any()


@pytest.mark.parametrize("text", ["a/b_dseg.nii.gz:1", "b.png:127+128", "b.nii:-1", "a:1/b.tif", "c:1"])
def test_a_label_reads_back_from_its_text(text):
    assert str(LabelFile.parse(text)) == text
    assert LabelFile.parse("b.nii.gz:1+2") == LabelFile(Path("b.nii.gz"), (1, 2))
    assert LabelFile.parse("c:1") == LabelFile(Path("c:1"))
