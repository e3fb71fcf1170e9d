import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import convolve
from scipy.stats import norm

from ivadomed.images.heatmaps import gaussian_kernel, heatmap_generation, rescale_values_array


@given(
    arrays(np.float64, array_shapes(max_dims=3, max_side=6), elements=st.floats(-1e6, 1e6)),
    st.floats(-10, 10),
    st.floats(0.1, 10),
)
@settings(deadline=None)
def test_rescaled_values_span_the_range_in_order(values, low, span):
    before = values.copy()
    out = rescale_values_array(values, low, low + span, dtype=np.float64)
    assert np.array_equal(values, before)
    assert out.shape == values.shape
    if np.ptp(values) > 1e-3:
        assert out.min() == pytest.approx(low, abs=1e-9)
        assert out.max() == pytest.approx(low + span, abs=1e-9)
        order = np.argsort(values, axis=None)
        assert (np.diff(out.ravel()[order]) >= 0).all()


def test_rescaling_by_hand():
    out = rescale_values_array([2, 3, 6], -1, 1)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [-1, -0.5, 1])


def test_constants_and_open_ranges_stay():
    np.testing.assert_array_equal(rescale_values_array(np.full((2, 2), 7.0)), np.full((2, 2), 7.0))
    np.testing.assert_array_equal(rescale_values_array([1, 2], None, 5), [1, 2])


@given(st.integers(3, 30))
def test_kernel_is_a_symmetric_peak(size):
    kernel = gaussian_kernel(size)
    assert kernel.shape == (size, size)
    assert (kernel.min(), kernel.max()) == (0.0, 1.0)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-6)
    np.testing.assert_allclose(kernel, kernel[::-1], atol=1e-6)
    assert kernel[size // 2, size // 2] == pytest.approx(1.0)


def test_kernel_of_three_by_hand():
    outer, middle = norm.cdf(-1 / 3) - norm.cdf(-1), norm.cdf(1 / 3) - norm.cdf(-1 / 3)
    edge = (outer * middle - outer**2) / (middle**2 - outer**2)
    expected = [[0, edge, 0], [edge, 1, edge], [0, edge, 0]]
    np.testing.assert_allclose(gaussian_kernel(3), expected, atol=1e-6)


def test_heatmap_peaks_at_the_points():
    points = np.zeros((40, 40))
    points[10, 12] = points[30, 25] = 1
    heat = heatmap_generation(points, 11)
    np.testing.assert_allclose(
        heat, convolve(points, gaussian_kernel(11).astype(float), mode="constant"), atol=1e-6
    )
    assert heat[10, 12] == pytest.approx(1, abs=1e-6)
    assert heat[30, 25] == pytest.approx(1, abs=1e-6)
    assert heat[20, 5] == pytest.approx(0, abs=1e-6)


def test_no_points_no_heat():
    heat = heatmap_generation(np.zeros((5, 6)), 3)
    assert heat.shape == (5, 6)
    assert not heat.any()
