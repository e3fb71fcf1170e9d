"""Labels as colours."""

import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.visualize import COLOURS, overlap_im_seg, save_color_labels


def test_classes_have_their_colours_on_the_grid_of_the_image(tmp_path):
    affine = np.diag([-1.0, 1, 2, 1])  # stored from right to left
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 3), np.uint8), affine), tmp_path / "gt.nii.gz")
    labels = np.zeros((2, 4, 5, 3), np.float32)
    labels[0, 0, 1, 2] = 0.6
    labels[1, 3, 4, 0] = 1
    rgb = save_color_labels(labels, True, tmp_path / "gt.nii.gz", tmp_path / "rgb.nii.gz", slice_axis=2)
    assert rgb[0, 1, 2].tolist() == COLOURS[0].tolist()
    image = nib.load(tmp_path / "rgb.nii.gz")
    np.testing.assert_array_equal(image.affine, affine)
    stored = np.asarray(image.dataobj)
    assert stored.shape == (4, 5, 3)
    assert list(stored[3, 1, 2]) == COLOURS[0].tolist()
    assert list(stored[0, 4, 0]) == COLOURS[1].tolist()
    assert sum(stored[name].astype(bool) for name in "RGB").astype(bool).sum() == 2


def test_soft_labels_are_dark(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "gt.nii.gz")
    rgb = save_color_labels(
        np.full((1, 2, 2, 2), 0.5), False, tmp_path / "gt.nii.gz", tmp_path / "o.nii.gz", 2
    )
    np.testing.assert_array_equal(rgb[0, 0, 0], (COLOURS[0] * 0.5).astype(int))


def test_labels_of_another_size_are_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), tmp_path / "gt.nii.gz")
    with pytest.raises(DataError, match=r"gt.nii.gz: has \(2, 2, 2\) voxels .* labels \(2, 2, 3\)"):
        save_color_labels(np.zeros((1, 2, 2, 3)), True, tmp_path / "gt.nii.gz", tmp_path / "o.nii.gz", 2)
    assert not (tmp_path / "o.nii.gz").exists()


def test_one_segmentation_over_an_image():
    image, mask = np.linspace(0, 1, 100).reshape(10, 10), np.zeros((10, 10))
    mask[5, 5] = 1
    plain, painted = overlap_im_seg(image, np.zeros((10, 10))), overlap_im_seg(image, mask)
    np.testing.assert_array_equal(np.argwhere((plain != painted).any(-1)), [[5, 5]])
    np.testing.assert_allclose(painted[5, 5], 0.5 * plain[5, 5] + 0.5 * COLOURS[0], atol=1)
