"""The crop to a box among other transforms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.transforms import CenterCrop, NormalizeInstance, Resample, ROICrop
from ivadomed.transforms.fixed import box_crop, resampling_factors
from ivadomed.transforms.steps import Frame

HALF = Resample(2, 2, 2)


@pytest.mark.parametrize(
    ("transforms", "place"),
    [
        ([], 0),
        ([HALF], 1),
        ([HALF, CenterCrop([8, 8])], 1),
        ([CenterCrop([8, 8]), HALF], 0),
        ([NormalizeInstance(), HALF, ROICrop([8, 8])], 2),
        ([HALF, CenterCrop([8, 8]), HALF], 1),
    ],
)
def test_it_follows_the_resampling_and_comes_before_other_crops(transforms, place):
    assert box_crop(transforms, [2, 5, 3, 6], (1, 1))[0] == place


def test_it_moves_with_the_voxel_size():
    place, crop = box_crop([HALF], [4, 11, 6, 9, 2, 5], (1, 2, 0.5))
    assert (place, crop.start, crop.size) == (1, (2, 6, 0), (4, 4, 2))
    assert resampling_factors([HALF, CenterCrop([1, 1])], (8, 4), (1, 2)) == [0.5, 1]
    assert resampling_factors([CenterCrop([8, 8]), HALF], (8, 4), (1, 2)) == [1, 1]


def test_it_is_enlarged_to_patches_and_moved_into_the_image():
    _, crop = box_crop([], [30, 39, 0, 3], (1, 1), (40, 6), (16, 8), (4, 4))
    assert (crop.start, crop.size) == ((24, 0), (16, 8))  # the image is smaller than a patch: padded
    _, unknown = box_crop([], [30, 39, 0, 3], (1, 1), None, (16, 8))
    assert (unknown.start, unknown.size) == ((27, 0), (16, 8))


def test_a_box_outside_the_image_is_refused():
    with pytest.raises(DataError, match="outside the image of 40x6 voxels"):
        box_crop([], [40, 49, 0, 3], (1, 1), (40, 6))


@st.composite
def scenes(draw, axes):
    """Shape, box in it, voxel sizes before and after."""
    shape = [draw(st.integers(1, 24)) for _ in range(axes)]
    box = []
    for extent in shape:
        low = draw(st.integers(0, extent - 1))
        box += [low, draw(st.integers(low, extent - 1))]
    sizes = st.lists(st.floats(0.4, 3), min_size=axes, max_size=axes)
    return shape, box, draw(sizes), draw(sizes)


@given(st.integers(2, 3).flatmap(scenes))
def test_the_voxels_of_the_box_stay_inside_to_within_one_voxel(scene):
    shape, box, old, new = scene
    resample = Resample(*new)
    out = resample.plan(Frame(shape, old), np.random.default_rng(0)).shape_out
    _, crop = box_crop([resample], box, old, shape)
    for axis, (n_in, n_out) in enumerate(zip(shape, out, strict=True)):
        # Resampling keeps the first and the last sample in place.
        scale = (n_out - 1) / (n_in - 1) if n_in > 1 else 0
        low, high = (end * scale for end in box[2 * axis : 2 * axis + 2])
        start, size = crop.start[axis], crop.size[axis]
        assert 0 <= start <= low + 1
        assert high - 1 <= start + size - 1 <= n_out - 1


@given(st.integers(2, 3).flatmap(scenes), st.data())
def test_patches_cover_the_crop_exactly(scene, data):
    shape, box, old, new = scene
    numbers = st.lists(st.integers(1, 12), min_size=len(shape), max_size=len(shape))
    length, stride = data.draw(numbers), data.draw(numbers)
    _, crop = box_crop([Resample(*new)], box, old, shape, length, stride)
    _, tight = box_crop([Resample(*new)], box, old, shape)
    for fitted, window, step, least in zip(crop.size, length, stride, tight.size, strict=True):
        assert (fitted - window) % step == 0
        assert fitted >= least


def test_a_crop_at_the_corner_is_that_of_ivadomed_2():
    """By hand: the box starts at its first voxel, ends before its last one, and grows at its end only."""
    _, crop = box_crop([], [30, 39, 2, 22], (1, 1), (40, 40), (16, 16), (8, 8), anchor="corner")
    assert (crop.start, crop.size) == ((30, 2), (16, 24))  # 9 -> 16, beyond the image; 20 -> 16 + 8
    place, moved = box_crop(
        [HALF], [7, 11, 6, 9, 2, 5], (1, 2, 0.5), (20, 20, 20), (4, 4, 4), anchor="corner"
    )
    assert (place, moved.start, moved.size) == (1, (4, 6, 0), (4, 4, 4))  # 3.5 is rounded to even, 0.5 too
    _, tight = box_crop([], [3, 9, 4, 4], (1, 1), (40, 40), anchor="corner")
    assert (tight.start, tight.size) == ((3, 4), (6, 1))
    with pytest.raises(DataError, match="outside the image"):
        box_crop([], [40, 49, 0, 3], (1, 1), (40, 6), anchor="corner")


@given(st.integers(2, 3).flatmap(scenes), st.data())
def test_a_crop_at_the_corner_begins_with_the_box(scene, data):
    shape, box, old, _ = scene
    numbers = st.lists(st.integers(1, 12), min_size=len(shape), max_size=len(shape))
    length, stride = data.draw(numbers), data.draw(numbers)
    _, crop = box_crop([], box, old, shape, length, stride, anchor="corner")
    assert crop.start == tuple(box[::2])
    for size, window, step in zip(crop.size, length, stride, strict=True):
        assert size >= window
        assert (size - window) % step == 0
