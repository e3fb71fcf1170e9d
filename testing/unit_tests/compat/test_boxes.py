"""Bounding boxes: coordinates by hand, objects by scipy, crops by slicing."""

import json
import logging

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from ivadomed.compat import boxes as utils
from ivadomed.detection import cascade
from ivadomed.detection.cascade import read_boxes
from ivadomed.errors import DataError
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.transforms import Compose, UndoCompose

sizes = st.integers(1, 60)


def boxes(n=3):
    ends = st.tuples(st.integers(0, 80), st.integers(0, 40))
    return st.lists(ends, min_size=n, max_size=n).map(lambda p: [v for a, d in p for v in (a, a + d)])


def test_boxes_of_two_objects_largest_first():
    mask = np.zeros((12, 10, 6))
    mask[1:3, 2, 4] = 1
    mask[5:9, 3:6, 1:3] = 0.3
    assert utils.get_bounding_boxes(mask) == [[5, 8, 3, 5, 1, 2], [1, 2, 2, 2, 4, 4]]


def test_voxels_over_an_edge_are_one_object_over_a_corner_two():
    edge, corner = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    edge[0, 0, 0] = edge[1, 1, 0] = 1
    corner[0, 0, 0] = corner[1, 1, 1] = 1
    assert len(utils.get_bounding_boxes(edge)) == 1
    assert len(utils.get_bounding_boxes(corner)) == 2


@given(st.integers(0, 1000))
def test_boxes_are_those_of_scipy(seed):
    mask = np.random.default_rng(seed).random((7, 8, 5)) < 0.15
    labels, _ = ndimage.label(mask, ndimage.generate_binary_structure(3, 2))
    expected = [[e for s in place for e in (s.start, s.stop - 1)] for place in ndimage.find_objects(labels)]
    assert sorted(utils.get_bounding_boxes(mask)) == sorted(expected)


def test_an_empty_mask_has_no_box_and_a_picture_is_refused():
    assert utils.get_bounding_boxes(np.zeros((4, 4, 4))) == []
    with pytest.raises(DataError, match=r"\[H, W, D\]"):
        utils.get_bounding_boxes(np.ones((4, 4)))


def test_safety_factor_of_the_manual():
    box = utils.adjust_bb_size([20, 30, 40, 60, 50, 80], [1.5, 1.5, 1.5])
    assert box == [18, 33, 35, 65, 43, 88]


@given(boxes(), st.floats(1, 3))
def test_a_larger_box_holds_the_old_one_and_begins_inside_the_image(box, factor):
    new = utils.adjust_bb_size(box, [factor] * 3)
    for a, b, low, high in zip(box[::2], box[1::2], new[::2], new[1::2], strict=True):
        assert 0 <= low <= a
        assert b <= high
        assert high - low == pytest.approx((b - a) * factor, abs=1)


@pytest.mark.parametrize(
    ("box", "factor", "resample", "expected"),
    [
        ((0, 10), 2, True, [0, 20]),
        ((0, 10), 2, False, [0, 20]),
        ((4, 11), 2, True, [8, 22]),
        ((4, 11), 0.5, True, [2, 5]),  # 2 to 5.5: the end is rounded down
        ((5, 9), 0.5, True, [2, 4]),  # 2.5 is rounded to the even number
        ((7, 9), 0.5, True, [4, 5]),
        ((3, 8), 1.3, True, [4, 10]),  # 3.9, and 6.5 further on
        ((20, 30), 1.5, False, [18, 33]),
        ((21, 32), 1.5, False, [19, 35]),  # 5.5 more: 2 before
        ((2, 12), 3, False, [0, 30]),  # would begin at -8
        ((2, 12), 0.5, False, [5, 10]),
        ((3, 10), 0.5, False, [5, 8]),  # 3.5 less: -1.75 is rounded down to -2
        ((4, 4), 3, False, [4, 4]),
    ],
)
def test_boxes_are_rounded_as_in_2_9_10(box, factor, resample, expected):
    assert utils.adjust_bb_size(box * 3, [factor] * 3, resample) == expected * 3
    assert utils.adjust_bb_size(box, [factor], resample=resample) == expected


@given(boxes(), st.lists(st.floats(0.2, 4), min_size=3, max_size=3), st.booleans())
def test_boxes_of_any_size_are_those_of_the_description(box, factors, resample):
    """The ends times the factor, or the extent times the factor about the centre; round, then add the extent."""
    expected = []
    for axis, factor in enumerate(factors):
        low, high = box[2 * axis : 2 * axis + 2]
        length = high * factor - low * factor if resample else (high - low) * factor
        start = low * factor if resample else low - np.floor((length - (high - low)) / 2)
        first = round(max(start, 0))
        expected += [first, int(np.floor(first + length + 1e-12))]
    found = utils.adjust_bb_size(box, factors, resample)
    assert found == pytest.approx(
        expected, abs=1
    )  # where an end falls on a whole number, rounding may decide
    assert found[::2] == expected[::2]


@given(st.tuples(sizes, sizes, sizes), st.tuples(sizes, sizes, sizes), st.tuples(sizes, sizes, sizes))
def test_patches_cover_the_new_shape_exactly(shape, multiple, length):
    for old, step, window, new in zip(
        shape, multiple, length, utils.resize_to_multiple(shape, multiple, length), strict=True
    ):
        assert new >= old
        assert (new - window) % step == 0
        assert new == window or new - step < old


def test_prior_stores_the_box_around_everything(tmp_path):
    mask = np.zeros((10, 12, 8), np.uint8)
    mask[2:4, 3:6, 1] = 1
    mask[7, 9, 5] = 1
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "m.nii.gz")
    metadata = {"zooms": (1, 1, 1)}
    assert utils.bounding_box_prior(tmp_path / "m.nii.gz", metadata, 2) is metadata
    assert metadata == {"zooms": (1, 1, 1), "bounding_box": [2, 7, 3, 9, 1, 5]}
    record = SampleMetadata({"zooms": (1, 1, 1)})
    utils.bounding_box_prior(tmp_path / "m.nii.gz", record, 2)
    assert record["bounding_box"] == [2, 7, 3, 9, 1, 5]
    # sagittal: height is z, width is y, depth is x
    assert utils.bounding_box_prior(tmp_path / "m.nii.gz", {}, 0)["bounding_box"] == [1, 5, 3, 9, 2, 7]
    assert utils.bounding_box_prior(tmp_path / "m.nii.gz", {}, 2, [2, 1, 1])["bounding_box"][:2] == [0, 10]
    nib.save(nib.Nifti1Image(mask * 0, np.eye(4)), tmp_path / "empty.nii.gz")
    with pytest.raises(DataError, match="empty"):
        utils.bounding_box_prior(tmp_path / "empty.nii.gz", {}, 2)


def test_statistics(tmp_path, caplog):
    file = tmp_path / "b.json"
    file.write_text(json.dumps({"a.nii.gz": [[0, 9, 0, 4, 2, 2]], "b.nii.gz": [1, 4, 1, 3, 0, 1]}))
    with caplog.at_level(logging.INFO):
        found = utils.compute_bb_statistics(file)
    assert found["height"] == {"min": 4, "max": 10, "mean": 7}
    assert found["volume"] == {"min": 24, "max": 50, "mean": 37}
    assert "depth" in caplog.text


@pytest.fixture
def images(tmp_path):
    paths = []
    for name in ("sub-01_T1w", "sub-02_T1w", "sub-01_acq-MTon_MTS", "sub-03_T1w"):
        data = np.zeros((10, 8, 6), np.float32)
        if name != "sub-03_T1w":
            data[2:6, 3:5, 1:4] = 2
            data[9, 7, 5] = 2
        paths.append(str(tmp_path / f"{name}.nii.gz"))
        nib.save(nib.Nifti1Image(data, np.eye(4)), paths[-1])
    return paths


def test_generated_file(tmp_path, images, threshold_model):
    model = threshold_model()
    out = utils.generate_bounding_box_file(images[:3], model, tmp_path, slice_axis=2, contrast_lst=["T1w"])
    assert out == {path: [[2, 5, 3, 4, 1, 3]] for path in images[:2]}
    assert read_boxes(tmp_path / "bounding_boxes.json") == out
    both = utils.generate_bounding_box_file(
        images[:3],
        model,
        tmp_path,
        None,
        2,
        ["acq-MTon_MTS"],
        keep_largest_only=False,
        safety_factor=[1, 3, 1],
    )
    assert both == {images[2]: [[2, 5, 2, 5, 1, 3], [9, 9, 7, 7, 5, 5]]}


def test_image_without_object_is_used_whole(tmp_path, images, threshold_model, caplog):
    out = utils.generate_bounding_box_file(images[3:], threshold_model(), tmp_path, slice_axis=2)
    assert out == {images[3]: [[0, 9, 0, 7, 0, 5]]}
    assert "no object" in caplog.text


def test_only_images_without_a_box_are_detected(tmp_path, images, threshold_model, monkeypatch):
    looked_at = []
    detect = cascade.detect
    monkeypatch.setattr(
        cascade,
        "detect",
        lambda model, cases, *more, **named: looked_at.extend(cases) or detect(model, cases, *more, **named),
    )
    model = threshold_model()
    params = {"path_output": tmp_path, "object_detection_path": model, "safety_factor": None, "gpu_ids": []}
    assert utils.load_bounding_boxes(None, images, 2, None) == {}
    assert utils.load_bounding_boxes({**params, "object_detection_path": None}, images, 2, None) == {}
    first = utils.load_bounding_boxes(params, images[:1], 2, ["T1w"])
    both = utils.load_bounding_boxes(params, images[:2], 2, ["T1w"])
    again = utils.load_bounding_boxes(params, images[:2], 2, ["T1w"])
    assert [str(case.images[0]) for case in looked_at] == images[:2]
    assert first == {images[0]: [[2, 5, 3, 4, 1, 3]]}
    assert both == again == read_boxes(tmp_path / "bounding_boxes.json")


def pair(box=(4, 11, 6, 9, 2, 5), zooms=(1.0, 1.0, 1.0)):
    return {
        "input_metadata": [{"zooms": zooms, "bounding_box": list(box), "data_type": "im"}],
        "gt_metadata": [{"zooms": zooms, "bounding_box": list(box), "data_type": "gt"}],
    }


def test_crop_follows_resampling():
    before = Compose({"Resample": {"hspace": 0.5, "wspace": 1, "dspace": 2}})
    sample = pair()
    assert utils.resample_bounding_box(sample, before) is sample
    assert sample["input_metadata"][0]["bounding_box"] == [8, 22, 6, 9, 1, 2]
    assert sample["gt_metadata"][0]["bounding_box"] == [8, 22, 6, 9, 1, 2]
    assert utils.resample_bounding_box(pair(), None) == pair()
    after = utils.adjust_transforms(before, pair())
    assert [type(t).__name__ for t in after.transform["im"]] == ["Resample", "BoundingBoxCrop"]
    assert [type(t).__name__ for t in before.transform["im"]] == ["Resample"]
    out, _ = after([np.zeros((20, 16, 8), np.float32)], pair()["input_metadata"], preprocessing=True)
    assert out[0].shape == (16, 4, 2)


def test_crop_cuts_the_box_and_undo_puts_it_back():
    image = np.random.default_rng(0).random((14, 12, 8)).astype(np.float32)
    sample = pair()
    crop = utils.adjust_transforms(None, sample)
    out, metadata = crop([image], sample["input_metadata"], preprocessing=True)
    np.testing.assert_array_equal(out[0], image[4:12, 6:10, 2:6])
    undo = UndoCompose(Compose({"Resample": {"hspace": 1, "wspace": 1, "dspace": 1}}))
    for _ in range(2):  # of each image of a batch the crop takes the place of the last one
        assert utils.adjust_undo_transforms(undo, {"input_metadata": [metadata]}) is undo
    assert [type(t).__name__ for t in undo.transforms.transform["im"]] == ["Resample", "BoundingBoxCrop"]
    undo = utils.adjust_undo_transforms(UndoCompose(Compose({})), {"input_metadata": [metadata]})
    back, _ = undo(out, metadata)
    expected = np.zeros_like(image)
    expected[4:12, 6:10, 2:6] = image[4:12, 6:10, 2:6]
    np.testing.assert_array_equal(back[0], expected)
    none = UndoCompose(Compose({}))
    assert utils.adjust_undo_transforms(none, {"input_metadata": [[{}]]}) is none
    assert not none.transforms.transform["im"]


def test_crop_is_enlarged_to_patches():
    crop = utils.adjust_transforms(None, pair(), length=(6, 6, 6), stride=(4, 4, 4)).transform["im"][0]
    assert crop.size == (10, 6, 6)
    assert crop.start == (3, 5, 1)


def test_verify_metadata_needs_a_box_everywhere():
    assert utils.verify_metadata(pair(), True)
    assert not utils.verify_metadata(pair(), False)
    assert not utils.verify_metadata({**pair(), "gt_metadata": [{}]}, True)
    assert utils.verify_metadata({**pair(), "gt_metadata": [None]}, True)
