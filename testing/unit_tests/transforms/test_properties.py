"""What holds for every transform: in 2D and 3D, for channels and raters, for empty labels, there and back."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, gaussian_filter

from ivadomed.errors import DataError
from ivadomed.transforms import TRANSFORMS, Pipeline
from ivadomed.transforms.steps import Frame, IdentityStep

SHAPES = ((20, 24), (14, 12, 10))
ALWAYS = {
    "Resample": {"hspace": 0.8, "wspace": 1.3, "dspace": 1.2},
    "CenterCrop": {"size": [16, 30, 8]},
    "ROICrop": {"size": [10, 12, 6]},
    "BoundingBoxCrop": {"size": [9, 9, 6]},
    "NormalizeInstance": {"foreground": True},
    "NormalizePercentile": {"foreground": True},
    "HistogramClipping": {},
    "ClipAndStandardize": {"lower": 0.2, "upper": 0.8, "mean": 0.5, "std": 0.2},
    "Clahe": {"kernel_size": [4, 4, 4]},
    "RandomAffine": {"degrees": 20, "translate": [0.1] * 3, "scale": [0.1] * 3},
    "ElasticTransform": {"alpha_range": [10, 20], "sigma_range": [2, 3], "p": 1},
    "RandomReverse": {},
    "RandomMirror": {"p": 1.0},
    "RandomShiftIntensity": {"shift_range": [1, 2], "prob": 1},
    "AdditiveGaussianNoise": {"std": 0.1},
    "RandomGamma": {"log_gamma_range": [0.2, 0.3], "p": 1},
    "RandomBrightness": {"factor_range": [1.5, 2], "p": 1},
    "RandomContrast": {"factor_range": [1.5, 2], "p": 1},
    "RandomLowResolution": {"p": 1},
    "RandomBiasField": {"coefficients": 0.5, "order": 3, "p": 1},
    "RandomBlur": {"sigma_range": [1, 2], "p": 1},
    "DilateGT": {"dilation_factor": 0.5},
    "NumpyToTensor": {},
}
"""Every transform, with arguments with which it always acts."""

IDLE = {
    "RandomAffine": {"degrees": 0, "translate": [0, 0, 0], "scale": [0, 0, 0]},
    "ElasticTransform": {"alpha_range": [0, 0], "sigma_range": [3, 3], "p": 1},
    "Resample": {"hspace": 1, "wspace": 1, "dspace": 1},
    "CenterCrop": {"size": [20, 24]},
    "RandomMirror": {"p": 0},
    "HistogramClipping": {"min_percentile": 0, "max_percentile": 100},
    "ClipAndStandardize": {"lower": -1e9, "upper": 1e9, "mean": 0, "std": 1},
    "RandomShiftIntensity": {"shift_range": [0, 0], "prob": 1},
    "AdditiveGaussianNoise": {"std": 0},
    "RandomGamma": {"log_gamma_range": [0, 0], "p": 1},
    "RandomBrightness": {"factor_range": [1, 1], "p": 1},
    "RandomContrast": {"factor_range": [1, 1], "p": 1},
    "RandomLowResolution": {"factor_range": [1, 1], "p": 1},
    "RandomBiasField": {"coefficients": 0, "order": 3, "p": 1},
    "RandomBlur": {"sigma_range": [0, 0], "p": 1},
    "DilateGT": {"dilation_factor": 0},
    "NumpyToTensor": {},
}
"""Arguments with which a transform changes nothing."""

GEOMETRIC = [
    "RandomAffine",
    "ElasticTransform",
    "RandomReverse",
    "RandomMirror",
    "Resample",
    "CenterCrop",
    "BoundingBoxCrop",
]
NEEDS_ROI = ("ROICrop", "BoundingBoxCrop")


def plan_of(config, shape, seed=0):
    config = copy.deepcopy(config)
    for arguments in config.values():
        if "kernel_size" in arguments:
            arguments["kernel_size"] = arguments["kernel_size"][: len(shape)]
        arguments.setdefault("applied_to", ["im", "gt", "roi"])
    roi = np.zeros(shape, np.float32)
    roi[tuple(slice(n // 3, max(n // 3 + 1, 2 * n // 3)) for n in shape)] = 1
    return Pipeline.from_config(config).plan(shape, (1.0,) * len(shape), np.random.default_rng(seed), roi=roi)


def test_all_are_here():
    assert set(ALWAYS) == set(TRANSFORMS)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ALWAYS)
def test_channels_and_raters_in_2d_and_3d(name, shape):
    rng = np.random.default_rng(0)
    image = rng.random((3, *shape), dtype=np.float32)
    raters = (rng.random((4, *shape)) > 0.7).astype(np.float32)
    before = image.copy(), raters.copy()
    plan = plan_of({name: ALWAYS[name]}, shape)
    out = plan.apply_all({"im": image, "gt": raters}, 1)
    assert out["im"].shape == (3, *plan.shape_out)
    assert out["gt"].shape == (4, *plan.shape_out)
    assert all(np.isfinite(x).all() and x.dtype == np.float32 for x in out.values())
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(raters, before[1])
    # Channels and raters do not mix. Noise alone is drawn for all channels in one go.
    if name != "AdditiveGaussianNoise":
        for c in range(3):
            np.testing.assert_allclose(plan.apply(image[c : c + 1], "im", 1)[0], out["im"][c], atol=1e-5)
    again = pickle.loads(pickle.dumps(plan))
    np.testing.assert_array_equal(again.apply_all({"im": image, "gt": raters}, 1)["im"], out["im"])
    assert plan.invert(out["gt"], "gt", 1).shape == raters.shape


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ALWAYS)
def test_empty_and_single_voxel_labels(name, shape):
    label = np.zeros((2, *shape), np.float32)
    label[1][tuple(n // 2 for n in shape)] = 1
    plan = plan_of({name: ALWAYS[name]}, shape)
    out = plan.apply(label, "gt", 1)
    assert np.isfinite(out).all()
    if name in (*GEOMETRIC, "ROICrop", "DilateGT"):
        assert not out[0].any()
        assert out.min() >= 0
        assert 0 < out[1].max() <= 1 + 1e-6
        assert np.isfinite(plan.invert(out, "gt", 1)).all()


@pytest.mark.parametrize("name", IDLE)
def test_identity_parameters_give_the_identity_bit_for_bit(name):
    for shape in ((20, 24), (20, 24, 6)):
        x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
        plan = plan_of({name: IDLE[name]}, shape)
        np.testing.assert_array_equal(plan.apply(x, "im", 2), x)
        np.testing.assert_array_equal(plan.invert(x, "gt", 1), x)


chains = st.lists(st.sampled_from(GEOMETRIC), unique=True, min_size=1)


@settings(deadline=None, max_examples=60)
@given(chains, st.sampled_from(SHAPES), st.integers(0, 2**31))
def test_image_and_label_move_together_under_every_geometric_chain(names, shape, seed):
    x = (np.random.default_rng(seed).random((1, *shape)) > 0.6).astype(np.float32)
    out = plan_of({name: ALWAYS[name] for name in names}, shape, seed).apply_all(
        {"im": x, "gt": x, "roi": x}, 1
    )
    np.testing.assert_array_equal(out["im"], out["gt"])
    np.testing.assert_array_equal(out["im"], out["roi"])


MILD = {
    "RandomAffine": {"degrees": 15, "translate": [0.05, 0.05], "scale": [0.1, 0.1]},
    "ElasticTransform": {"alpha_range": [10, 30], "sigma_range": [4, 6], "p": 1},
    "RandomMirror": {"p": 0.5},
    "RandomReverse": {},
    "CenterCrop": {"size": [56, 70]},
    "Resample": {"hspace": 0.9, "wspace": 0.8},
}


INTERPOLATING = {"RandomAffine", "ElasticTransform", "Resample"}


def curvature(image):
    """Sum of the absolute principal curvatures of an image [H, W], per voxel squared."""
    hessian = np.array([np.gradient(slope) for slope in np.gradient(image.astype(np.float64))])
    hessian = np.moveaxis((hessian + hessian.swapaxes(0, 1)) / 2, (0, 1), (2, 3))
    return np.abs(np.linalg.eigvalsh(hessian)).sum(-1)


@settings(deadline=None, max_examples=40)
@given(
    st.permutations(list(MILD)).flatmap(lambda names: st.sampled_from([names[:k] for k in range(1, 7)])),
    st.integers(0, 2**31),
)
@example(["RandomAffine", "RandomMirror", "RandomReverse", "CenterCrop", "ElasticTransform", "Resample"], 1)
@example(
    ["RandomReverse", "RandomAffine", "CenterCrop", "RandomMirror", "ElasticTransform", "Resample"],
    1838555718,
)
def test_there_and_back_again(names, seed):
    """Where nothing left the field of view, the error is that of linear interpolation, and of nothing else.

    A linear interpolation between points one voxel apart errs by at most an eighth of the second derivatives along the
    axes, and those add up to no more than the principal curvatures do, however the axes are turned. It averages, so the
    errors of several at most add up: of two for each transform that interpolates, there and back. The others are exact.
    """
    shape = (60, 64)
    x = gaussian_filter(np.random.default_rng(seed).random(shape), 4)
    x = ((x - x.min()) / np.ptp(x))[None].astype(np.float32)
    plan = plan_of({name: MILD[name] for name in names}, shape, seed)
    back = plan.invert(plan.apply(x, "im", 1), "im", 1)
    seen = plan.invert(plan.apply(np.ones_like(x), "im", 1), "im", 1)
    # What is within two voxels of the border may have been interpolated with what lies outside.
    kept = binary_erosion(seen[0] > 0.999, iterations=2, border_value=1)
    assert kept.mean() > 0.25  # so that the means are of many voxels
    interpolations = 2 * len(INTERPOLATING & set(names))
    assert np.abs(back - x)[0][kept].mean() <= interpolations / 8 * curvature(x[0])[kept].mean()


sides = st.integers(1, 15)
odd_shapes = st.tuples(sides, sides) | st.tuples(sides, sides, sides)


@st.composite
def exact_chains(draw):
    """A shape, of any and unequal sides, and transforms that move voxels without interpolating."""
    shape = draw(odd_shapes)
    size = st.lists(sides, min_size=len(shape), max_size=len(shape))
    chain = {
        "CenterCrop": {"size": draw(size)},
        "ROICrop": {"size": draw(size)},
        "BoundingBoxCrop": {"size": draw(size)},
        "RandomReverse": {},
        "RandomMirror": {"p": 1.0},
    }
    names = draw(st.permutations(sorted(chain)).map(lambda names: names[: draw(st.integers(1, 5))]))
    return shape, {name: chain[name] for name in names}


@settings(deadline=None, max_examples=150)
@given(exact_chains(), st.integers(0, 2**31))
def test_what_only_moves_voxels_is_inverted_exactly_at_any_size(drawn, seed):
    shape, chain = drawn
    x = np.random.default_rng(seed).random((2, *shape), dtype=np.float32) + 1
    try:
        plan = plan_of(chain, shape, seed)
    except DataError as error:  # the crop before left nothing of the region to crop to, which is refused
        if "mask is empty" not in str(error):
            raise
        reject()
    moved = plan.apply(x, "im", 1)
    assert moved.shape == (2, *plan.shape_out)
    back, seen = plan.invert(moved, "im", 1), plan.invert(plan.apply(np.ones_like(x), "im", 1), "im", 1)
    assert set(np.unique(seen)) <= {0, 1}
    np.testing.assert_array_equal(back, x * seen)
    kept = np.array(shape)
    for name in chain:
        kept = np.minimum(kept, chain[name].get("size", shape))
    if set(chain) <= {"CenterCrop", "RandomReverse", "RandomMirror"}:
        assert seen.sum() == 2 * kept.prod()


@settings(deadline=None, max_examples=100)
@given(odd_shapes, st.integers(0, 2**31), st.data())
def test_a_grid_that_is_refined_is_restored_exactly_at_any_size(shape, seed, data):
    """To half or a third of the voxels, and back, by the nearest voxel."""
    names = ("hspace", "wspace", "dspace")[: len(shape)]
    zooms = {name: 1 / data.draw(st.integers(1, 3)) for name in names}
    x = np.random.default_rng(seed).integers(0, 9, (1, *shape)).astype(np.float32)
    plan = plan_of({"Resample": {"dspace": 1, **zooms}}, shape, seed)
    np.testing.assert_array_equal(plan.invert(plan.apply(x, "gt", 0), "gt", 0), x)


@settings(deadline=None, max_examples=100)
@given(odd_shapes, st.lists(st.floats(0.3, 4), min_size=3, max_size=3), st.sampled_from([0, 1]))
def test_any_resampling_gives_the_shape_back_and_keeps_what_is_constant(shape, zooms, order):
    plan = plan_of({"Resample": dict(zip(("hspace", "wspace", "dspace"), zooms, strict=True))}, shape)
    x = np.full((1, *shape), 3, np.float32)
    back = plan.invert(plan.apply(x, "im", order), "im", order)
    assert back.shape == x.shape
    np.testing.assert_allclose(back, x, rtol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(list(ALWAYS)), st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_sample(name, seed):
    x = np.random.default_rng(0).random((2, 20, 24), dtype=np.float32)
    first, again = (plan_of({name: ALWAYS[name]}, (20, 24), seed).apply(x, "im", 1) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_lists_of_a_configuration_stay_as_they_are():
    config = copy.deepcopy(ALWAYS)
    config["Clahe"]["kernel_size"] = [4, 4]
    before = copy.deepcopy(config)
    roi = np.ones((20, 24), np.float32)
    pipeline = Pipeline.from_config(config)
    for seed in range(3):
        pipeline.plan((20, 24), (1.0, 1.0), np.random.default_rng(seed), roi=roi)
    assert config == before


def test_a_transform_that_did_not_fire_leaves_no_step():
    config = {
        "RandomMirror": {"p": 0},
        "RandomGamma": {"log_gamma_range": [1, 2], "p": 0},
        "RandomBiasField": {"coefficients": 1, "order": 2, "p": 0},
        "ElasticTransform": {"alpha_range": [1, 2], "sigma_range": [1, 2], "p": 0},
    }
    plan = plan_of(config, (20, 24))
    assert plan.steps == ()
    assert isinstance(
        TRANSFORMS["RandomMirror"](0).plan(Frame((4, 4), (1.0, 1.0)), np.random.default_rng(0)), IdentityStep
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_binary_soft_and_integer_labels(shape):
    """Order 1 interpolates, to be cut at 0.5 or kept soft; order 0 takes the nearest voxel and keeps every value."""
    config = {name: ALWAYS[name] for name in ("Resample", "RandomAffine", "ElasticTransform")}
    plan = plan_of(config, shape)
    rng = np.random.default_rng(1)
    soft = gaussian_filter(rng.random((1, *shape)), (0, *(1,) * len(shape))).astype(np.float32)
    moved = plan.apply(soft, "gt", 1)
    assert soft.min() * 0 <= moved.min() <= moved.max() <= soft.max() + 1e-5
    assert len(np.unique(moved)) > 100  # soft labels stay soft
    integers = rng.integers(0, 4, (1, *shape)).astype(np.int32) * 1000
    nearest = plan.apply(integers, "gt", 0)
    assert nearest.dtype == np.int32
    assert set(np.unique(nearest)) <= {0, 1000, 2000, 3000}
    binary = (soft > np.median(soft)).astype(np.float32)
    linear = plan.apply(binary, "gt", 1)
    # Cutting the interpolated label at 0.5 moves its edge by less than a voxel against the nearest voxel.
    agree = (linear >= 0.5) == (plan.apply(binary, "gt", 0) >= 0.5)
    assert agree.mean() > 0.85
