"""Simulated low resolution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import ConfigError
from ivadomed.transforms import RandomLowResolution
from ivadomed.transforms.intensity_maths import lower_resolution
from ivadomed.transforms.resampling import thick_matrix
from ivadomed.transforms.steps import Frame, IdentityStep


def plan(transform, shape=(12, 15), seed=0):
    return transform.plan(Frame(shape, (1.0,) * len(shape)), np.random.default_rng(seed))


def test_by_hand():
    # Four voxels to two thick ones of mean 1 and 5, whose centres lie at 0.5 and 2.5: between them a line.
    x = np.array([[[[0, 2, 4, 6]]]], np.float32)
    np.testing.assert_allclose(lower_resolution(x, [(1, 2)])[0], [[[1, 2, 4, 5]]], atol=1e-6)
    np.testing.assert_allclose(lower_resolution(x, [(1, 1)])[0], [[[3, 3, 3, 3]]], atol=1e-6)


@given(st.integers(1, 60), st.data())
def test_weights_sum_to_one_and_are_mirror_images(n, data):
    matrix = thick_matrix(n, data.draw(st.integers(1, n)))
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-5)
    assert (matrix >= 0).all()


def test_as_many_thick_voxels_as_thin_ones_change_nothing():
    np.testing.assert_array_equal(thick_matrix(9, 9), np.eye(9))
    assert isinstance(plan(RandomLowResolution([1, 1], p=1)), IdentityStep)


def test_one_axis_is_drawn_or_the_given_ones_are_lowered():
    x = np.random.default_rng(0).random((1, 12, 15, 10), dtype=np.float32)
    drawn = set()
    for seed in range(20):
        step = plan(RandomLowResolution([2, 3], p=1), x.shape[1:], seed)
        factor, [axis] = step.drawn["low_resolution"]
        assert 2 <= factor <= 3
        counts = list(x.shape[1:])
        counts[axis] = round(counts[axis] / factor)
        np.testing.assert_allclose(step.apply(x, 2), lower_resolution(x[None], [counts])[0])
        drawn.add(axis)
    assert drawn == {0, 1, 2}
    step = plan(RandomLowResolution([3, 3], axes=[0, 2], p=1), x.shape[1:])
    np.testing.assert_allclose(step.apply(x, 2), lower_resolution(x[None], [(4, 15, 3)])[0])


def test_axis_that_a_slice_does_not_have_is_passed_over():
    assert isinstance(plan(RandomLowResolution([3, 3], axes=[2], p=1)), IdentityStep)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomLowResolution([0.5, 2]),
        lambda: RandomLowResolution([3, 2]),
        lambda: RandomLowResolution(axes=[0, 0]),
        lambda: RandomLowResolution(axes=[3]),
        lambda: RandomLowResolution(axes=[]),
        lambda: RandomLowResolution(p=1.5),
    ],
)
def test_values_are_checked(make):
    with pytest.raises(ConfigError, match=r"transformation\.RandomLowResolution"):
        make()
