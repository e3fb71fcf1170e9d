"""Smoothing of displacement fields, against scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ivadomed.transforms import smoothing
from ivadomed.transforms.smoothing import smooth_field


@pytest.fixture(params=[False, True], ids=["products", "waves"])
def by_waves(request, monkeypatch):
    """Both ways of smoothing, whatever the shape."""
    monkeypatch.setattr(smoothing, "LONG", 1 if request.param else 1000)
    return request.param


def field_of(shape):
    return np.random.default_rng(0).random((len(shape), *shape), dtype=np.float32) - 0.5


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 2.0, 4.0, 9.3])
@pytest.mark.parametrize("shape", [(60, 45), (30, 25, 41), (20, 5, 1)])
def test_equals_gaussian_filter(by_waves, sigma, shape):
    x = field_of(shape)
    out = smooth_field(torch.from_numpy(x.copy()), (sigma,) * len(shape)).numpy()
    expected = np.stack([gaussian_filter(e.astype(float), sigma, mode="constant") for e in x])
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    assert np.abs(out - expected).max() < 3e-6 * expected.std()


def test_every_axis_has_its_own_width(by_waves):
    x = field_of((12, 13, 14))
    out = smooth_field(torch.from_numpy(x.copy()), (2.0, 0.0, 0.7)).numpy()
    expected = np.stack([gaussian_filter(e.astype(float), (2, 0, 0.7), mode="constant") for e in x])
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_components_of_a_large_field_are_smoothed_one_by_one(monkeypatch):
    x = torch.from_numpy(field_of((9, 10, 11)))
    together = smooth_field(x.clone(), (2.0, 1.0, 3.0))
    monkeypatch.setattr(smoothing, "LARGE", 1)
    torch.testing.assert_close(smooth_field(x, (2.0, 1.0, 3.0)), together)
