"""Metrics in words agree with what the metrics do."""

from pathlib import Path

import numpy as np
import pytest

from ivadomed.evaluation import evaluate_pair
from ivadomed.metrics import get_metric_fns
from ivadomed.metrics.descriptions import COLUMNS, CURVES, describe


@pytest.fixture(scope="module")
def right_and_wrong() -> tuple[dict[str, float], dict[str, float]]:
    """Metrics of a perfect prediction, and of one that finds one lesion of two and makes one up."""
    truth, wrong = np.zeros((2, 20, 20, 4, 1))
    truth[1:4, 1:5, 1] = truth[10:14, 10:14, 2] = 1
    wrong[1:3, 1:5, 1] = wrong[16:18, 16:19, 0] = 1
    values = (evaluate_pair(guess, truth, (1, 1, 1)).metrics for guess in (truth, wrong))
    right, worse = ({name.removesuffix("_class0"): v for name, v in found.items()} for found in values)
    return right, worse


def test_better_is_where_the_perfect_prediction_lies(right_and_wrong):
    right, wrong = right_and_wrong
    for name, described in COLUMNS.items():
        if described.better == "higher":
            assert right[name] > wrong[name], name
        elif described.better == "lower":
            assert right[name] < wrong[name], name
        if described.ratio:
            assert 0 <= wrong[name] <= 1, name
            assert right[name] == (described.better == "higher"), name


def test_every_curve_of_a_training_is_described():
    names = {metric.__name__ for task in ("segmentation", "regression") for metric in get_metric_fns(task)}
    assert names <= {*CURVES, *COLUMNS}


def test_objects_of_a_size_are_described_by_what_they_are():
    assert describe("lf1_21-100vox").label == "Lesion F1 21-100vox"
    assert describe("n_21-100vox").title == "true objects, objects of 21-100vox"
    assert describe("ltpr_0.0-40.0mm3").ratio


def test_a_metric_that_nobody_described_is_shown_by_its_name():
    own = describe("relative_error")
    assert (own.title, own.explanation, own.better, own.ratio) == ("relative error", "", "", False)
    assert describe("intersection_over_union").better == "higher"
    assert describe("numeric_score").explanation == ""  # a function of this name, but not a metric


def test_the_hint_spells_a_metric_out():
    assert describe("hd95").hint.startswith("95th-percentile Hausdorff distance (mm). 95 % of both surfaces")
    assert describe("hd95").hint.endswith("Lower is better.")
    assert "better" not in describe("vol_gt").hint


def test_the_page_has_a_place_for_the_table_and_pipes_stay_in_their_cells():
    reference = pytest.importorskip("metrics_reference")  # needs Sphinx
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert reference.MARKER in page
    rows = reference.metrics_table().splitlines()
    assert len(rows) == len(COLUMNS) + 2
    assert {len(row.replace("\\|", "").split("|")) for row in rows} == {11}
