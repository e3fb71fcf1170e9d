"""Slices, patches and batches; expected numbers are worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.models.registry import Footprint
from ivadomed.models.sizing import plan_unet
from ivadomed.suggest.sizes import (
    Machine,
    SampleLimits,
    Samples,
    choose_batch_size,
    choose_samples,
    coarsest_axis,
    count_tiles,
    why_2d,
)

SMALL = Footprint(1000, 100.0)  # 16 kB and 150 bytes per voxel of a batch
PLENTY = SampleLimits(sample=1 << 20, batch=1 << 20, batch_size=16, memory=10**12)


@pytest.mark.parametrize(
    ("zooms", "axis"),
    [((1, 1, 3), "axial"), ((3, 1, 1), "sagittal"), ((0.5, 2, 0.5), "coronal"), ((1, 1.1, 1), "axial")],
)
def test_slices_are_taken_along_the_coarsest_axis(zooms, axis):
    assert coarsest_axis(np.array(zooms)) == axis


@pytest.mark.parametrize(
    ("zooms", "shape", "reason"),
    [
        ((1, 1, 1), (64, 64, 64), ""),
        ((1, 1, 3), (64, 64, 20), ""),
        ((1, 1, 3.1), (64, 64, 20), "slices are 3.1 times as thick"),
        ((1, 2, 4), (64, 64, 20), ""),
        ((1, 1, 1), (64, 64, 7), "7 slices an image are too few"),
    ],
)
def test_two_dimensions_for_thick_or_few_slices(zooms, shape, reason):
    found = why_2d(np.array(zooms, float), np.array(shape))
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_images_that_are_alike_are_shown_whole():
    shapes = np.array([[60, 90], [64, 100], [50, 98]])
    # 64 pixels are halved four times, down to 4: the largest image rounded up to multiples of 16.
    assert choose_samples(shapes, (1, 1), PLENTY, lambda size: SMALL) == Samples((64, 112), True, (64, 112))


def test_images_of_very_different_sizes_are_shown_in_patches():
    shapes = np.array([[64, 64], [64, 64], [640, 640]])
    assert choose_samples(shapes, (1, 1), PLENTY, lambda size: SMALL) == Samples((64, 64), False, None)


def test_images_smaller_than_a_patch_are_padded():
    shapes = np.array([[32, 64], [64, 64], [640, 640]])
    assert choose_samples(shapes, (1, 1), PLENTY, lambda size: SMALL) == Samples((64, 64), False, (640, 640))


@given(
    st.lists(st.tuples(*[st.integers(8, 700)] * 2), min_size=1, max_size=6),
    st.integers(16 * 16, 1 << 18),
    st.integers(20_000, 10**9),
)
def test_two_samples_fit_and_no_image_is_smaller_than_one(shapes, most, memory):
    limits = SampleLimits(most, 1 << 20, 16, memory)
    samples = choose_samples(np.array(shapes), (1, 1), limits, lambda size: SMALL)
    smallest_patch = max(samples.size) <= 16
    assert math.prod(samples.size) <= most or smallest_patch
    assert SMALL.training_bytes(2, samples.size) <= memory or smallest_patch
    steps = np.prod(plan_unet(samples.size, (1, 1)).strides, axis=0)
    assert not (np.array(samples.size) % steps).any()
    padded = np.maximum(shapes, samples.crop or 0)
    assert (padded >= samples.size).all()


@given(st.tuples(st.integers(40, 300), st.integers(40, 300), st.integers(8, 100)), st.floats(1, 3))
def test_volumes_keep_to_the_limits(shape, thickness):
    limits = SampleLimits(64**3, 1 << 20, 4, 10**9)
    samples = choose_samples(np.array([shape]), (1, 1, thickness), limits, lambda size: SMALL)
    assert math.prod(samples.size) <= 64**3
    assert samples.whole or all(n <= m for n, m in zip(samples.size, shape, strict=True))


@pytest.mark.parametrize(
    ("limits", "count", "expected"),
    [
        (PLENTY, 10_000, 16),
        (PLENTY, 64, 8),  # eight updates an epoch
        (PLENTY, 3, 2),
        (SampleLimits(1 << 20, 4 * 32 * 32, 16, 10**12), 10_000, 4),
        (SampleLimits(1 << 20, 1 << 20, 16, 16_000 + 150 * 32 * 32 * 4), 10_000, 4),
    ],
)
def test_batch_size(limits, count, expected):
    assert choose_batch_size((32, 32), count, limits, SMALL) == expected


def test_tiles_cover_each_image():
    assert count_tiles(np.array([[10, 10], [20, 25], [5, 10]]), (10, 10), (10, 10)) == 1 + 2 * 3 + 1
    assert count_tiles(np.array([[20, 20]]), (10, 10), (5, 10)) == 3 * 2


@pytest.mark.parametrize(
    ("gpu", "subjects", "weights"),
    [
        (False, 3, 4e6),
        (False, 45, 4.5e6),
        (False, 200, 5e6),
        (True, 3, 4e6),
        (True, 20, 20e6),
        (True, 200, 50e6),
    ],
)
def test_weights_grow_with_the_subjects(gpu, subjects, weights):
    assert Machine(gpu, 8 << 30, lambda *_: 1e9).weights(subjects) == weights
