"""Normalization by mean and deviation, by percentiles, and by the foreground alone."""

import numpy as np
import pytest

from ivadomed.errors import ConfigError
from ivadomed.transforms import NormalizeInstance, NormalizePercentile
from ivadomed.transforms.steps import Frame


def applied(transform, x):
    shape = x.shape[1:]
    step = transform.plan(Frame(shape, (1.0,) * len(shape)), np.random.default_rng(0))
    before = x.copy()
    out = step.apply(x, 2)
    np.testing.assert_array_equal(x, before)
    assert out.dtype == np.float32
    assert out.shape == x.shape
    return out


def test_foreground_is_what_lies_above_the_mean():
    # The mean is 15 / 8 < 2: foreground 4, 4, 6 with mean 14 / 3 and variance 8 / 9.
    x = np.array([[[0, 0, 0, 0.5], [0.5, 4, 4, 6]]], np.float32)
    expected = (x - 14 / 3) / np.sqrt(8 / 9)
    np.testing.assert_allclose(applied(NormalizeInstance(foreground=True), x), expected, rtol=1e-5)


@pytest.mark.parametrize("transform", [NormalizeInstance(True), NormalizePercentile(0, 100, True)])
def test_background_in_view_does_not_count(transform):
    tissue = np.random.default_rng(0).normal(100, 5, (1, 20, 20)).astype(np.float32)
    little, much = (np.pad(tissue, ((0, 0), (n, n), (n, n))) for n in (2, 20))
    np.testing.assert_allclose(
        applied(transform, little)[0, 2:-2, 2:-2], applied(transform, much)[0, 20:-20, 20:-20], rtol=1e-4
    )


def test_foreground_of_one_value_is_normalized_as_a_whole():
    x = np.array([[[0, 0, 0, 1]]], np.float32)
    np.testing.assert_allclose(
        applied(NormalizeInstance(True), x), applied(NormalizeInstance(), x), atol=1e-6
    )


@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.parametrize("value", [0.0, 0.1, -7e5])
@pytest.mark.parametrize("cls", [NormalizeInstance, NormalizePercentile])
def test_a_constant_becomes_zero(cls, foreground, value):
    assert not applied(cls(foreground=foreground), np.full((2, 6, 7), value, np.float32)).any()


def test_percentiles_by_hand():
    x = np.stack([np.arange(101.0), 10 * np.arange(101.0) - 7]).reshape(2, 101, 1)
    out = applied(NormalizePercentile(10, 60), x)
    expected = np.clip((np.arange(101.0) - 10) / 50, 0, 1)
    for channel in out:
        np.testing.assert_allclose(channel[:, 0], expected, atol=1e-6)


def test_percentiles_of_one_value_give_way_to_the_extremes():
    x = np.zeros((1, 20, 20), np.float32)
    x[0, 3, 3] = 8
    out = applied(NormalizePercentile(1, 99), x)
    assert out[0, 3, 3] == 1
    assert out.sum() == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: NormalizePercentile(60, 50),
        lambda: NormalizePercentile(-1, 50),
        lambda: NormalizePercentile(foreground="yes"),
        lambda: NormalizeInstance(foreground=1),
    ],
)
def test_values_are_checked(make):
    with pytest.raises(ConfigError, match="transformation"):
        make()
