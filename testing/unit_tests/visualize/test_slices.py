"""Cases packed for a page: nothing is lost but detail, and the size holds."""

import base64
import json
import zlib

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ivadomed.visualize import stack_slices
from ivadomed.visualize.slices import coarsen


def unpack(text):
    """Image [H, W, D] and classes [K, H, W, D] of prediction and ground truth, as a page reads them."""
    packed = json.loads(text)
    depth, height, width = packed["shape"]
    labels = np.frombuffer(zlib.decompress(base64.b64decode(packed["labels"])), "<u2").reshape(
        packed["shape"]
    )
    count = 1 + max((k for pair in packed["sets"] for classes in pair for k in classes), default=-1)
    members = np.zeros((2, count, len(packed["sets"])), bool)
    for number, pair in enumerate(packed["sets"]):
        for which, classes in enumerate(pair):
            members[which, list(classes), number] = True
    sprite = iio.imread(base64.b64decode(packed["image"]))
    tiles = [
        sprite[n // packed["tiles"] * height :, n % packed["tiles"] * width :][:height, :width]
        for n in range(depth)
    ]
    prediction, truth = members[..., labels].transpose(0, 1, 3, 4, 2)
    return np.stack(tiles, axis=-1), prediction, truth


def phantom(shape, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    image = np.add.outer(np.add.outer(np.arange(shape[0]), np.arange(shape[1])), np.arange(shape[2])).astype(
        float
    )
    masks, truth = rng.random((2, classes, *shape)) > 0.97
    return image, masks.astype(np.float32), truth.astype(np.float32)


def test_a_small_case_is_whole():
    image, masks, truth = phantom((20, 30, 7))
    stack = stack_slices(image, masks, truth, (1, 1, 3), 2, 1e6)
    assert (stack.step, stack.start, stack.full) == ((1, 1, 1), (0, 0, 0), (7, 20, 30))
    assert (stack.zooms, stack.axes) == ((3, 1, 1), (2, 0, 1))
    grey, prediction, reference = unpack(stack.json)
    np.testing.assert_array_equal(prediction, masks == 1)
    np.testing.assert_array_equal(reference, truth == 1)
    low, high = np.percentile(image, (1, 99))
    np.testing.assert_allclose(grey, np.clip((image - low) / (high - low), 0, 1) * 255, atol=12)  # of JPEG


@pytest.mark.parametrize("slice_axis", [0, 1])
def test_axes_are_those_of_the_slices(slice_axis):
    image, masks, truth = phantom((8, 9, 10))
    stack = stack_slices(image, masks, truth, (1, 1, 1), slice_axis, 1e6)
    assert stack.axes == {0: (0, 2, 1), 1: (1, 2, 0)}[slice_axis]
    assert stack_slices(image, masks, truth, (1, 1, 1), None, 1e6).axes == ()


def test_the_finest_axes_become_coarse_first():
    assert coarsen((512, 512, 30), (0.5, 0.5, 5), 2_000_000) == (2, 2, 1)
    assert coarsen((512, 512, 300), (0.7, 0.7, 1), 4_000_000) == (3, 3, 3)
    assert coarsen((400, 300, 1), (1, 1, 1), 40_000) == (2, 2, 1)
    assert coarsen((4, 4, 4), (1, 1, 1), 64) == (1, 1, 1)


@settings(max_examples=40, deadline=None)
@given(
    masks=arrays(bool, st.tuples(st.just(3), st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))),
    most=st.integers(3000, 20_000),
)
def test_no_label_is_lost_and_the_size_holds(masks, most):
    image = np.random.default_rng(0).normal(size=masks.shape[1:])
    classes = masks.astype(np.float32)
    stack = stack_slices(image, classes[:1], classes[1:], (1, 1, 2), 2, most)
    if stack is None:
        return
    assert len(stack.json) <= most
    labelled = np.argwhere(masks.transpose(0, 3, 1, 2))
    for k, *voxel in labelled:
        place = tuple((np.array(voxel) - stack.start) // stack.step)
        prediction, truth = stack.sets[stack.labels[place]]
        assert (k in prediction) if k == 0 else (k - 1 in truth)


def test_a_large_case_is_cut_to_its_labels_before_it_becomes_coarse():
    image, masks, truth = (
        np.random.default_rng(0).normal(size=(200, 200, 20)),
        *np.zeros((2, 1, 200, 200, 20)),
    )
    truth[0, 100:110, 100:110, 5:10] = 1
    masks[0, 40, 100, 19] = 1  # one voxel, far away
    stack = stack_slices(image, masks, truth, (1, 1, 1), 2, 60_000)
    assert stack.full == (20, 200, 200)
    assert stack.start[1] > 0
    assert max(stack.step) > 1
    _, prediction, reference = unpack(stack.json)
    assert prediction.sum() == 1
    assert reference.sum() >= 500 / np.prod(stack.step)


def test_more_classes_than_a_number_has_bits():
    image, masks, truth = phantom((6, 7, 8), classes=40)
    _, prediction, reference = unpack(stack_slices(image, masks, truth, (1, 1, 1), 2, 1e6).json)
    np.testing.assert_array_equal(prediction, masks == 1)
    np.testing.assert_array_equal(reference, truth == 1)


def test_too_few_bytes_show_nothing():
    image, masks, truth = phantom((30, 30, 30))
    assert stack_slices(image, masks, truth, (1, 1, 1), 2, 300) is None
    assert stack_slices(image, masks, truth, (1, 1, 1), 2, 0) is None
