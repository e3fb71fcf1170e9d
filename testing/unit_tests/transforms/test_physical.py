"""Angles, distances and smoothness in mm, on voxels that are no cubes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import ConfigError
from ivadomed.transforms import ElasticTransform, RandomAffine
from ivadomed.transforms.spatial import affine_step
from ivadomed.transforms.steps import Frame

zooms_of = st.floats(0.5, 2.0)


def in_mm(shape, zooms):
    """Places of the voxels in mm from the centre of the image, [n, *shape]."""
    axes = [(np.arange(n) - (n - 1) / 2) * z for n, z in zip(shape, zooms, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def blob(places, centre, width=6.0):
    """A ball without an edge, [1, *shape] float32."""
    distance = sum((p - c) ** 2 for p, c in zip(places, centre, strict=True))
    return np.exp(-distance / (2 * width**2)).astype(np.float32)[None]


def test_quarter_turn_of_voxels_twice_as_wide_as_high():
    x = np.random.default_rng(0).random((1, 41, 21), dtype=np.float32)
    out = affine_step(Frame((41, 21), (1.0, 2.0)), np.pi / 2, physical=True).apply(x, 1)
    # The voxel (i, j) lies at (i - 20, 2 j - 20) mm and reads (2 j - 20, 20 - i) mm: the voxel (2 j, 20 - i / 2).
    expected = np.array([[x[0, 2 * j, 20 - i // 2] for j in range(21)] for i in range(0, 41, 2)])
    np.testing.assert_allclose(out[0, ::2], expected, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.floats(-180, 180), st.tuples(zooms_of, zooms_of), st.floats(-12, 12), st.floats(-12, 12))
def test_a_turned_blob_is_the_blob_at_the_turned_place(degrees, zooms, y, x):
    shape = tuple(round(70 / z) for z in zooms)
    places, angle = in_mm(shape, zooms), np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    step = affine_step(Frame(shape, zooms), angle, physical=True)
    expected = blob(places, turn.T @ [y, x])
    # Linear interpolation errs by z^2 / 8 times the curvature, which is 1 / 6^2 at most, per axis.
    np.testing.assert_allclose(step.apply(blob(places, (y, x)), 1), expected, atol=0.03)


@pytest.mark.parametrize("axes", [(0, 1), (0, 2), (1, 2)])
def test_a_ball_stays_a_ball_in_every_plane_of_a_volume(axes):
    zooms = (1.0, 1.5, 2.5)
    shape = tuple(round(50 / z) + 1 for z in zooms)
    ball = blob(in_mm(shape, zooms), (0, 0, 0))
    turned = affine_step(Frame(shape, zooms), 0.8, axes, physical=True).apply(ball, 1)
    np.testing.assert_allclose(turned, ball, atol=0.04)
    on_voxels = affine_step(Frame(shape, zooms), 0.8, axes).apply(ball, 1)
    assert np.abs(on_voxels - ball).max() > 0.2


def test_distances_are_in_mm_and_of_any_length():
    transform = RandomAffine(translate=[6, 6], physical=True)
    drawn = np.array(
        [
            transform.plan(Frame((40, 80), (1.0, 0.5)), np.random.default_rng(s)).drawn["translation"]
            for s in range(200)
        ]
    )
    assert np.abs(drawn).max(axis=0) == pytest.approx([6, 12], abs=0.5)
    assert np.abs(drawn).max() <= 12
    assert not np.allclose(drawn, np.round(drawn))


def test_undoing_a_shift_in_mm_leaves_the_rest_in_place():
    transform = RandomAffine(translate=[2, 2], physical=True)
    x = blob(in_mm((41, 41), (1.0, 1.0)), (0, 0))[0]
    y, metadata = transform([x], [{"zooms": [1.0, 1.0], "data_type": "im"}])
    back, _ = transform.undo_transform(y, metadata)
    np.testing.assert_allclose(back[0][3:-3, 3:-3], x[3:-3, 3:-3], atol=0.02)


@pytest.mark.parametrize("cls", [RandomAffine, ElasticTransform])
def test_voxels_of_one_mm_make_no_difference(cls):
    arguments = (
        {"degrees": 0, "scale": [0.1, 0.1]}
        if cls is RandomAffine
        else {"alpha_range": [20, 30], "sigma_range": [3, 4], "p": 1}
    )
    x = np.random.default_rng(0).random((1, 31, 33), dtype=np.float32)
    plain, physical = (
        cls(**arguments, physical=p).plan(Frame((31, 33), (1.0, 1.0)), np.random.default_rng(1))
        for p in (False, True)
    )
    if cls is ElasticTransform:
        np.testing.assert_array_equal(plain.apply(x, 1), physical.apply(x, 1))
    np.testing.assert_allclose(plain.matrix, physical.matrix)


def test_a_field_has_the_same_size_and_smoothness_in_mm_on_any_voxels():
    sigma, lag = 4.0, 4.0
    transform = ElasticTransform([100, 100], [sigma, sigma], p=1, physical=True)
    for zooms in ((1.0, 1.0), (0.5, 2.0), (2.0, 2.0)):
        shape = tuple(round(160 / z) for z in zooms)
        margin = tuple(round(20 / z) for z in zooms)
        inside = (slice(None), slice(margin[0], -margin[0]), slice(margin[1], -margin[1]))
        fields = [
            transform.plan(Frame(shape, zooms), np.random.default_rng(s)).field[inside] for s in range(12)
        ]
        mm = np.stack(fields) * np.array(zooms).reshape(1, 2, 1, 1)
        # Noise of variance 1 / 3, smoothed: 100 / sqrt(3) / (2 sqrt(pi) sigma) mm.
        expected = 100 / np.sqrt(3) / (2 * np.sqrt(np.pi) * sigma)
        np.testing.assert_allclose(mm.std(axis=(0, 2, 3)), expected, rtol=0.12)
        for axis in (0, 1):
            step = round(lag / zooms[axis])
            one = np.moveaxis(mm, 2 + axis, 0)
            correlation = np.corrcoef(one[:-step].ravel(), one[step:].ravel())[0, 1]
            assert correlation == pytest.approx(np.exp(-(lag**2) / (4 * sigma**2)), abs=0.06)


def test_a_single_slice_is_deformed_like_a_plane():
    transform = ElasticTransform([20, 20], [3, 3], p=1, physical=True)
    flat = [
        transform.plan(Frame((60, 60), (1.0, 1.0)), np.random.default_rng(s)).field.std() for s in range(10)
    ]
    deep = [
        transform.plan(Frame((60, 60, 1), (1.0, 1.0, 5.0)), np.random.default_rng(s)).field[:2].std()
        for s in range(10)
    ]
    assert np.mean(deep) == pytest.approx(np.mean(flat), rel=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomAffine(physical=1),
        lambda: ElasticTransform([1, 2], [1, 2], physical="mm"),
        lambda: RandomAffine(translate=[2.0]),
    ],
)
def test_values_are_checked(make):
    with pytest.raises(ConfigError, match="transformation"):
        make()
