"""Postprocessing against scipy, scikit-image and masks drawn by hand."""

from __future__ import annotations

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.measure import label

from ivadomed import postprocessing as post
from ivadomed.errors import ConfigError, DataError
from ivadomed.postprocessing.objects import CORNERS, EDGES, FACES, label_objects, object_sizes

ZOOMS = (0.5, 0.5, 2.0)
masks = hnp.arrays(np.uint8, (5, 6, 4), elements=st.sampled_from([0, 0, 1]))
planes = hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1]))


def squares() -> np.ndarray:
    """[12, 12, 3] with objects of 9 and 4 voxels in the middle slice."""
    mask = np.zeros((12, 12, 3), np.uint8)
    mask[1:4, 1:4, 1] = 1
    mask[7:9, 7:9, 1] = 1
    return mask


def run(steps: dict, data: np.ndarray, prefix: str = "none") -> np.ndarray:
    return post.Postprocessing(steps, data, ZOOMS, prefix).apply()


@given(masks, st.sampled_from([FACES, EDGES, CORNERS]))
@settings(max_examples=40, deadline=None)
def test_labels_are_those_of_scipy(mask, rank):
    labels, count = label_objects(mask, rank)
    expected, expected_count = ndimage.label(mask, ndimage.generate_binary_structure(3, rank))
    pairs = set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert count == expected_count
    assert len(pairs) == count + (0 in labels)
    assert sorted(object_sizes(labels, count)) == sorted(np.bincount(expected.ravel())[1:])


@pytest.mark.parametrize("shape", [(1, 7, 1), (6, 1, 1), (1, 1, 9), (1, 8, 1), (1, 9)])
def test_labels_of_thin_lines(shape):
    line = (np.arange(np.prod(shape)) % 2 == 0).reshape(shape)
    assert label_objects(line, CORNERS)[1] == line.sum()


def test_threshold_keeps_the_threshold_itself():
    result = post.threshold_predictions(np.array([0.2, 0.5, 0.7]), 0.5)
    assert result.tolist() == [0, 1, 1]
    assert result.dtype == np.uint8


def test_mask_predictions_keeps_type_and_argument():
    soft = np.full((2, 2, 1, 3), 0.5, np.float32)
    result = post.mask_predictions(soft, np.array([[[1], [0]], [[0], [1]]]))
    assert result.sum() == 3
    assert result.dtype == np.float32
    assert soft.min() == 0.5


def test_keep_largest_object_drops_the_smaller_square():
    mask = squares()
    assert post.keep_largest_object(mask).sum() == 9
    assert mask.sum() == 13


@given(masks)
@settings(max_examples=40, deadline=None)
def test_keep_largest_object_has_the_size_of_the_largest(mask):
    result = post.keep_largest_object(mask)
    labels = label(mask, connectivity=1)
    assert result.sum() == max(np.bincount(labels.ravel())[1:], default=0)
    assert (result <= mask).all()
    np.testing.assert_array_equal(post.keep_largest_object(result), result)


def test_keep_largest_object_of_soft_values_ignores_their_tails():
    soft = squares() * np.float32(0.6)
    soft[3:8, 3, 1] = np.maximum(soft[3:8, 3, 1], 5e-4)
    soft[7, 3:8, 1] = np.maximum(soft[7, 3:8, 1], 5e-4)
    result = post.keep_largest_object(soft)
    assert result.dtype == np.float32
    assert np.unique(result).tolist() == [0, np.float32(0.6)]
    assert np.count_nonzero(result) == 9


def test_keep_largest_object_keeps_one_object_per_exclusive_class():
    first, second = squares(), np.zeros((12, 12, 3), np.uint8)
    second[0, :, 0] = 1
    second[11, 0, 0] = 1
    result = post.keep_largest_object(np.stack([first, second], axis=-1))
    assert result.sum(axis=(0, 1, 2)).tolist() == [9, 12]


def test_keep_largest_object_keeps_classes_that_overlap_together():
    cord = np.zeros((12, 12, 3), np.uint8)
    cord[2:10, 2:10] = 1
    lesions = squares()
    lesions[2:4, 2:4] = lesions[7:9, 7:9] = 1
    lesions[11, 11, 2] = 1
    result = post.keep_largest_object(np.stack([cord, lesions], axis=-1))
    assert result[..., 0].sum() == cord.sum()
    assert result[..., 1].sum() == lesions.sum() - 1


def test_keep_largest_object_per_slice():
    mask = squares()
    mask[0, 0, 0] = 1
    assert post.keep_largest_object_per_slice(mask, axis=2).sum(axis=(0, 1)).tolist() == [1, 9, 0]
    assert post.keep_largest_object_per_slice(mask[..., 1]).sum() == 9
    assert post.keep_largest_object_per_slice(mask, axis=0).sum() == mask.sum()


@given(masks)
@settings(max_examples=40, deadline=None)
def test_fill_holes_agrees_with_scipy_3d(mask):
    expected = ndimage.binary_fill_holes(mask, np.ones((3, 3, 3)))
    np.testing.assert_array_equal(post.fill_holes(mask), expected)


@given(planes)
@settings(max_examples=40, deadline=None)
def test_fill_holes_agrees_with_scipy_2d(plane):
    expected = ndimage.binary_fill_holes(plane, np.ones((3, 3)))
    np.testing.assert_array_equal(post.fill_holes(plane), expected)
    np.testing.assert_array_equal(post.fill_holes(plane[..., None])[..., 0], expected)


@given(masks)
@settings(max_examples=15, deadline=None)
def test_fill_holes_takes_other_structures(mask):
    expected = ndimage.binary_fill_holes(np.pad(mask, 5), np.ones((5, 3, 3)))[5:-5, 5:-5, 5:-5]
    np.testing.assert_array_equal(post.fill_holes(mask, (5, 3, 3)), expected)


def test_fill_holes_of_every_class():
    ring = np.zeros((5, 5, 1), np.uint8)
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    result = post.fill_holes(np.stack([ring, ring * 0], axis=-1))
    assert result.sum(axis=(0, 1, 2)).tolist() == [9, 0]
    assert ring[2, 2, 0] == 0


@given(masks, st.integers(0, 8), st.sampled_from([1, 2, 3]))
@settings(max_examples=40, deadline=None)
def test_remove_small_objects_agrees_with_the_sizes_that_scipy_counts(mask, size_min, rank):
    structure = ndimage.generate_binary_structure(3, rank)
    labels, _ = ndimage.label(mask, structure)
    expected = (labels > 0) & (np.bincount(labels.ravel())[labels] >= size_min)
    np.testing.assert_array_equal(post.remove_small_objects(mask, structure, size_min), expected)


def test_remove_small_objects_of_a_picture():
    plane = squares()[..., 1]
    assert post.remove_small_objects(plane, ndimage.generate_binary_structure(2, 1), 5).sum() == 9
    with pytest.raises(ValueError, match="bin_structure"):
        post.remove_small_objects(plane, np.ones((5, 5)), 5)


@pytest.mark.parametrize(
    ("unit", "thr", "left"),
    [("vox", 4, 13), ("vox", 5, 9), ("mm3", 2, 13), ("mm3", 2.1, 9), ("mm3", 4.5, 9), ("mm3", 4.6, 0)],
)
def test_remove_small_by_voxels_and_volume(unit, thr, left):
    # a voxel has 0.5 mm3
    assert run({"remove_small": {"unit": unit, "thr": thr}}, squares()).sum() == left


def test_remove_small_with_one_threshold_per_class():
    data = np.stack([squares(), squares()], axis=-1)
    result = run({"remove_small": {"unit": "vox", "thr": [10, 5]}}, data)
    assert result.sum(axis=(0, 1, 2)).tolist() == [0, 9]
    with pytest.raises(ConfigError, match="3 values for 2 classes"):
        run({"remove_small": {"unit": "vox", "thr": [1, 2, 3]}}, data)
    with pytest.raises(ConfigError, match="cm3"):
        run({"remove_small": {"unit": "cm3", "thr": 1}}, data)


def test_steps_run_in_the_order_given():
    soft = np.zeros((8, 8, 1), np.float32)
    soft[0:2, 0:2] = 0.9
    soft[4:8, 4:8] = 0.3
    binarize, largest = {"binarize_prediction": {"thr": 0.5}}, {"keep_largest": {}}
    assert run(binarize | largest, soft).sum() == 4
    assert run(largest | binarize, soft).sum() == 0


def test_negative_thresholds_switch_steps_off():
    soft = np.random.default_rng(0).random((4, 4, 2))
    steps = {
        "binarize_prediction": {"thr": -1},
        "remove_noise": {"thr": -1},
        "uncertainty": {"thr": -1, "suffix": "_unc-vox.nii.gz"},
    }
    np.testing.assert_array_equal(run(steps, soft), soft)
    np.testing.assert_array_equal(run({}, soft), soft)


def test_remove_noise_keeps_values_from_the_threshold_on():
    assert run({"remove_noise": {"thr": 0.5}}, np.array([[[0.4, 0.5, 0.6]]])).tolist() == [[[0, 0.5, 0.6]]]


def test_maxpooling_gives_the_most_probable_class_or_background():
    soft = np.array([[0.5, 0.3], [0.2, 0.4], [0.1, 0.2], [0.9, 0.8], [0.0, 0.0]])[:, None, None]
    result = run({"binarize_maxpooling": {}}, soft)
    # voxel 2: background has 0.4 and ties with class 1; voxel 3: background has 0.7
    assert result[:, 0, 0].tolist() == [[1, 0], [0, 1], [0, 0], [1, 0], [0, 0]]
    assert run({"binarize_maxpooling": None}, soft[..., 0]).ravel().tolist() == [1, 0, 0, 1, 0]


@given(hnp.arrays(np.float32, (3, 3, 2, 3), elements=st.floats(0, 1, width=32)))
@settings(max_examples=30, deadline=None)
def test_maxpooling_is_exclusive_and_leaves_its_input(soft):
    before = soft.copy()
    assert run({"binarize_maxpooling": {}}, soft).sum(axis=-1).max() <= 1
    np.testing.assert_array_equal(soft, before)


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("_unc-vox.nii.gz", [1, 1, 0]), ("_unc-iou.nii.gz", [0, 1, 1])],
)
def test_uncertainty_file_masks_the_prediction(tmp_path, suffix, expected):
    values = np.array([0.25, 0.5, 0.75], np.float32).reshape(3, 1, 1)
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f"sub-01_T1w{suffix}")
    steps = {"uncertainty": {"thr": 0.5, "suffix": suffix}}
    prefix = str(tmp_path / "sub-01_T1w")
    assert run(steps, np.ones((3, 1, 1)), prefix).ravel().tolist() == expected
    classes = run(steps, np.ones((3, 1, 1, 2)), prefix)
    assert classes[..., 1].ravel().tolist() == expected


def test_uncertainty_errors_name_the_file(tmp_path):
    steps = {"uncertainty": {"thr": 0.5, "suffix": "_unc-vox.nii.gz"}}
    with pytest.raises(DataError, match="sub-01_unc-vox"):
        run(steps, np.ones((2, 2, 2)), str(tmp_path / "sub-01"))
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 3)), np.eye(4)), tmp_path / "sub-01_unc-vox.nii.gz")
    with pytest.raises(DataError, match=r"\(2, 2, 3\).*\(2, 2, 2\)"):
        run(steps, np.ones((2, 2, 2)), str(tmp_path / "sub-01"))


def test_unknown_steps_and_parameters_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'keep_largest'"):
        run({"keep_larges": {}}, squares())
    with pytest.raises(ConfigError, match=r"remove_small.*expected unit, thr"):
        run({"remove_small": {"unit": "vox", "size": 3}}, squares())
    with pytest.raises(ConfigError, match="unknown step"):
        run({"apply": {}}, squares())


def test_single_slice_goes_through_every_step():
    ring = np.zeros((9, 9, 1), np.float32)
    ring[1:6, 1:6] = 0.8
    ring[3, 3] = 0
    ring[8, 8] = 0.9
    steps = {
        "remove_noise": {"thr": 0.1},
        "binarize_prediction": {"thr": 0.5},
        "fill_holes": {},
        "keep_largest": {},
        "remove_small": {"unit": "vox", "thr": 3},
    }
    result = run(steps, ring)
    assert result.shape == (9, 9, 1)
    assert result.sum() == 25


@pytest.mark.parametrize("function", [post.keep_largest_object, post.fill_holes, post.threshold_predictions])
def test_nifti_images_go_in_and_out(function):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    image = nib.Nifti1Image(squares(), affine)
    image.header.set_xyzt_units("mm")
    result = function(image)
    assert isinstance(result, nib.Nifti1Image)
    np.testing.assert_array_equal(result.affine, affine)
    np.testing.assert_array_equal(np.asanyarray(result.dataobj), function(squares()))
    assert result.get_data_dtype() == np.uint8


def heatmap(shape: tuple[int, ...], *centres: tuple[int, ...]) -> np.ndarray:
    points = np.zeros(shape, np.float32)
    for height, centre in zip((1.0, 0.8, 0.1), centres, strict=False):
        points[centre] = height
    return ndimage.gaussian_filter(points, [2 if n > 1 else 0 for n in shape]).astype(np.float32)


def test_coordinates_of_peaks_highest_first():
    volume = heatmap((30, 30, 20), (8, 20, 9), (22, 8, 12), (22, 22, 6))
    image = nib.Nifti1Image(volume, np.eye(4))
    assert post.coordinate_from_heatmap(image) == [[8, 20, 9], [22, 8, 12]]
    assert post.coordinate_from_heatmap(image, thresh=0.9) == [[8, 20, 9]]
    assert post.coordinate_from_heatmap(volume * 3 + 1) == [[8, 20, 9], [22, 8, 12]]


def test_coordinates_in_a_single_slice_and_in_a_constant_image():
    assert post.coordinate_from_heatmap(heatmap((1, 30, 30), (0, 8, 20))) == [[0, 8, 20]]
    assert post.coordinate_from_heatmap(np.ones((8, 8, 8))) == []


def test_label_file_from_coordinates():
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.diag([1, 2, 3, 1]))
    result = post.label_file_from_coordinates(image, [[0, 1, 2], (3, 4, 5)])
    data = np.asanyarray(result.dataobj)
    assert np.argwhere(data == 1).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert data.sum() == 2
    np.testing.assert_array_equal(result.affine, image.affine)
    with pytest.raises(DataError, match=r"\(4, 0, 0\)"):
        post.label_file_from_coordinates(image, [[4, 0, 0]])


def test_import_is_light():
    heavy = "{'pandas', 'sklearn', 'skimage', 'matplotlib', 'scipy', 'torch', 'nibabel'}"
    code = f"import sys, ivadomed.postprocessing; print({heavy} & set(sys.modules))"
    run_ = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run_.stdout.strip() == "set()"


def test_steps_of_some_classes():
    """Each class on its own, also where they overlap; the others stay as they are."""
    cord = np.zeros((12, 12, 3), np.uint8)
    cord[1:4, 1:4], cord[8, 8] = 1, 1
    lesions = np.zeros_like(cord)
    lesions[2, 2], lesions[8:10, 8] = 1, 1
    both = np.stack([cord, lesions], axis=-1)
    kept = run({"keep_largest": {"classes": [1]}}, both)
    np.testing.assert_array_equal(kept[..., 0], cord)
    assert kept[..., 1].sum() == 6
    assert run({"keep_largest": {"classes": [0]}}, both)[..., 0].sum() == 27
    ring = np.zeros((5, 5, 1, 2), np.uint8)
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    assert run({"fill_holes": {"classes": [0]}}, ring).sum(axis=(0, 1, 2)).tolist() == [9, 8]
    assert run({"keep_largest": {"classes": [0]}}, squares()).sum() == 9
    with pytest.raises(ConfigError, match=r"keep_largest\.classes: 2; the prediction has 2, expected 0 to 1"):
        run({"keep_largest": {"classes": [2]}}, both)
