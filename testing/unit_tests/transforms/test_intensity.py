"""Intensity transforms."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter

from ivadomed.errors import ConfigError
from ivadomed.transforms import (
    AdditiveGaussianNoise,
    Clahe,
    ClipAndStandardize,
    HistogramClipping,
    NormalizeInstance,
    NormalizePercentile,
    RandomBiasField,
    RandomBlur,
    RandomBrightness,
    RandomContrast,
    RandomGamma,
    RandomLowResolution,
    RandomShiftIntensity,
)
from ivadomed.transforms import intensity_maths as maths
from ivadomed.transforms.steps import Frame

X = np.random.default_rng(0).random((2, 16, 18), dtype=np.float32)
ALL = [
    NormalizeInstance(),
    HistogramClipping(),
    Clahe(),
    RandomShiftIntensity([1, 2], 1),
    AdditiveGaussianNoise(),
    RandomGamma(0.3, 1),
    RandomBiasField(0.5, 3, 1),
    RandomBlur(2, 1),
    RandomBrightness([1.5, 2], 1),
    RandomContrast([1.5, 2], p=1),
    RandomLowResolution([2, 4], p=1),
    NormalizePercentile(),
    ClipAndStandardize(0.2, 0.8, 0.5, 0.25),
    NormalizeInstance(foreground=True),
]


def on_sample(function, x, **arguments):
    """Change an array [C, *spatial] by a function of batches."""
    batch = np.asarray(x, np.float32)[None]
    return function(batch, **{name: [value] for name, value in arguments.items()})[0]


def plan(transform, shape=(16, 18), seed=0):
    return transform.plan(Frame(shape, (1.0,) * len(shape)), np.random.default_rng(seed))


@pytest.mark.parametrize("transform", ALL, ids=lambda t: type(t).__name__)
def test_same_step_same_result_and_no_inverse(transform):
    before = X.copy()
    step = plan(transform)
    out = step.apply(X, 2)
    assert out.shape == X.shape
    assert out.dtype == np.float32
    assert not np.allclose(out, X)
    assert not step.invertible
    assert step.invert(out, 1) is out
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(plan(transform).apply(X, 2), out)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(step)).apply(X, 2), out)


@settings(deadline=None)
@given(st.floats(-100, 100), st.floats(0.1, 1e3), st.integers(1, 3))
def test_normalize_is_invariant_to_scale_and_offset(offset, scale, channels):
    x = np.random.default_rng(1).random((channels, 9, 10))
    out = on_sample(maths.normalize, offset + scale * x)
    np.testing.assert_allclose(
        out, on_sample(maths.normalize, x), atol=2e-3
    )  # float32, offset up to 1000 scales
    np.testing.assert_allclose(out.mean(axis=(1, 2)), 0, atol=2e-3)
    np.testing.assert_allclose(out.std(axis=(1, 2)), 1, atol=1e-4)


def test_normalize_by_hand_and_constants():
    out = on_sample(maths.normalize, [[[0, 2], [0, 2]], [[0.1, 0.1], [0.1, 0.1]], [[0, 0], [0, 0]]])
    np.testing.assert_allclose(out[0], [[-1, 1], [-1, 1]])
    assert not out[1:].any()


def test_clipping_by_hand():
    x = np.stack([np.arange(101.0), 10 * np.arange(101.0)]).reshape(2, 101, 1)
    out = plan(HistogramClipping(10, 80), (101, 1)).apply(x, 2)
    assert (out[0].min(), out[0].max()) == (10, 80)
    assert (out[1].min(), out[1].max()) == (100, 800)
    np.testing.assert_array_equal(out[0, 10:81], x[0, 10:81])


def test_clahe_takes_any_range_and_constants():
    step = plan(Clahe(kernel_size=[8, 8]))
    scaled = step.apply(np.concatenate([1000 * X[:1] - 3, np.full_like(X[:1], 7)]), 2)
    assert 0 <= scaled.min() <= scaled.max() <= 1
    assert not scaled[1].any()
    # One grey level of the 256 histogram bins may go either way by rounding.
    assert np.abs(scaled[0] - step.apply(X, 2)[0]).mean() < 0.01


def test_clahe_kernel_must_fit_the_dimension():
    with pytest.raises(ConfigError, match="3 entries expected"):
        plan(Clahe(), (8, 8, 8))


def test_noise_has_the_moments_asked_for_and_differs_by_channel():
    noise = plan(AdditiveGaussianNoise(3.0, 2.0), (100, 100)).apply(np.zeros((2, 100, 100)), 2)
    np.testing.assert_allclose(noise.mean(axis=(1, 2)), 3, atol=0.1)
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 2, atol=0.1)
    assert not np.array_equal(noise[0], noise[1])


def test_gamma_by_hand():
    x = np.array([[-4.0, 0, 12], [0, 25, 100], [7, 7, 7]])
    np.testing.assert_allclose(
        on_sample(maths.gamma, x, exponent=0.5), [[-4, 4, 12], [0, 50, 100], [7, 7, 7]]
    )


def both_gammas(x, exponent):
    """The transform of an array, and of a batch of tensors of it."""
    yield on_sample(maths.gamma, x, exponent=exponent)
    yield maths.gamma(torch.from_numpy(x)[None], [exponent])[0].numpy()


raw = st.one_of(st.integers(0, 65535).map(float), st.floats(-70000, 70000, width=32))


@given(hnp.arrays(np.float32, (2, 4, 5), elements=raw), st.floats(-1.6, 1.6))
def test_gamma_keeps_range_and_order_of_raw_intensities(x, log_exponent):
    for out in both_gammas(x, float(np.exp(log_exponent))):
        assert np.isfinite(out).all()
        for before, after in zip(x, out, strict=True):
            span = max(float(before.max() - before.min()), 1e-30)
            assert before.min() <= after.min()
            assert after.max() <= before.max()
            np.testing.assert_allclose(after.max(), before.max(), atol=1e-5 * span)
            np.testing.assert_allclose(after.min(), before.min(), atol=1e-5 * span)
            ordered = after.ravel()[np.argsort(before, axis=None, kind="stable")]
            assert (np.diff(ordered) >= -1e-5 * span).all()


@given(hnp.arrays(np.float32, (1, 3, 4), elements=raw))
def test_gamma_of_one_changes_nothing(x):
    for out in both_gammas(x, 1.0):
        np.testing.assert_allclose(out, x, atol=1e-6 * float(np.abs(x).max() + 1e-30))


@given(hnp.arrays(np.float32, (1, 3, 4), elements=st.floats(0, 1000, width=32)), st.floats(-1, 1))
def test_gamma_does_not_depend_on_unit_and_offset(x, log_exponent):
    exponent = float(np.exp(log_exponent))
    assume(np.ptp(x) > 1)
    expected = on_sample(maths.gamma, x, exponent=exponent)
    for out in both_gammas(x * np.float32(4) + np.float32(512), exponent):
        np.testing.assert_allclose((out - 512) / 4, expected, atol=1e-2 * np.ptp(x))


def test_gamma_before_normalization_of_raw_intensities():
    """The order of many configurations of 2.x, with the exponents of these."""
    x = np.linspace(0, 65535, 400, dtype=np.float32).reshape(1, 20, 20)
    for exponent in np.exp([-1.5, 1.5, 3.0]):
        for out in both_gammas(x, float(exponent)):
            assert np.isfinite(on_sample(maths.normalize, out)).all()


def test_bias_field_by_hand():
    assert maths.monomials(2, 1) == [(0, 0), (0, 1), (1, 0)]
    out = on_sample(maths.multiply_bias, np.ones((1, 3, 2)), order=1, coefficients=[0.5, 0.25, 1.0])
    rows, columns = np.mgrid[-1:1:3j, -1:1:2j]
    np.testing.assert_allclose(out[0], np.exp(0.5 + 0.25 * columns + rows), rtol=1e-6)


def test_bias_field_of_a_volume():
    count = len(maths.monomials(3, 2))
    assert count == 10
    coefficients = np.random.default_rng(0).normal(size=count)
    grid = np.stack(np.mgrid[-1:1:4j, -1:1:5j, -1:1:3j])
    terms = [
        c * np.prod([g**e for g, e in zip(grid, exponents, strict=True)], axis=0)
        for c, exponents in zip(coefficients, maths.monomials(3, 2), strict=True)
    ]
    out = on_sample(maths.multiply_bias, np.ones((1, 4, 5, 3)), order=2, coefficients=coefficients)
    np.testing.assert_allclose(out[0], np.exp(sum(terms)), rtol=1e-5)


def test_blur_equals_scipy():
    np.testing.assert_allclose(
        on_sample(maths.blur, X, sigmas=(1.5, 0.4))[1], gaussian_filter(X[1], (1.5, 0.4)), atol=1e-6
    )
    np.testing.assert_array_equal(on_sample(maths.blur, X, sigmas=(0, 0)), X)


def test_contrast_by_hand():
    x = np.array([[[0, 2, 7]]], np.float32)  # mean 3
    np.testing.assert_allclose(
        on_sample(maths.stretch_contrast, x, factor=2, keep_range=False), [[[-3, 1, 11]]]
    )
    np.testing.assert_allclose(on_sample(maths.stretch_contrast, x, factor=2, keep_range=True), [[[0, 1, 7]]])
    np.testing.assert_allclose(
        on_sample(maths.stretch_contrast, x, factor=0.5, keep_range=True), [[[1.5, 2.5, 5]]]
    )


def test_brightness_by_hand():
    step = plan(RandomBrightness([1.5, 1.5], 1))
    np.testing.assert_allclose(step.apply(X, 2), 1.5 * X)
    assert step.drawn == {"brightness": 1.5}


@pytest.mark.parametrize(
    "make",
    [
        lambda p: RandomShiftIntensity([1, 2], p),
        lambda p: RandomGamma(0.3, p),
        lambda p: RandomBiasField(0.5, 3, p),
        lambda p: RandomBlur(2, p),
        lambda p: RandomBrightness(p=p),
        lambda p: RandomContrast(p=p),
        lambda p: RandomLowResolution([2, 4], p=p),
    ],
)
def test_probability_counts_once(make):
    transform = make(0.5)
    fired = sum(plan(transform, seed=s).apply(X, 2) is not X for s in range(300))
    assert 115 < fired < 185
    assert plan(make(0.0)).apply(X, 2) is X


@pytest.mark.parametrize(
    "make",
    [
        lambda: HistogramClipping(50, 20),
        lambda: AdditiveGaussianNoise(std=-1),
        lambda: RandomGamma([1, -1]),
        lambda: RandomBiasField(0.5, -1),
        lambda: RandomBlur([-1, 2]),
        lambda: RandomShiftIntensity([0, 1], prob=2),
        lambda: RandomBrightness([-1, 1]),
        lambda: RandomContrast([2, 1]),
        lambda: RandomContrast(keep_range="no"),
    ],
)
def test_values_are_checked(make):
    with pytest.raises(ConfigError, match="transformation"):
        make()


def test_bounds_mean_and_deviation_of_a_data_set_by_hand():
    x = np.array([[-1000, 0, 60, 900]], np.float32)
    step = plan(ClipAndStandardize(lower=-100, upper=300, mean=50, std=50), shape=(4,))
    np.testing.assert_allclose(step.apply(x, 2), [[-3, -1, 0.2, 5]], rtol=1e-6)
    with pytest.raises(ConfigError, match="lower: 3 is not below upper 3"):
        ClipAndStandardize(3, 3, 0, 1)


def test_inverted_gamma_by_hand():
    x = np.array([[[0, 0.75, 1]], [[2, 2, 2]]], np.float32)
    # 1 - sqrt(1 - 0.75) = 0.5, where the image itself would give sqrt(0.75).
    np.testing.assert_allclose(
        on_sample(maths.gamma, x, exponent=0.5, inverted=True), [[[0, 0.5, 1]], [[2, 2, 2]]]
    )


def test_noise_may_have_a_probability():
    seeds = range(200)
    changed = [plan(AdditiveGaussianNoise(std=1, p=0.25), seed=s).apply(X, 2) is not X for s in seeds]
    assert 30 <= sum(changed) <= 70
