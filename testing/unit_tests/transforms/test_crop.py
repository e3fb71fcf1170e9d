"""Crops: positions by hand, round trips, regions of interest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import ConfigError, DataError
from ivadomed.transforms import BoundingBoxCrop, CenterCrop, CroppableArray, ROICrop
from ivadomed.transforms.steps import Frame

RNG = np.random.default_rng(0)
ZOOMS = (1.0, 1.0)
size = st.integers(1, 12)


@given(st.tuples(size, size), st.tuples(size, size), st.integers(0, 2**31))
def test_center_crop_restores_what_it_kept(shape, target, seed):
    x = np.random.default_rng(seed).integers(1, 100, (2, *shape))
    step = CenterCrop(target).plan(Frame(shape, ZOOMS), RNG)
    out = step.apply(x, 1)
    back = step.invert(out, 1)
    assert out.shape == (2, *target)
    assert back.shape == x.shape
    kept = back != 0
    np.testing.assert_array_equal(back[kept], x[kept])
    assert kept[0].sum() == np.prod(np.minimum(shape, target))


@pytest.mark.parametrize(
    ("n", "s", "start"),
    [(30, 20, 5), (40, 50, -5), (30, 21, 4), (40, 51, -6), (19, 24, -2), (35, 24, 6), (5, 5, 0)],
)
def test_center_crop_rounds_halves_to_even(n, s, start):
    assert CenterCrop([s, 1]).plan(Frame((n, 1), ZOOMS), RNG).starts == ((start, 0),)


def test_center_crop_by_hand():
    x = np.arange(1, 6).reshape(1, 1, 5)
    np.testing.assert_array_equal(
        CenterCrop([1, 3]).plan(Frame((1, 5), ZOOMS), RNG).apply(x, 1), [[[2, 3, 4]]]
    )
    np.testing.assert_array_equal(
        CenterCrop([1, 7]).plan(Frame((1, 5), ZOOMS), RNG).apply(x, 1), [[[0, 1, 2, 3, 4, 5, 0]]]
    )


def test_crop_does_not_copy_without_padding():
    x = np.zeros((1, 10, 10))
    assert np.shares_memory(CenterCrop([4, 4]).plan(Frame((10, 10), ZOOMS), RNG).apply(x, 1), x)


def test_size_of_other_length_than_the_sample():
    assert CenterCrop([4, 4]).plan(Frame((9, 9, 9), (1.0,) * 3), RNG).shape_out == (4, 4, 9)
    assert CenterCrop([4, 5, 6]).plan(Frame((9, 9), ZOOMS), RNG).shape_out == (4, 5)


@pytest.mark.parametrize("value", [[], [0, 4], [4.5, 4], 4, "44", [True, 4], None])
def test_size_is_checked(value):
    with pytest.raises(ConfigError, match=r"transformation\.CenterCrop\.size"):
        CenterCrop(value)


def test_roi_crop_puts_the_roi_in_the_middle():
    roi = np.zeros((20, 30), np.uint8)
    roi[4:7, 20:23] = 1  # centre of mass (5, 21)
    step = ROICrop([4, 6]).plan(Frame((20, 30), ZOOMS, roi), RNG)
    assert step.starts == ((3, 18),)
    assert step.apply(roi[None], 1).sum() == 9


def test_roi_crop_per_slice():
    roi = np.zeros((2, 10, 10))
    roi[0, 2, 3] = roi[1, 8, 9] = 1
    x = np.random.default_rng(0).random((2, 10, 10))
    step = ROICrop([4, 4]).plan(Frame((10, 10), ZOOMS, roi), RNG)
    out = step.apply(x, 1)
    assert out.shape == (2, 4, 4)
    assert out[0, 2, 2] == x[0, 2, 3]
    assert out[1, 2, 2] == x[1, 8, 9]
    back = step.invert(out, 1)
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    with pytest.raises(DataError, match="2 ROI slices, 3"):
        step.apply(np.zeros((3, 10, 10)), 1)


def test_roi_crop_errors():
    crop = ROICrop([4, 4])
    with pytest.raises(DataError, match="empty"):
        crop.plan(Frame((9, 9), ZOOMS, np.zeros((9, 9))), RNG)
    with pytest.raises(DataError, match="needs a region"):
        crop.plan(Frame((9, 9), ZOOMS), RNG)
    with pytest.raises(DataError, match="must match"):
        crop.plan(Frame((9, 9), ZOOMS, np.ones((9, 8))), RNG)


def test_bounding_box_crop():
    x = np.arange(100).reshape(10, 10)
    out, metadata = BoundingBoxCrop([2, 3])(x, {"bounding_box": [4, 6, 1, 4]})
    np.testing.assert_array_equal(out, x[4:6, 1:4])
    assert metadata["crop_params"] == {"BoundingBoxCrop": (4, 1)}
    np.testing.assert_array_equal(BoundingBoxCrop([2, 3], start=(4, 1))(x)[0], x[4:6, 1:4])
    roi = np.zeros((10, 10))
    roi[4:6, 1:4] = 1
    assert BoundingBoxCrop([4, 5]).plan(Frame((10, 10), ZOOMS, roi), RNG).starts == ((3, 0),)
    with pytest.raises(DataError, match="bounding_box"):
        BoundingBoxCrop([2, 3])(x, {})
    with pytest.raises(DataError, match="empty"):
        BoundingBoxCrop([2, 3]).plan(Frame((10, 10), ZOOMS, np.zeros((10, 10))), RNG)
    assert BoundingBoxCrop([2, 3]).needs_roi
    assert not BoundingBoxCrop([2, 3], start=(0, 0)).needs_roi


def test_croppable_array():
    x = np.arange(6).reshape(2, 3).view(CroppableArray)
    np.testing.assert_array_equal(x[-1:2, 1:5], [[0, 0, 0, 0], [1, 2, 0, 0], [4, 5, 0, 0]])
    assert x[1, 2] == 5
    np.testing.assert_array_equal(x[:, :], np.arange(6).reshape(2, 3))
