"""A chain transform by transform."""

from itertools import pairwise

import numpy as np
import pytest

from ivadomed.transforms import Pipeline
from ivadomed.transforms.pipeline import stepwise

BOTH = {"applied_to": ["im", "gt"]}
CHAIN = Pipeline.from_config(
    {
        "RandomAffine": {"degrees": 20, "translate": [0.1, 0.1], **BOTH},
        "ElasticTransform": {"alpha_range": [8, 9], "sigma_range": [2, 3], "p": 1, **BOTH},
        "Resample": {"hspace": 0.8, "wspace": 0.7},
        "AdditiveGaussianNoise": {"applied_to": ["im"]},
        "CenterCrop": {"size": [20, 24]},
        "RandomReverse": BOTH,
        "NormalizeInstance": {"applied_to": ["im"]},
    }
)
ZOOMS = (1.0, 1.0)


@pytest.fixture
def sample():
    image = np.random.default_rng(0).random((1, 22, 19), dtype=np.float32)
    return {"im": image, "gt": (image > 0.7).astype(np.float32)}


def test_the_last_sample_is_that_of_a_training(sample):
    *_, last = stepwise(CHAIN, sample, ZOOMS, seed=(3, 1))
    fixed, random = CHAIN.split_fixed()
    before = fixed.plan((22, 19), ZOOMS, np.random.default_rng(0))
    plan = random.plan(before.shape_out, before.zooms_out, np.random.default_rng((3, 1)))
    for kind, order in (("im", 2), ("gt", 1)):
        expected = plan.apply(before.apply(sample[kind], kind, order), kind, 1)
        np.testing.assert_array_equal(last.after[kind], expected)


def test_fixed_transforms_come_first_and_each_goes_on_from_the_one_before(sample):
    changes = list(stepwise(CHAIN, sample, ZOOMS, seed=0))
    names = [type(change.stage.transform).__name__ for change in changes]
    assert names[:4] == ["Resample", "CenterCrop", "RandomAffine", "ElasticTransform"]
    assert changes[0].before is sample
    for earlier, later in pairwise(changes):
        np.testing.assert_array_equal(earlier.after["im"], later.before["im"])
        assert earlier.own.shape_out == later.own.shape_in
        assert earlier.own.zooms_out == later.own.zooms_in


def test_a_step_of_its_own_is_the_one_that_the_chain_drew(sample):
    for change in stepwise(CHAIN, sample, ZOOMS, seed=5):
        if type(change.stage.transform).__name__ in ("ElasticTransform", "RandomReverse"):
            continue  # joined with what precedes them: one interpolation instead of two
        order = 2 if change.stage.transform.fixed else 1
        np.testing.assert_allclose(
            change.own.apply(change.before["im"], "im", order), change.after["im"], atol=1e-6
        )


def test_where_voxels_came_from():
    arrays = {"im": np.zeros((1, 6, 8), np.float32)}
    chain = Pipeline.from_config({"CenterCrop": {"size": [4, 10]}, "NormalizeInstance": {}})
    crop, normalize = stepwise(chain, arrays, ZOOMS, seed=0)
    rows, columns = crop.source
    np.testing.assert_array_equal(rows[:, 4], [1, 2, 3, 4])
    np.testing.assert_array_equal(columns[0], [np.nan, *range(8), np.nan])
    assert crop.kept.tolist() == [[row in (1, 2, 3, 4)] * 8 for row in range(6)]
    assert normalize.source is None


def test_nothing_moved_when_nothing_was_drawn():
    chain = Pipeline.from_config({"ElasticTransform": {"alpha_range": [1, 2], "sigma_range": [1, 2], "p": 0}})
    (change,) = stepwise(chain, {"im": np.zeros((1, 6, 8), np.float32)}, ZOOMS, seed=0)
    assert change.own.steps == ()
    assert change.source is None


def test_the_region_of_interest_is_cropped_around_and_goes_along():
    roi = np.zeros((1, 10, 10), np.float32)
    roi[0, 7, 2] = 1
    arrays = {"im": np.arange(100, dtype=np.float32).reshape(1, 10, 10), "roi": roi}
    (change,) = stepwise(Pipeline.from_config({"ROICrop": {"size": [3, 3]}}), arrays, ZOOMS, seed=0)
    assert change.after["roi"].shape == (1, 3, 3)
    assert change.after["roi"].sum() == 1
    assert change.after["im"][change.after["roi"] == 1].tolist() == [72.0]
