"""Reading arrays at arbitrary points, against scipy.ndimage.map_coordinates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from ivadomed.transforms import warp
from ivadomed.transforms.warp import sample, voxels_to_unit

sizes = st.integers(1, 12)


def points(shape, seed, reach=2.0, count=60):
    """Points in voxels, inside and up to `reach` voxels outside, [n, count]."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(-reach, n - 1 + reach, count) for n in shape]).astype(np.float32)


def read(x, at, order, **options):
    """Read at a list of points [n, count]."""
    n = len(at)
    units = at * voxels_to_unit(x.shape[1:]).astype(np.float32)[:, None] - 1
    at = torch.from_numpy(units).view(1, n, *(1,) * (n - 1), -1)
    return sample(torch.from_numpy(x)[None], at, order, **options).numpy().reshape(len(x), -1)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("edge", [False, True])
@settings(deadline=None, max_examples=40)
@given(shape=st.one_of(st.tuples(sizes, sizes), st.tuples(sizes, sizes, sizes)), seed=st.integers(0, 2**31))
def test_equals_scipy(order, edge, shape, seed):
    x = np.random.default_rng(seed).random((2, *shape), dtype=np.float32)
    at = points(shape, seed)
    expected = [map_coordinates(e, at, order=order, mode="nearest" if edge else "constant") for e in x]
    out = read(x, at.copy(), order, edge=edge)
    # A point within rounding of the border, or of the middle between two voxels, may fall on either side.
    assert (np.abs(out - expected) > 1e-4).sum() <= 2


def test_whole_voxels_are_read_exactly_up_to_the_border():
    x = np.random.default_rng(0).random((2, 7, 9, 5), dtype=np.float32)
    at = np.stack(np.meshgrid(*map(np.arange, x.shape[1:]), indexing="ij")).astype(np.float32)
    scale = voxels_to_unit(x.shape[1:]).astype(np.float32).reshape(3, 1, 1, 1)
    out = sample(torch.from_numpy(x)[None], torch.from_numpy(at * scale - 1)[None], 1)[0].numpy()
    np.testing.assert_allclose(out, x, atol=1e-5)


def test_points_outside_along_two_axes_do_not_cancel():
    x = np.ones((1, 6, 6), np.float32)
    at = np.array([[-1.5, 6.5, -1.5, 6.5], [6.5, -1.5, -1.5, 6.5]], np.float32)
    assert not read(x, at, 1).any()
    assert not read(np.ones((1, 6, 6, 6), np.float32), np.stack([*at, at[0]]), 1).any()


def test_both_kernels_for_volumes_give_the_same(monkeypatch):
    x = np.random.default_rng(0).random((2, 12, 20, 9), dtype=np.float32)
    at = points(x.shape[1:], 1, count=500)
    by_planes = read(x, at.copy(), 1)
    monkeypatch.setattr(warp, "_MOST_ROWS", 0)
    np.testing.assert_allclose(by_planes, read(x, at.copy(), 1), atol=1e-4)


def test_many_rows_keep_their_precision():
    # 100 x 160 rows: just below the most that are read by planes.
    x = np.random.default_rng(0).random((1, 101, 160, 8), dtype=np.float32)
    at = points(x.shape[1:], 2, reach=0, count=2000)
    expected = map_coordinates(x[0], at, order=1)
    assert np.abs(read(x, at.copy(), 1)[0] - expected).max() < 2e-3
