"""Smooth random fields, against scipy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ivadomed.transforms import smoothing
from ivadomed.transforms.smoothing import cell_count, smooth_field


@pytest.fixture(params=[False, True], ids=["products", "waves"])
def by_waves(request, monkeypatch):
    """Both ways of smoothing, whatever the shape."""
    monkeypatch.setattr(smoothing, "LONG", 1 if request.param else 1000)
    return request.param


def noise_of(shape, amplitudes):
    """The noise that the generator with seed 0 makes, one number per voxel, [n, *shape]."""
    noise = np.random.default_rng(0).random((len(shape), *shape), dtype=np.float32)
    return (2.0 * noise - 1) * np.reshape(amplitudes, (-1, *(1,) * len(shape)))


def filtered(shape, sigmas, amplitudes):
    return np.stack([gaussian_filter(e, sigmas, mode="constant") for e in noise_of(shape, amplitudes)])


def smooth(shape, sigmas, amplitudes):
    return smooth_field(shape, sigmas, amplitudes, np.random.default_rng(0)).numpy()


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(60, 45), (30, 25, 41), (20, 5, 1)])
def test_equals_gaussian_filter(by_waves, sigma, shape):
    sigmas, amplitudes = (sigma,) * len(shape), (1.0, 7.0, 0.5)[: len(shape)]
    out, expected = smooth(shape, sigmas, amplitudes), filtered(shape, sigmas, amplitudes)
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    for component, reference in zip(out, expected, strict=True):
        assert np.abs(component - reference).max() < 3e-6 * reference.std()


@pytest.mark.parametrize("sigma", [4.0, 9.3])
def test_long_axes_equal_gaussian_filter_however_wide_it_is(monkeypatch, sigma):
    monkeypatch.setattr(smoothing, "LONG", 1)
    out, expected = smooth((30, 41), (sigma,) * 2, (1, 1)), filtered((30, 41), (sigma,) * 2, (1, 1))
    assert np.abs(out - expected).max() < 3e-6 * expected.std()


def test_every_axis_has_its_own_width(by_waves):
    shape, sigmas = (12, 13, 14), (2.0, 0.0, 0.7)
    np.testing.assert_allclose(smooth(shape, sigmas, (1,) * 3), filtered(shape, sigmas, (1,) * 3), atol=2e-6)


@pytest.mark.parametrize(("n", "sigma"), [(128, 4.0), (48, 4.0), (37, 2.6), (96, 9.0), (20, 9.3), (3, 30.0)])
def test_cells_vary_as_smoothed_voxels_do(n, sigma):
    one_per_voxel = gaussian_filter(np.eye(n), (sigma, 0), mode="constant")
    expected = one_per_voxel @ one_per_voxel.T
    spread = smoothing._spread(sigma, n).double().numpy()
    assert len(spread) == cell_count(n, sigma) < n
    covariance = spread.T @ spread
    assert np.abs(covariance - expected).max() < 0.01 * expected.max()
    deviation = np.sqrt(np.diag(covariance) / np.diag(expected))
    np.testing.assert_allclose(deviation, 1, atol=0.005)
    # Out of reach of the border there is nothing that a cell does not stand for as well as its voxels.
    reach = int(4 * sigma + 0.5)
    np.testing.assert_allclose(deviation[reach : n - reach], 1, atol=1e-6)
