"""Names of 2.9.10 that other programs import."""

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from ivadomed.loader import utils
from ivadomed.loader.utils import (
    get_file_extension,
    orient_img_hwd,
    orient_img_ras,
    orient_shapes_hwd,
    reorient_image,
    update_filename_to_nifti,
)

# Slices along R, A, S: height and width are S, A | S, R | R, A.
ORDERS = {0: (2, 1, 0), 1: (2, 0, 1), 2: (0, 1, 2)}


@pytest.mark.parametrize("slice_axis", ORDERS)
def test_orientation_helpers_agree_with_each_other_and_with_transpose(slice_axis):
    ras = np.random.default_rng(0).random((3, 4, 5))
    hwd = orient_img_hwd(ras, slice_axis)
    np.testing.assert_array_equal(hwd, ras.transpose(ORDERS[slice_axis]))
    np.testing.assert_array_equal(orient_img_ras(hwd, slice_axis), ras)
    np.testing.assert_array_equal(orient_shapes_hwd(ras.shape, slice_axis), hwd.shape)
    classes = np.stack([hwd, 2 * hwd])
    np.testing.assert_array_equal(orient_img_ras(classes, slice_axis), np.stack([ras, 2 * ras]))


def test_voxel_sizes_are_reordered_too():
    np.testing.assert_array_equal(orient_shapes_hwd((0.5, 0.75, 3.0), 0), [3.0, 0.75, 0.5])


@pytest.mark.parametrize("codes", ["RAS", "LPI", "AIR", "SLP", "PSL"])
@pytest.mark.parametrize("slice_axis", ORDERS)
def test_reorient_image_undoes_the_canonical_orientation(codes, slice_axis):
    data = np.random.default_rng(1).random((3, 4, 5))
    affine = np.linalg.inv(inv_ornt_aff(axcodes2ornt(codes), data.shape))
    image = nib.Nifti1Image(data, affine)
    assert "".join(nib.aff2axcodes(affine)) == codes
    canonical = nib.as_closest_canonical(image)
    hwd = canonical.get_fdata().transpose(ORDERS[slice_axis])
    np.testing.assert_array_equal(reorient_image(hwd, slice_axis, image, canonical), data)
    np.testing.assert_array_equal(reorient_image(hwd, slice_axis, image), data)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool, np.float32])
def test_reorient_image_takes_labels_of_any_type(dtype):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.diag([-1.0, 1, 1, 1]))
    labels = (np.arange(8).reshape(2, 2, 2) % 2).astype(dtype)
    np.testing.assert_array_equal(reorient_image(labels, 2, image), labels[::-1])


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("sub-1.nii.gz", ".nii.gz"),
        ("a.b/sub-1.nii", ".nii"),
        ("x.ome.tif", ".ome.tif"),
        ("x.OME.TIFF", ".OME.TIFF"),
        ("x.y.PNG", ".PNG"),
        ("x.jpeg", ".jpeg"),
        ("x.json", None),
        ("x", None),
    ],
)
def test_extension(name, extension):
    assert get_file_extension(name) == extension


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/x.png", "a/x.nii.gz"),
        ("x_v1.2.ome.tiff", "x_v1.2.nii.gz"),
        ("x.nii.gz", "x.nii.gz"),
        ("x.nii", "x.nii"),
    ],
)
def test_nifti_name(name, expected):
    assert update_filename_to_nifti(name) == expected


def test_a_batch_is_taken_apart():
    parts = utils.unstack_tensors(torch.arange(6).reshape(3, 2))
    assert [part.tolist() for part in parts] == [[[0, 1]], [[2, 3]], [[4, 5]]]
