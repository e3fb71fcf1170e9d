"""Smoothing of displacement fields, against scipy."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from ivadomed.transforms import smoothing
from ivadomed.transforms.smoothing import line_filter, smooth_field


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 2.0, 4.0, 9.3])
@pytest.mark.parametrize("shape", [(60, 45), (30, 25, 41), (20, 5, 1)])
@pytest.mark.parametrize("by_waves", [False, True])
def test_equals_gaussian_filter(monkeypatch, sigma, shape, by_waves):
    monkeypatch.setattr(smoothing, "LONG", 1 if by_waves else 1000)
    n = len(shape)
    x = np.random.default_rng(0).random((n, *shape), dtype=np.float32) - 0.5
    field = torch.from_numpy(x.copy())
    assert smooth_field(field, (sigma,) * n) is field
    out = field.numpy()
    expected = np.stack([gaussian_filter(e.astype(float), sigma, mode="constant", truncate=6) for e in x])
    assert np.abs(out - expected).max() < 3e-5 * expected.std()


@pytest.mark.parametrize("by_waves", [False, True])
def test_every_axis_has_its_own_width(monkeypatch, by_waves):
    monkeypatch.setattr(smoothing, "LONG", 1 if by_waves else 1000)
    x = np.random.default_rng(0).random((3, 12, 13, 14), dtype=np.float32)
    out = smooth_field(torch.from_numpy(x.copy()), (2.0, 0.0, 0.7)).numpy()
    expected = np.stack(
        [gaussian_filter(e.astype(float), (2, 0, 0.7), mode="constant", truncate=6) for e in x]
    )
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_nothing_to_smooth():
    x = torch.rand(2, 5, 5)
    torch.testing.assert_close(smooth_field(x.clone(), (0.0, 0.0)), x, rtol=0, atol=0)


def test_components_one_by_one_give_the_same(monkeypatch):
    x = torch.rand(3, 9, 10, 11)
    together = smooth_field(x.clone(), (2.0, 1.0, 3.0))
    monkeypatch.setattr(smoothing, "LARGE", 1)
    torch.testing.assert_close(smooth_field(x, (2.0, 1.0, 3.0)), together)


def test_wide_filters_pass_through_few_points():
    down, up = line_filter(128, 8.0)
    assert down.shape == (38, 128)
    torch.testing.assert_close(up, down.T)
    assert len(line_filter(20, 1.0)) == 1
    # Denormal numbers in a product would take a hundred times as long.
    assert float(down.min()) > 1e-15
