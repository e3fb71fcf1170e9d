"""The mean of the slices in the middle."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform

from ivadomed.errors import DataError
from ivadomed.images.midslice import get_midslice_average

AFFINE = np.eye(4)  # voxels of 0.8 x 1.2 x 2 mm, turned by a few degrees
AFFINE[:2, :2] = [[0.96, 0.28], [-0.28, 0.96]]
AFFINE = AFFINE @ np.diag([0.8, 1.2, 2, 1])
AFFINE[:3, 3] = -5, 7, 3


@pytest.fixture
def save(tmp_path):
    def save(data, codes="RAS"):
        image = nib.Nifti1Image(data.astype(np.int16), AFFINE)
        image.set_qform(AFFINE, 1)
        image.set_sform(AFFINE, 1)
        to = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
        nib.save(image.as_reoriented(to), tmp_path / f"{codes}.nii.gz")
        return tmp_path / f"{codes}.nii.gz"

    return save


@pytest.mark.parametrize("codes", ["RAS", "LPI", "PIR", "SAL"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_seven_slices_at_the_place_of_the_one(save, codes, axis):
    data = np.random.default_rng(0).integers(0, 99, (12, 13, 14))
    mean = get_midslice_average(save(data, codes), 5, axis)
    assert nib.aff2axcodes(mean.affine) == tuple(codes)
    back = nib.as_closest_canonical(mean)
    expected = data.take(range(2, 9), axis).mean(axis, keepdims=True)
    np.testing.assert_allclose(back.get_fdata(), expected, rtol=1e-6)
    start = np.zeros(3)
    start[axis] = 5
    np.testing.assert_allclose(back.affine[:3, 3], nib.affines.apply_affine(AFFINE, start), atol=1e-5)
    np.testing.assert_allclose(back.header.get_zooms(), nib.affines.voxel_sizes(AFFINE), rtol=1e-5)
    np.testing.assert_allclose(mean.get_qform(), mean.affine, atol=1e-4)


@pytest.mark.parametrize(("ind", "used"), [(0, [0]), (1, [0, 1, 2]), (3, range(7)), (8, [7, 8, 9]), (9, [9])])
def test_fewer_near_the_border(save, ind, used):
    data = np.arange(10)[:, None, None] ** 2 * np.ones((10, 3, 3))
    mean = get_midslice_average(save(data), ind)
    np.testing.assert_allclose(mean.get_fdata(), np.mean([i * i for i in used]))


def test_no_such_slice(save):
    path = save(np.ones((4, 5, 6)))
    for ind in (-1, 4):
        with pytest.raises(DataError, match=f"has no slice {ind}; it has 4"):
            get_midslice_average(path, ind)
