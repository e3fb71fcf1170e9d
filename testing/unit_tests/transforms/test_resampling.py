"""Spline resizing, against scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom

from ivadomed.transforms import resampling
from ivadomed.transforms.resampling import as_tensor, resize, spline_matrix, spline_taps

lengths = st.integers(1, 40)


@settings(deadline=None, max_examples=60)
@given(lengths, lengths, st.sampled_from([0, 1, 2]), st.integers(0, 2**31))
def test_equals_scipy_zoom_along_one_axis(n_in, n_out, order, seed):
    # mode="mirror" is the prefilter of scipy's default mode, without its zero where the last sample
    # is rounded to just beyond the end.
    x = np.random.default_rng(seed).random(n_in, dtype=np.float32)
    expected = zoom(x, n_out / n_in, order=order, mode="mirror")
    np.testing.assert_allclose(resize(x[None], (n_out,), order)[0], expected, atol=1e-5)


@pytest.mark.parametrize(("shape", "out"), [((30, 21), (19, 35)), ((12, 9, 14), (20, 9, 7))])
@pytest.mark.parametrize("order", [0, 1, 2])
def test_equals_scipy_zoom_in_all_axes(shape, out, order):
    x = np.random.default_rng(3).random((2, *shape), dtype=np.float32)
    factors = [b / a for a, b in zip(shape, out, strict=True)]
    expected = np.stack([zoom(e, factors, order=order, mode="mirror") for e in x])
    np.testing.assert_allclose(resize(x, out, order), expected, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("axis", [1, 2])
def test_long_axes_give_the_same_as_short_ones(monkeypatch, order, axis):
    x = np.random.default_rng(0).random((2, 50, 40), dtype=np.float32)
    out = [50, 40]
    out[axis - 1] = 77
    by_matrix = resize(x, out, order)
    monkeypatch.setattr(resampling, "MATRIX_LIMIT", 10)
    np.testing.assert_allclose(resize(x, out, order), by_matrix, atol=1e-5)


def test_a_constant_stays_constant_to_the_last_sample():
    # scipy.ndimage.zoom(np.ones(8), 26 / 8, order=1)[-1] is 0.
    np.testing.assert_allclose(resize(np.ones((1, 8)), (26,), 1), 1, atol=1e-6)


def test_matrix_of_linear_doubling_by_hand():
    # 3 samples to 5: every second one lies half way.
    expected = [[1, 0, 0], [0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(spline_matrix(3, 5, 1), expected, atol=1e-7)


def test_nearest_keeps_dtype_and_values():
    x = np.array([[5, 7, 9]], dtype=np.uint16)
    out = resize(x, (6,), 0)
    assert out.dtype == np.uint16
    assert set(out[0]) == {5, 7, 9}


def test_cubic_is_refused():
    with pytest.raises(ValueError, match="order 3"):
        spline_taps(5, 6, 3)


def test_read_only_input_is_accepted():
    x = np.random.default_rng(0).random((1, 8, 9), dtype=np.float32)
    x.setflags(write=False)
    assert resize(x, (5, 5), 2).shape == (1, 5, 5)


@pytest.mark.parametrize("shape", [(2, 1, 5), (1, 4, 1), (3, 2, 2)])
def test_mirrored_arrays_become_tensors(shape):
    plain = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for axis in range(3):
        np.testing.assert_array_equal(as_tensor(np.flip(plain, axis)), np.flip(plain, axis))
