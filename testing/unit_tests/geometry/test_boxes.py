"""Bounding boxes: coordinates by hand, and the file that keeps them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.detection.cascade import find_box, read_boxes
from ivadomed.errors import DataError
from ivadomed.geometry.boxes import (
    box_of_slices,
    box_on_grid,
    box_size,
    clip_box,
    fit_to_patches,
    inside_box,
    resize_to_multiple,
    whole_image,
)


def test_box_of_slices_and_of_the_whole_image():
    box = box_of_slices((slice(2, 5), slice(0, 1)))
    assert box == [2, 4, 0, 0]
    assert box_size(box) == (3, 1)
    assert whole_image((7, 5, 1)) == [0, 6, 0, 4, 0, 0]


def test_a_box_is_cut_off_at_the_image():
    assert clip_box([-3, 40, 2, 4, 5, 5], (10, 10, 6)) == [0, 9, 2, 4, 5, 5]
    with pytest.raises(DataError, match=r"\[10, 12, 0, 3\] lies outside the image of 10x10 voxels"):
        clip_box([10, 12, 0, 3], (10, 10))


def test_inside_of_a_box():
    ones = np.ones((4, 5, 3))
    inside = inside_box(ones, [1, 2, 0, 4, 2, 2])
    assert inside.sum() == 10
    assert inside[1:3, :, 2].all()
    assert ones.all()


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 40)), min_size=3, max_size=3), st.floats(0.2, 4))
def test_a_box_on_another_grid_holds_the_same_space(ends, factor):
    box = [end for low, extent in ends for end in (low, low + extent)]
    new = box_on_grid(box, [factor] * 3)
    for a, b, low, high in zip(box[::2], box[1::2], new[::2], new[1::2], strict=True):
        assert low <= a * factor + 1e-9
        assert (b + 1) * factor <= high + 1 + 1e-9
        assert high + 1 - low <= (b + 1 - a) * factor + 2


def test_fitted_box_keeps_its_centre_and_the_depth_of_2d_patches():
    assert fit_to_patches([10, 19, 2, 5, 1, 3], (16, 8), (4, 4)) == [7, 22, 0, 7, 1, 3]


@given(st.data())
def test_a_fitted_box_stays_in_the_image_where_it_fits(data):
    axes = data.draw(st.integers(1, 3))
    numbers = st.lists(st.integers(1, 40), min_size=axes, max_size=axes)
    shape, length, stride = data.draw(numbers), data.draw(numbers), data.draw(numbers)
    lows = [data.draw(st.integers(0, n - 1)) for n in shape]
    highs = [data.draw(st.integers(low, n - 1)) for low, n in zip(lows, shape, strict=True)]
    box = [end for pair in zip(lows, highs, strict=True) for end in pair]
    fitted = fit_to_patches(box, length, stride, shape)
    assert list(box_size(fitted)) == resize_to_multiple(box_size(box), stride, length)
    for axis, extent in enumerate(shape):
        low, high = fitted[2 * axis : 2 * axis + 2]
        assert 0 <= low <= lows[axis]
        assert highs[axis] <= high
        assert high < extent or low == 0


def test_the_box_of_the_first_image_that_has_one():
    boxes = {"a.nii.gz": [], "b.nii.gz": [[1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0]]}
    assert find_box(boxes, ["a.nii.gz", "b.nii.gz"]) == [1, 2, 3, 4, 5, 6]
    assert find_box(boxes, ["a.nii.gz", "c.nii.gz"]) is None


def test_images_may_be_named_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    boxes = {"data/sub-01_T2w.nii.gz": [[1, 2, 3, 4, 5, 6]]}
    assert find_box(boxes, [tmp_path / "data" / "sub-01_T2w.nii.gz"]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("content", ["[]", "{", '{"a": [[1, 2]]}', '{"a": [3, 1, 0, 1, 0, 1]}', '{"a": "x"}'])
def test_a_wrong_file_is_refused(tmp_path, content):
    (tmp_path / "b.json").write_text(content)
    with pytest.raises(DataError, match=r"b\.json"):
        read_boxes(tmp_path / "b.json")


@pytest.mark.real_data
def test_real_file(real_data):
    found = read_boxes(real_data / "data_testing" / "bounding_box_dict.json")
    assert set(map(tuple, (box for boxes in found.values() for box in boxes))) == {(7, 386, 113, 231, 1, 16)}
