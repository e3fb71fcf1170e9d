"""One volume of a file: read, prepared, and counted as an image of its own."""

import os

import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.images import io
from ivadomed.images.volume_of import VolumeOf, parse_image
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import read_volume

DATA = np.arange(3 * 4 * 5 * 3, dtype=np.int16).reshape(3, 4, 5, 3)


@pytest.fixture
def several(tmp_path):
    path = tmp_path / "several.nii.gz"
    nib.save(nib.Nifti1Image(DATA, np.diag([1.0, 2.0, 3.0, 1.0])), path)
    return path


def test_it_is_read_as_an_image_of_its_own(several):
    for index in range(3):
        image = io.read_image(VolumeOf(several, index, 3))
        np.testing.assert_array_equal(image.data, DATA[..., index].astype(np.float32))
        assert image.data.dtype == np.float32
    assert io.read_grid(VolumeOf(several, 1, 3)).shape == (3, 4, 5)


def test_it_stands_for_the_path_of_its_file(several):
    volume = VolumeOf(several, 1, 3)
    assert os.fspath(volume) == str(several)
    assert str(volume) == f"{several} (volume 2 of 3)"
    assert volume.name == "several.nii.gz"


def test_its_text_describes_it(several):
    for image in (several, VolumeOf(several, 1, 3)):
        assert parse_image(str(image)) == parse_image(image) == image


def test_the_file_is_read_once_for_all_its_volumes(several, monkeypatch):
    opened = []
    load = nib.load
    monkeypatch.setattr(
        nib, "load", lambda path, *rest, **options: opened.append(path) or load(path, *rest, **options)
    )
    volumes = [VolumeOf(several, index, 3) for index in (2, 0, 1)]
    images = list(io.read_images(volumes))
    assert len(opened) == 1
    for volume, image in zip(volumes, images, strict=True):
        np.testing.assert_array_equal(image.data, DATA[..., volume.index].astype(np.float32))


def test_a_file_with_another_number_of_volumes_is_refused(several, tmp_path):
    with pytest.raises(
        DataError, match=r"has 3 volumes \(shape 3x4x5x3\), but its data set declares 4 channels"
    ):
        io.read_image(VolumeOf(several, 0, 4))
    nib.save(nib.Nifti1Image(DATA[..., 0], np.eye(4)), tmp_path / "one.nii")
    with pytest.raises(
        DataError, match=r"has 1 volume \(shape 3x4x5\), but its data set declares 2 channels"
    ):
        io.read_grid(VolumeOf(tmp_path / "one.nii", 0, 2))


def test_volumes_are_channels_of_a_case(several):
    case = Case("a", (VolumeOf(several, 2, 3), VolumeOf(several, 0, 3)))
    volume = read_volume(case, slice_axis=2)
    assert volume.image.shape[0] == 2
    assert sorted(volume.image[0].ravel()) == sorted(DATA[..., 2].ravel())
    assert sorted(volume.image[1].ravel()) == sorted(DATA[..., 0].ravel())


def test_a_volume_is_written_as_a_file(several, tmp_path):
    io.write_volume(VolumeOf(several, 1, 3), tmp_path / "one.nii.gz")
    image = nib.load(tmp_path / "one.nii.gz")
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), DATA[..., 1])
    np.testing.assert_array_equal(image.affine, np.diag([1.0, 2.0, 3.0, 1.0]))
