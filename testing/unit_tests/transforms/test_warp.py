"""Coordinate maps: against scipy, their composition and their inverse."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from ivadomed.transforms import warp
from ivadomed.transforms.spatial import ElasticTransform, affine_step
from ivadomed.transforms.steps import Frame
from ivadomed.transforms.warp import FlipStep, WarpStep, fuse

angles = st.floats(-0.5, 0.5)
factors = st.floats(0.8, 1.25)
shifts = st.integers(-3, 3)


def smooth_image(shape, seed=0, sigma=3.0):
    """Smooth image that fades to 0 at the border, [1, *shape]."""
    image = gaussian_filter(np.random.default_rng(seed).random(shape), sigma)
    image = (image - image.min()) / (image.max() - image.min())
    for axis, n in enumerate(shape):
        window = np.hanning(n).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        image = image * np.sqrt(window)
    return image[None].astype(np.float32)


def elastic_step(shape, seed=0, alpha=20.0, sigma=5.0):
    transform = ElasticTransform([alpha, alpha], [sigma, sigma], p=1)
    return transform.plan(Frame(shape, (1.0,) * len(shape)), np.random.default_rng(seed))


def clear_of_border(step):
    """Voxels whose place in the input is not on its border, where rounding decides what is inside."""
    places = np.indices(step.shape_in).reshape(len(step.shape_in), -1)
    at = step.matrix @ places + step.offset[:, None]
    last = np.array(step.shape_in)[:, None] - 1
    return (np.minimum(np.abs(at), np.abs(at - last)) > 1e-4).all(axis=0).reshape(step.shape_in)


@settings(deadline=None, max_examples=40)
@given(angles, st.tuples(factors, factors), st.tuples(shifts, shifts), st.sampled_from([(31, 24), (8, 17)]))
def test_affine_2d_equals_scipy(angle, scale, shift, shape):
    x = np.random.default_rng(1).random((2, *shape), dtype=np.float32)
    step = affine_step(Frame(shape, (1.0, 1.0)), angle + 1e-3, (0, 1), scale, shift)
    for entry, out in zip(x, step.apply(x, 2), strict=True):
        expected = affine_transform(entry, step.matrix, step.offset, order=1)
        np.testing.assert_allclose(out[clear_of_border(step)], expected[clear_of_border(step)], atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(angles, st.tuples(factors, factors, factors), st.tuples(shifts, shifts, shifts), st.integers(0, 2))
def test_affine_3d_equals_scipy(angle, scale, shift, plane):
    shape = (14, 11, 9)
    x = np.random.default_rng(1).random((1, *shape), dtype=np.float32)
    axes = [(0, 1), (0, 2), (1, 2)][plane]
    step = affine_step(Frame(shape, (1.0,) * 3), angle + 1e-3, axes, scale, shift)
    expected = affine_transform(x[0], step.matrix, step.offset, order=1)
    clear = clear_of_border(step)
    np.testing.assert_allclose(step.apply(x, 2)[0][clear], expected[clear], atol=1e-4)


def test_coupled_3d_map_equals_scipy():
    shape = (14, 11, 9)
    x = np.random.default_rng(1).random((1, *shape), dtype=np.float32)
    first = affine_step(Frame(shape, (1.0,) * 3), 0.3, (0, 1))
    both = first.then(affine_step(Frame(shape, (1.0,) * 3), -0.2, (1, 2), (1.1, 0.9, 1.0)))
    expected = affine_transform(x[0], both.matrix, both.offset, order=1)
    assert (np.abs(both.apply(x, 1)[0] - expected) > 1e-4).sum() <= 2


def test_field_equals_map_coordinates():
    shape = (40, 33)
    x = np.random.default_rng(1).random((1, *shape), dtype=np.float32)
    step = elastic_step(shape)
    at = np.mgrid[:40, :33] + step.field
    expected = map_coordinates(x[0], at, order=1)
    assert (np.abs(step.apply(x, 2)[0] - expected) > 1e-3).sum() <= 2


def test_nearest_keeps_labels():
    labels = np.random.default_rng(0).integers(0, 40000, (1, 20, 22)).astype(np.int32) * 50000
    out = affine_step(Frame((20, 22), (1.0, 1.0)), 0.2).apply(labels, 0)
    assert out.dtype == np.int32
    assert set(np.unique(out)) <= {0, *np.unique(labels)}


def test_pixel_shift_by_hand():
    x = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    out = affine_step(Frame((3, 4), (1.0, 1.0)), 0.0, translation=(1, 0)).apply(x, 2)
    np.testing.assert_allclose(out[0], [[4, 5, 6, 7], [8, 9, 10, 11], [0, 0, 0, 0]], atol=1e-4)


def test_quarter_turn_by_hand():
    # The plane turns about shape / 2 = (1.5, 1.5), half a voxel beyond the centre voxel, as in 2.9.10.
    x = np.arange(9, dtype=np.float32).reshape(1, 3, 3)
    out = affine_step(Frame((3, 3), (1.0, 1.0)), np.pi / 2).apply(x, 2)
    # o = (i, j) reads (j, 3 - i): column 3 does not exist.
    np.testing.assert_allclose(out[0], [[0, 0, 0], [2, 5, 8], [1, 4, 7]], atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(angles, st.tuples(factors, factors), st.tuples(shifts, shifts))
def test_affine_inverse_is_exact(angle, scale, shift):
    step = affine_step(Frame((20, 20), (1.0, 1.0)), angle + 1e-3, (0, 1), scale, shift)
    both = step.then(step.inverse)
    np.testing.assert_allclose(both.matrix, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(both.offset, 0, atol=1e-12)


def test_elastic_inverse_restores_the_inside():
    x = smooth_image((64, 64))
    step = elastic_step((64, 64))
    assert np.abs(step.field).max() > 1
    back = step.invert(step.apply(x, 2), 2)
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(back - x)[inside].max() < 0.03
    assert np.abs(step.apply(x, 2) - x)[inside].max() > 0.05


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_fused_equals_one_after_the_other(order):
    x = smooth_image((64, 60), sigma=5)
    steps = [
        affine_step(Frame((64, 60), (1.0, 1.0)), 0.1, scale=(1.1, 0.95), translation=(2, -1)),
        elastic_step((64, 60)),
    ]
    first, later = steps[order[0]], steps[order[1]]
    joined = fuse(first, later)
    expected = later.apply(first.apply(x, 1), 1)
    np.testing.assert_allclose(joined.apply(x, 1)[:, 4:-4, 4:-4], expected[:, 4:-4, 4:-4], atol=0.03)


def test_two_fields_fuse():
    x = smooth_image((64, 60), sigma=5)
    first, later = elastic_step((64, 60), 1), elastic_step((64, 60), 2)
    expected = later.apply(first.apply(x, 1), 1)
    np.testing.assert_allclose(
        first.then(later).apply(x, 1)[:, 6:-6, 6:-6], expected[:, 6:-6, 6:-6], atol=0.03
    )


def test_flip_fuses_exactly():
    x = np.random.default_rng(0).random((1, 9, 12), dtype=np.float32)
    flip = FlipStep(shape_in=(9, 12), shape_out=(9, 12), zooms_in=(1, 1), zooms_out=(1, 1), axes=(1,))
    np.testing.assert_allclose(flip.as_warp().apply(x, 1), x[:, :, ::-1], atol=1e-5)
    turn = affine_step(Frame((9, 12), (1.0, 1.0)), 0.2)
    np.testing.assert_allclose(fuse(flip, turn).apply(x, 1), turn.apply(x[:, :, ::-1], 1), atol=1e-3)
    assert fuse(flip, flip) is None


def test_slabs_give_the_same(monkeypatch):
    x = np.random.default_rng(0).random((2, 30, 20), dtype=np.float32)
    whole = elastic_step((30, 20)).apply(x, 1)
    monkeypatch.setattr(warp, "SLAB_POINTS", 70)
    np.testing.assert_array_equal(elastic_step((30, 20)).apply(x, 1), whole)


def test_pickle_leaves_caches_behind():
    step = elastic_step((64, 64))
    small = len(pickle.dumps(step))
    x = smooth_image((64, 64))
    out = step.apply(x, 1)
    assert len(pickle.dumps(step)) == small
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(step)).apply(x, 1), out)


def test_single_slice_volume():
    x = smooth_image((20, 22))[..., None]
    step = affine_step(Frame((20, 22, 1), (1.0, 1.0, 1.0)), 0.2)
    flat = affine_step(Frame((20, 22), (1.0, 1.0)), 0.2)
    np.testing.assert_allclose(step.apply(x, 1)[..., 0], flat.apply(x[..., 0], 1), atol=1e-5)


def test_arguments_are_not_changed():
    x = smooth_image((20, 22))
    before = x.copy()
    step = elastic_step((20, 22))
    field = step.field.copy()
    step.invert(step.apply(x, 1), 1)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(step.field, field)
    assert isinstance(step, WarpStep)


def test_a_mirrored_single_slice_can_be_sampled():
    shape, zooms = (6, 7, 1), (1.0, 1.0, 1.0)
    flip = FlipStep(shape_in=shape, shape_out=shape, zooms_in=zooms, zooms_out=zooms, axes=(1, 2))
    x = np.arange(42, dtype=np.float32).reshape(1, *shape)
    mirrored = flip.apply(x, 1)
    np.testing.assert_array_equal(mirrored, x[:, :, ::-1])
    out = affine_step(Frame(shape, zooms), 0.0, translation=[1, 0, 0]).apply(mirrored, 1)
    np.testing.assert_allclose(out[:, :-1], mirrored[:, 1:], atol=1e-5)
