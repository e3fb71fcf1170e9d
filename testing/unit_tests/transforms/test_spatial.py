"""Resample, RandomAffine, ElasticTransform, RandomReverse, RandomMirror."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom

from ivadomed.errors import ConfigError
from ivadomed.transforms import ElasticTransform, RandomAffine, RandomMirror, RandomReverse, Resample
from ivadomed.transforms.steps import Frame, IdentityStep
from ivadomed.transforms.warp import WarpStep


def rng(seed=0):
    return np.random.default_rng(seed)


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(2, 40), st.integers(2, 40)),
    st.tuples(st.floats(0.3, 3), st.floats(0.3, 3)),
    st.floats(0.3, 3),
)
def test_resample_shapes_are_those_of_scipy_and_come_back(shape, zooms, space):
    step = Resample(space, space).plan(Frame(shape, zooms), rng())
    x = rng().random((2, *shape), dtype=np.float32)
    out = step.apply(x, 2)
    expected = tuple(max(n, 1) for n in _scipy_shape(shape, [z / space for z in zooms]))
    assert out.shape == (2, *step.shape_out) == (2, *expected)
    assert step.zooms_out == (space, space)
    assert step.invert(out, 1).shape == x.shape


def _scipy_shape(shape, factors):
    try:
        return zoom(np.zeros(shape), factors, order=0).shape
    except (ValueError, ZeroDivisionError):  # scipy refuses factors that leave nothing
        return tuple(round(n * f) for n, f in zip(shape, factors, strict=True))


def test_resample_halves_by_hand():
    step = Resample(2, 1).plan(Frame((5, 2), (1.0, 1.0)), rng())
    assert step.shape_out == (2, 2)  # 2.5 rounds to even
    np.testing.assert_allclose(step.apply(np.arange(5.0)[None, :, None] * np.ones(2), 1)[0, :, 0], [0, 4])


def test_resample_orders_differ():
    x = rng().random((1, 20, 20), dtype=np.float32)
    step = Resample(0.7, 0.7).plan(Frame((20, 20), (1.0, 1.0)), rng())
    quadratic, linear, nearest = (step.apply(x, order) for order in (2, 1, 0))
    assert not np.allclose(quadratic, linear)
    assert set(np.unique(nearest)) <= set(np.unique(x))
    assert linear.min() >= x.min()


@pytest.mark.parametrize("value", [0, -1, "1", None])
def test_resample_refuses(value):
    with pytest.raises(ConfigError, match=r"transformation\.Resample\.hspace"):
        Resample(value, 1)


def test_affine_draws_within_its_ranges():
    transform = RandomAffine(degrees=[2, 10], translate=[0.1, 0.2], scale=[0.1, 0.0])
    for seed in range(30):
        drawn = transform.plan(Frame((50, 40), (1.0, 1.0)), rng(seed)).drawn
        assert np.deg2rad(2) <= drawn["rotation"][0] <= np.deg2rad(10)
        assert 0.9 <= drawn["scale"][0] <= 1.1
        assert drawn["scale"][1] == 1
        assert abs(drawn["translation"][0]) <= 5
        assert abs(drawn["translation"][1]) <= 8
        assert all(t == round(t) for t in drawn["translation"])


def test_affine_turns_every_plane_of_a_volume_but_stays_in_a_single_slice():
    transform = RandomAffine(degrees=10)
    planes = {
        tuple(transform.plan(Frame((9, 9, 9), (1,) * 3), rng(s)).drawn["rotation"][1]) for s in range(40)
    }
    assert planes == {(0, 1), (0, 2), (1, 2)}
    assert {
        tuple(transform.plan(Frame((9, 9, 1), (1,) * 3), rng(s)).drawn["rotation"][1]) for s in range(9)
    } == {(0, 1)}


@pytest.mark.parametrize("shape", [(12, 9), (6, 7, 8)])
def test_affine_without_range_is_the_identity(shape):
    step = RandomAffine(0).plan(Frame(shape, (1.0,) * len(shape)), rng())
    assert isinstance(step, IdentityStep)
    x = rng().random((1, *shape))
    np.testing.assert_array_equal(step.apply(x, 2), x)


def test_affine_reads_an_old_range_of_factors(caplog):
    assert RandomAffine(scale=[0.98, 1.02]).scale == pytest.approx((0.02,) * 3)
    assert "range of factors" in caplog.text


def test_affine_does_not_extend_the_users_lists():
    translate, scale = [0.1, 0.1], [0.2, 0.2]
    RandomAffine(5, translate, scale).plan(Frame((6, 6, 6), (1.0,) * 3), rng())
    assert (translate, scale) == ([0.1, 0.1], [0.2, 0.2])


@pytest.mark.parametrize(
    "arguments",
    [{"degrees": -5}, {"degrees": [5, 2]}, {"translate": [1.5]}, {"scale": "0.1"}, {"degrees": [1, 2, 3]}],
)
def test_affine_refuses(arguments):
    with pytest.raises(ConfigError, match=r"transformation\.RandomAffine"):
        RandomAffine(**arguments)


@pytest.mark.parametrize(
    "transform",
    [RandomAffine(20, [0.1] * 3, [0.1] * 3), ElasticTransform([20, 30], [3, 4], p=1), RandomReverse()],
    ids=lambda t: type(t).__name__,
)
@pytest.mark.parametrize("shape", [(24, 20), (12, 10, 8)])
def test_image_and_label_get_the_same_geometry_and_seeds_repeat(transform, shape):
    zooms = (1.0,) * len(shape)
    x = rng(1).random((1, *shape), dtype=np.float32)
    step = transform.plan(Frame(shape, zooms), rng(5))
    again = transform.plan(Frame(shape, zooms), rng(5))
    np.testing.assert_array_equal(step.apply(x, 2), step.apply(x, 1))
    np.testing.assert_array_equal(step.apply(x, 2), again.apply(x, 2))
    assert step.drawn == again.drawn


def test_elastic_fires_with_its_probability():
    transform = ElasticTransform([10, 10], [3, 3], p=0.25)
    fired = sum(isinstance(transform.plan(Frame((8, 8), (1.0, 1.0)), rng(s)), WarpStep) for s in range(400))
    assert 70 < fired < 130


def test_elastic_leaves_a_single_slice_in_its_plane():
    field = ElasticTransform([10, 10], [2, 2], p=1).plan(Frame((12, 12, 1), (1.0,) * 3), rng()).field
    assert not field[2].any()
    assert field[0].any()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([(5, 4), (3, 4, 5)]))
def test_reverse_inverts_exactly(seed, shape):
    x = rng().random((2, *shape))
    step = RandomReverse().plan(Frame(shape, (1.0,) * len(shape)), rng(seed))
    np.testing.assert_array_equal(step.invert(step.apply(x, 2), 2), x)


def test_reverse_reaches_every_combination():
    seen = {
        RandomReverse().plan(Frame((2, 2), (1, 1)), rng(s)).apply(np.arange(4).reshape(1, 2, 2), 0)[0, 0, 0]
        for s in range(50)
    }
    assert seen == {0, 1, 2, 3}


def test_mirror_draws_each_axis_by_itself():
    transform = RandomMirror(p=[0.8, 0.1], axes=[2, 0])
    drawn = [transform.plan(Frame((3, 4, 5), (1.0,) * 3), rng(seed)) for seed in range(400)]
    flips = np.array([step.drawn.get("reverse", [False] * 3) for step in drawn])
    assert 290 < flips[:, 2].sum() < 350
    assert 20 < flips[:, 0].sum() < 65
    assert not flips[:, 1].any()


def test_mirror_without_the_axis_or_the_probability_does_nothing():
    assert isinstance(RandomMirror(1.0, axes=[2]).plan(Frame((3, 4), (1.0, 1.0)), rng()), IdentityStep)
    assert isinstance(RandomMirror(0.0).plan(Frame((3, 4), (1.0, 1.0)), rng()), IdentityStep)
    x = np.arange(12).reshape(1, 3, 4)
    np.testing.assert_array_equal(
        RandomMirror(1.0, [1]).plan(Frame((3, 4), (1.0, 1.0)), rng()).apply(x, 1), x[..., ::-1]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"p": 2},
        {"p": [0.5, 0.5]},
        {"p": [0.5], "axes": [0, 1]},
        {"axes": [0, 0]},
        {"axes": [-1]},
        {"axes": 1},
    ],
)
def test_mirror_refuses(arguments):
    with pytest.raises(ConfigError, match=r"transformation\.RandomMirror"):
        RandomMirror(**arguments)


def test_a_volume_of_one_slice_is_not_moved_out_of_view():
    x = rng().random((1, 20, 22, 1), dtype=np.float32)
    step = RandomAffine(5, [0.1] * 3, [0.2] * 3).plan(Frame((20, 22, 1), (1.0,) * 3), rng(1))
    assert step.drawn["scale"][2] == 1
    assert step.apply(x, 1).sum() > 0.5 * x.sum()


def test_one_factor_for_all_axes():
    frame = Frame((10, 10, 10), (1.0, 1.0, 1.0))
    factors = [RandomAffine(scale_range=[0.7, 1.4]).plan(frame, rng(s)).drawn["scale"] for s in range(100)]
    assert all(a == b == c for a, b, c in factors)
    smallest, largest = min(factors)[0], max(factors)[0]
    assert 0.7 <= smallest < 0.75
    assert 1.3 < largest <= 1.4
    assert 40 <= sum(first < 1 for first, *_ in factors) <= 60  # log(0.7) is about -log(1.4)


def test_affine_may_have_a_probability():
    frame = Frame((10, 10), (1.0, 1.0))
    steps = [RandomAffine(degrees=30, p=0.25).plan(frame, rng(s)) for s in range(200)]
    assert 30 <= sum(isinstance(step, WarpStep) for step in steps) <= 70
