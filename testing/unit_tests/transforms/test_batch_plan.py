"""Plans on batches of tensors: the same as on the array of each sample."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from ivadomed.transforms import TRANSFORMS, Pipeline, Plan
from ivadomed.transforms.batch_plan import BatchPlan, split_plan
from ivadomed.transforms.intensity_maths import blank, normalize
from ivadomed.transforms.steps import ArrayStep, Frame, IntensityStep
from ivadomed.transforms.warp import CoordinateMaps, FlipStep, WarpStep

ARGUMENTS = {
    "Resample": {"hspace": 0.8, "wspace": 1.3, "dspace": 0.9},
    "CenterCrop": {"size": [10, 9, 5]},
    "ROICrop": {"size": [10, 9, 5]},
    "BoundingBoxCrop": {"size": [10, 9, 5], "start": [1, 2, 0]},
    "NormalizeInstance": {},
    "NormalizePercentile": {},
    "ClipAndStandardize": {"lower": 0.1, "upper": 0.8, "mean": 0.5, "std": 0.2},
    "HistogramClipping": {"min_percentile": 7, "max_percentile": 88.8},
    "Clahe": {"kernel_size": [4, 4]},
    "RandomAffine": {
        "degrees": 25,
        "scale": [0.1, 0.2, 0.1],
        "translate": [0.1, 0.1, 0.1],
        "scale_range": [0.8, 1.2],
    },
    "ElasticTransform": {"alpha_range": [8, 12], "sigma_range": [2, 3], "p": 0.6},
    "RandomReverse": {},
    "RandomMirror": {"p": 0.5},
    "RandomShiftIntensity": {"shift_range": [-1, 1], "prob": 0.6},
    "AdditiveGaussianNoise": {"mean": 0.3, "std": 0.2, "p": 0.7},
    "RandomGamma": {"log_gamma_range": [-0.8, 0.8], "p": 0.8, "p_inverted": 0.5},
    "RandomBrightness": {"factor_range": [0.7, 1.4]},
    "RandomContrast": {"factor_range": [0.7, 1.4]},
    "RandomLowResolution": {"factor_range": [1.5, 3]},
    "RandomBiasField": {"coefficients": 0.5, "order": 3},
    "RandomBlur": {"sigma_range": [0, 2.5]},
    "DilateGT": {"dilation_factor": 0.4},
    "NumpyToTensor": {},
}
ON_ARRAYS = ("Clahe", "DilateGT", "NormalizePercentile")
ON_BATCHES = [name for name in ARGUMENTS if not TRANSFORMS[name].fixed and name not in ON_ARRAYS]
SHAPES = [(1, 16, 13), (3, 17, 12), (1, 14, 11, 9), (2, 12, 13, 1)]  # with the channels


def pipeline(*names, kinds=("im", "gt")):
    return Pipeline.from_config({name: {**ARGUMENTS[name], "applied_to": kinds} for name in names})


def plans_of(chain, shape, count=5, seed=0):
    roi = np.zeros(shape, np.float32)
    roi[tuple(slice(n // 2, n // 2 + 1) for n in shape)] = 1
    rngs = [np.random.default_rng((seed, i)) for i in range(count)]
    return [chain.plan(shape, (1.0, 1.1, 1.2)[: len(shape)], rng, roi) for rng in rngs]


def images(shape, count=5):
    x = np.random.default_rng(1).random((count, *shape), dtype=np.float32)
    x[0] = 0.25  # a constant image
    x[-1, :, : shape[1] // 2] *= -1
    return x


def on_samples(plans, x, kind):
    return np.stack([plan.apply(entry, kind, 1) for plan, entry in zip(plans, x, strict=True)])


def on_batch(plans, x, kind):
    """What a worker does and then the device."""
    parts = [split_plan(plan) for plan in plans]
    first = np.stack([plan.apply(entry, kind, 1) for (plan, _), entry in zip(parts, x, strict=True)])
    return BatchPlan.of([plan for _, plan in parts]).apply(torch.from_numpy(first), kind).numpy()


def test_every_transform_is_tried_here():
    assert set(ARGUMENTS) == set(TRANSFORMS)


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_transform_does_the_same_on_a_batch(name, shape):
    if name == "Clahe" and len(shape) == 4:
        pytest.skip("its tiles are 2D here")
    chain = pipeline(name, kinds=("im", "gt", "roi"))
    plans = plans_of(chain, shape[1:])
    x = images(shape)
    labels = (x > 0.6).astype(np.float32)
    np.testing.assert_allclose(on_batch(plans, x, "im"), on_samples(plans, x, "im"), atol=1e-4)
    np.testing.assert_allclose(on_batch(plans, labels, "gt"), on_samples(plans, labels, "gt"), atol=1e-4)


@settings(deadline=None, max_examples=150)
@given(
    st.permutations([n for n in ARGUMENTS if not TRANSFORMS[n].fixed]),
    st.integers(1, 8),
    st.integers(0, 10**6),
    st.sampled_from(SHAPES),
)
def test_every_chain_does_the_same_on_a_batch(order, length, seed, shape):
    kinds = {name: None if TRANSFORMS[name].geometric or name == "DilateGT" else ["im"] for name in order}
    chosen = [name for name in order[:length] if name != "Clahe" or len(shape) == 3]
    chain = Pipeline.from_config({name: {**ARGUMENTS[name], "applied_to": kinds[name]} for name in chosen})
    plans = plans_of(chain, shape[1:], seed=seed)
    x = images(shape)
    for kind in ("im", "gt", "roi"):
        expected = on_samples(plans, x, kind)
        close = np.isclose(on_batch(plans, x, kind), expected, atol=1e-4 * max(1, np.abs(expected).max()))
        # Rounding decides about points on the very edge of the field of view: a voxel, and what is blurred with it.
        assert close.mean() > 0.995


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_foreground_on_batches(shape):
    chain = Pipeline.from_config({"NormalizeInstance": {"foreground": True}})
    plans, x = plans_of(chain, shape[1:]), images(shape)
    x[1] = x[1] > 0.5  # a foreground of one value
    assert not any(first.steps for first, _ in map(split_plan, plans))
    np.testing.assert_allclose(on_batch(plans, x, "im"), on_samples(plans, x, "im"), atol=1e-4)


@pytest.mark.parametrize("name", ON_BATCHES)
def test_one_operation_for_the_whole_batch(name):
    plans = plans_of(pipeline(name), (16, 13), count=12)
    operations = BatchPlan.of(plans).operations
    # Samples that are mirrored alike make one operation each.
    assert len(operations) <= (3 if name in ("RandomReverse", "RandomMirror") else 1)
    rows = sorted(row for operation in operations for row in operation.rows)
    assert rows == [i for i, plan in enumerate(plans) if plan.steps]
    assert not any(first.steps for first, _ in map(split_plan, plans))


def test_steps_that_not_every_sample_has_still_join():
    chain = pipeline("RandomShiftIntensity", "RandomGamma", "RandomBlur", "NormalizeInstance")
    plans = plans_of(chain, (8, 8), count=16)
    assert len({len(plan.steps) for plan in plans}) > 1
    names = [operation.work.func.__name__ for operation in BatchPlan.of(plans).operations]
    assert names == ["add", "gamma", "blur", "normalize"]


def test_steps_of_different_kinds_never_make_one_operation():
    # One flips axes 1 and 2, one warps in a plane and leaves axis 2: both are told apart by a pair of numbers.
    shape, zooms = (14, 11, 9), (1.0, 1.0, 1.0)
    grid = {"shape_in": shape, "shape_out": shape, "zooms_in": zooms, "zooms_out": zooms}
    shear = np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]])
    steps = FlipStep(**grid, axes=(1, 2)), WarpStep(**grid, matrix=shear, offset=np.zeros(3))
    plans = [Plan((), shape, zooms).then(step, frozenset({"im"})) for step in steps]
    x = images((1, *shape), 2)
    np.testing.assert_allclose(on_batch(plans, x, "im"), on_samples(plans, x, "im"), atol=1e-4)


def test_the_sampling_grid_is_made_once_for_image_and_label():
    # On the CPU, whose cache holds a part of the grid only, the parts are made for each.
    plan = BatchPlan.of(plans_of(pipeline("RandomAffine"), (8, 8))).moved(lambda tensor: tensor.to("meta"))
    maps = plan.operations[0].work
    assert isinstance(maps, CoordinateMaps)
    x = torch.rand(5, 1, 8, 8, device="meta")
    plan.apply(x, "im")
    points = maps._points
    plan.apply(x, "gt")
    assert maps._points is points


@pytest.mark.parametrize("name", ON_BATCHES)
def test_the_host_waits_for_no_device(name):
    """What is copied to a GPU is not waited for, and nothing is read from it; "meta" takes the way of one."""
    waits = []

    class Waits(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if func.overloadpacket is torch.ops.aten._to_copy and not kwargs.get("non_blocking"):
                waits.append((func, args[0].device, kwargs))
            if func.overloadpacket in (torch.ops.aten._local_scalar_dense, torch.ops.aten.nonzero):
                waits.append((func, args[0].device, kwargs))
            return func(*args, **kwargs)

    for shape in SHAPES:
        plan = BatchPlan.of(plans_of(pipeline(name), shape[1:])).moved(lambda tensor: tensor.to("meta"))
        batch = torch.rand(5, *shape, device="meta")
        with Waits():
            plan.apply(batch, "im")
    assert waits == []


@pytest.mark.parametrize(
    "name", ["Clahe", "DilateGT", "NormalizePercentile", "CenterCrop", "ROICrop", "Resample"]
)
def test_what_batches_cannot_do_stays_with_the_sample_and_so_does_what_precedes_it(name):
    chain = pipeline("RandomAffine", name, "NormalizeInstance")
    for plan in plans_of(chain, (16, 13)):
        first, later = split_plan(plan)
        assert len(first.steps) == 2
        assert later.steps == plan.steps[2:]
        assert later.shape_in == first.shape_out == plan.shape_out
        assert later.zooms_in == plan.zooms_out


def test_functions_from_elsewhere_stay_with_the_sample():
    plan = Plan((), (4, 4), (1.0, 1.0)).then(
        ArrayStep.on(Frame((4, 4), (1.0, 1.0)), function=np.exp), frozenset({"im"})
    )
    first, later = split_plan(plan)
    assert (first.steps, later.steps) == (plan.steps, ())


def test_blank_channels():
    plans = [
        Plan((), (4, 4), (1.0, 1.0)).then(
            IntensityStep.on(Frame((4, 4), (1.0, 1.0)), function=blank, arguments={"channels": channels}),
            frozenset({"im"}),
        )
        for channels in ([], [1], [0, 2])
    ]
    out = on_batch(plans, np.ones((3, 3, 4, 4), np.float32), "im")
    assert out.all(axis=(2, 3)).tolist() == [[True] * 3, [True, False, True], [False, True, False]]


def test_batches_are_not_changed_in_place():
    for name in ON_BATCHES:
        x = torch.from_numpy(images((1, 16, 13)))
        before = x.clone()
        BatchPlan.of(plans_of(pipeline(name), (16, 13))).apply(x, "im")
        torch.testing.assert_close(x, before, rtol=0, atol=0)


def test_batch_plans_pickle_and_move():
    plans = plans_of(pipeline("RandomAffine", "ElasticTransform", "NormalizeInstance"), (16, 13))
    x = torch.from_numpy(images((1, 16, 13)))
    plan = BatchPlan.of(plans)
    expected = plan.apply(x, "im")
    torch.testing.assert_close(pickle.loads(pickle.dumps(plan)).apply(x, "im"), expected, rtol=0, atol=0)
    moved: list[torch.Tensor] = []
    plan.moved(lambda tensor: moved.append(tensor) or tensor)
    # The affine maps, a summand [B, n, *grid] per axis, and those with a field and its matrices: 5 samples in all.
    assert sorted(t.ndim for t in moved) == [3, 4, 4, 4, 4, 4]
    assert sum(len(t) for t in moved if t.shape[1:] == (2, 16, 1)) == 5


def test_without_steps_the_batch_is_returned():
    x = torch.rand(2, 1, 4, 4)
    plan = BatchPlan.of([Plan((), (4, 4), (1.0, 1.0))] * 2)
    assert plan.operations == ()
    assert plan.apply(x, "im") is x


def test_kinds():
    chain = pipeline("NormalizeInstance", kinds=["im"])
    plan = BatchPlan.of(plans_of(chain, (8, 8), count=2))
    x = torch.rand(2, 1, 8, 8)
    assert plan.operations[0].work.func is normalize
    assert plan.apply(x, "gt") is x
    torch.testing.assert_close(plan.apply(x, "im").mean((1, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
