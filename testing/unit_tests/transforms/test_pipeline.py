"""Pipelines and plans: the engine the loader and the inference run on."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import ConfigError, DataError
from ivadomed.transforms import TRANSFORMS, Pipeline
from ivadomed.transforms.warp import WarpStep

TUTORIAL = {
    "RandomAffine": {
        "degrees": 5,
        "scale": [0.1, 0.1],
        "translate": [0.03, 0.03],
        "applied_to": ["im", "gt"],
    },
    "ElasticTransform": {
        "alpha_range": [28.0, 30.0],
        "sigma_range": [3.5, 4.5],
        "p": 1,
        "applied_to": ["im", "gt"],
    },
    "Resample": {"hspace": 0.75, "wspace": 0.75, "dspace": 1},
    "CenterCrop": {"size": [32, 32]},
    "NumpyToTensor": {},
    "NormalizeInstance": {"applied_to": ["im"]},
}
X = np.random.default_rng(0).random((1, 40, 50), dtype=np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_fixed_transforms_come_first():
    fixed, rest = Pipeline.from_config(TUTORIAL).split_fixed()
    assert [type(s.transform).__name__ for s in fixed.stages] == ["Resample", "CenterCrop"]
    names = [type(s.transform).__name__ for s in rest.stages]
    assert names == ["RandomAffine", "ElasticTransform", "NumpyToTensor", "NormalizeInstance"]
    plan = fixed.plan((40, 50), (0.5, 0.6), rng())
    assert plan.shape_in == (40, 50)
    assert plan.shape_out == (32, 32)
    assert plan.zooms_out == (0.75, 0.75)
    assert plan.apply(X, "im", 2).shape == (1, 32, 32)
    assert plan.invert(np.ones((3, 32, 32), np.float32), "gt", 1).shape == (3, 40, 50)


def test_geometric_steps_join_into_one_interpolation():
    _, rest = Pipeline.from_config(TUTORIAL).split_fixed()
    plan = rest.plan((40, 50), (1.0, 1.0), rng())
    warp, normalize = (step for _, step in plan.steps)
    assert isinstance(warp, WarpStep)
    assert not normalize.invertible


def test_kinds():
    _, rest = Pipeline.from_config(TUTORIAL).split_fixed()
    plan = rest.plan((40, 50), (1.0, 1.0), rng())
    warped = plan.steps[0][1].apply(X, 1)
    np.testing.assert_array_equal(plan.apply(X, "gt", 1), warped)
    np.testing.assert_allclose(plan.apply(X, "im", 2), (warped - warped.mean()) / warped.std(), atol=1e-4)
    assert plan.apply(X, "roi", 1) is X
    assert plan.invert(X, "roi", 1) is X


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10**6))
def test_same_rng_state_same_plan(seed):
    pipeline = Pipeline.from_config(TUTORIAL)
    a, b = (pipeline.plan((40, 50), (0.7, 0.7), rng(seed)).apply(X, "im", 2) for _ in range(2))
    np.testing.assert_array_equal(a, b)


def test_arrays_of_a_sample_go_through_together_as_one_by_one():
    _, rest = Pipeline.from_config(TUTORIAL).split_fixed()
    plan = rest.plan((40, 50), (1.0, 1.0), rng())
    label = (rng(3).random((2, 40, 50)) > 0.5).astype(np.float32)
    roi = label[:1].astype(np.uint8)
    together = plan.apply_all({"im": X, "gt": label, "roi": roi}, 1)
    assert list(together) == ["im", "gt", "roi"]
    np.testing.assert_array_equal(together["im"], plan.apply(X, "im", 1))
    np.testing.assert_array_equal(together["gt"], plan.apply(label, "gt", 1))
    assert together["roi"] is roi


def test_transforms_of_intensities_leave_labels_alone_unless_asked():
    names = {"RandomBrightness": {"p": 1}, "RandomContrast": {"p": 1}, "NormalizePercentile": {}}
    names["RandomLowResolution"] = {"p": 1}
    plan = Pipeline.from_config(names).plan((40, 50), (1.0, 1.0), rng())
    assert len(plan.steps) == 4
    assert plan.apply(X, "gt", 1) is X
    asked = {name: {**arguments, "applied_to": ["im", "gt"]} for name, arguments in names.items()}
    assert not np.array_equal(
        Pipeline.from_config(asked).plan((40, 50), (1.0, 1.0), rng()).apply(X, "gt", 1), X
    )


def test_inverse_restores_the_field_of_view():
    config = {"CenterCrop": {"size": [30, 60]}, "RandomReverse": {}, "RandomAffine": {"degrees": 10}}
    yy, xx = np.mgrid[:40, :50]
    x = np.exp(-((yy - 20.0) ** 2 + (xx - 25.0) ** 2) / 60)[None].astype(np.float32)
    plan = Pipeline.from_config(config).plan((40, 50), (1.0, 1.0), rng(1))
    back = plan.invert(plan.apply(x, "gt", 1), "gt", 1)
    assert np.abs(back - x)[:, 6:-6].max() < 0.04


def test_leading_axis_may_hold_the_slices_of_a_volume():
    _, rest = Pipeline.from_config(TUTORIAL).split_fixed()
    plan = rest.plan((40, 50), (1.0, 1.0), rng())
    stack = rng(1).random((5, 40, 50), dtype=np.float32)
    one_by_one = np.concatenate([plan.apply(s[None], "im", 2) for s in stack])
    np.testing.assert_allclose(plan.apply(stack, "im", 2), one_by_one, atol=1e-5)


def test_roi_follows_the_steps_before_its_crop():
    roi = np.zeros((40, 50), np.float32)
    roi[29:32, 9:12] = 1
    pipeline = Pipeline.from_config({"Resample": {"hspace": 2, "wspace": 2}, "ROICrop": {"size": [8, 8]}})
    assert pipeline.needs_roi
    plan = pipeline.plan((40, 50), (1.0, 1.0), rng(), roi=roi)
    assert plan.shape_out == (8, 8)
    small = plan.apply(roi[None], "roi", 1)[0]
    assert np.unravel_index(small.argmax(), small.shape) in {(4, 4), (3, 4), (4, 3), (3, 3)}


def test_empty_pipeline_is_the_identity():
    plan = Pipeline.from_config({}).plan((40, 50), (1.0, 1.0), rng())
    assert plan.apply(X, "im", 2) is X
    assert (plan.shape_out, plan.zooms_out) == ((40, 50), (1.0, 1.0))


def test_shape_is_checked():
    plan = Pipeline.from_config(TUTORIAL).plan((40, 50), (1.0, 1.0), rng())
    with pytest.raises(DataError, match="given to a plan"):
        plan.apply(X[:, 1:], "im", 2)
    with pytest.raises(DataError, match="given to a plan"):
        plan.invert(X, "gt", 1)


def test_config_is_not_changed():
    before = copy.deepcopy(TUTORIAL)
    Pipeline.from_config(TUTORIAL).plan((40, 50, 6), (1.0, 1.0, 2.0), rng())
    assert before == TUTORIAL


def test_plans_and_pipelines_pickle():
    pipeline = pickle.loads(pickle.dumps(Pipeline.from_config(TUTORIAL)))
    plan = pipeline.plan((40, 50), (0.7, 0.7), rng())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(plan)).apply(X, "im", 2), plan.apply(X, "im", 2))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Resampel": {}}, r"transformation\.Resampel: no such transform; did you mean 'Resample'\?"),
        (
            {"Resample": {"hspace": 1, "wpsace": 1}},
            r"Resample\.wpsace: no such argument; did you mean 'wspace'\?",
        ),
        ({"Resample": {"hspace": 1}}, r"Resample: wspace must be given"),
        ({"RandomReverse": {"mean": 1}}, r"RandomReverse\.mean: no such argument. Accepted: none"),
        ({"RandomReverse": {"applied_to": ["img"]}}, r"applied_to: \['img'\]"),
        ({"CenterCrop": {"size": [4, 4], "applied_to": ["im"]}}, "remove applied_to"),
    ],
)
def test_config_errors(config, message):
    with pytest.raises(ConfigError, match=message):
        Pipeline.from_config(config)


def test_old_names_warn():
    with pytest.warns(DeprecationWarning, match="is called CenterCrop"):
        pipeline = Pipeline.from_config({"CenterCrop2D": {"size": [4, 4]}})
    assert type(pipeline.stages[0].transform) is TRANSFORMS["CenterCrop"]
