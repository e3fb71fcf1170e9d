"""The choice among candidates, with numbers worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from ivadomed.auto.choice import choose, runner_up, subject_scores, with_pair

SUBJECTS = {"sub-1_T1w": "sub-1", "sub-1_T2w": "sub-1", "sub-2_T1w": "sub-2"}


def table(**columns):
    return pd.DataFrame(columns, index=pd.Index(list(SUBJECTS), name="image_id"))


def test_a_subject_counts_once_however_many_images_it_has():
    of_images = table(dice_class0=[0.6, 0.8, 0.5], dice_class1=[0.8, 1.0, 0.7], lf1_class0=[0.0, 0.0, 0.0])
    scores = subject_scores(of_images, SUBJECTS, lesions=())
    assert scores.to_dict() == pytest.approx({"sub-1": 0.8, "sub-2": 0.6})


def test_of_lesions_the_objects_count():
    of_images = table(
        dice_class0=[0.6, 0.6, 0.6], dice_class1=[0.1, 0.1, np.nan], lf1_class1=[1.0, 0.8, np.nan]
    )
    scores = subject_scores(of_images, SUBJECTS, lesions=(1,))
    assert scores.to_dict() == pytest.approx({"sub-1": (0.6 + 0.9) / 2, "sub-2": 0.6})


def test_the_highest_mean_wins_and_the_difference_is_said():
    scores = {
        "2d": pd.Series({"a": 0.7, "b": 0.8, "c": 0.75}),
        "3d": pd.Series({"a": 0.8, "b": 0.9, "c": 0.85}),
    }
    verdict = choose(scores, {"2d": 1, "3d": 9}, {"3d_lowres": "failed: no memory"})
    assert verdict.winner == "3d"
    assert verdict.reasons["2d"] == "behind 3d by 0.100 [0.100, 0.100], on 3 subjects"
    assert verdict.reasons["3d_lowres"] == "failed: no memory"
    assert np.isnan(verdict.scores["3d_lowres"])


def test_of_equals_the_cheaper_one_is_taken():
    scores = {"3d": pd.Series({"a": 0.8, "b": 0.9}), "2d": pd.Series({"a": 0.8999, "b": 0.7999})}
    verdict = choose(scores, {"2d": 1, "3d": 9}, {})
    assert verdict.winner == "2d"
    assert verdict.reasons["3d"] == "as good as 2d, but costs more"


SCORES = {
    "3d": pd.Series({"a": 0.80, "b": 0.82, "c": 0.84}),
    "2d": pd.Series({"a": 0.70, "b": 0.70, "c": 0.70}),
    "mine": pd.Series({"a": 0.79, "b": 0.79, "c": 0.79}),
}


@pytest.mark.parametrize(
    ("gains", "reason"),
    [
        # Student's t of three: the interval reaches 4.303 * deviation / sqrt(3) to either side.
        ((0.01, 0.012, 0.014), "gains 0.012 [0.007, 0.017] over 3d, on 3 subjects"),
        (
            (0.0, 0.01, 0.02),
            "gains 0.010 [-0.015, 0.035] over 3d, on 3 subjects; at least 0.002 is required, with an interval above 0",
        ),
        (
            (0.001, 0.001, 0.001),
            "gains 0.001 [0.001, 0.001] over 3d, on 3 subjects; at least 0.002 is required, with an interval above 0",
        ),
    ],
    ids=["wins", "unsure", "too little"],
)
def test_a_pair_wins_by_enough_and_surely(gains, reason):
    verdict = choose(SCORES, {}, {"3d_lowres": "failed: no memory"})
    assert (verdict.winner, runner_up(verdict)) == ("3d", "mine")
    found = with_pair(verdict, "3d+mine", SCORES["3d"] + pd.Series(gains, index=list("abc")), SCORES["3d"])
    assert found.reasons["3d+mine"] == reason
    assert found.winner == ("3d" if "is required" in reason else "3d+mine")
    assert found.scores["3d+mine"] == pytest.approx(0.82 + sum(gains) / 3)


def test_a_candidate_alone_has_no_runner_up():
    assert runner_up(choose({"3d": SCORES["3d"]}, {}, {"2d": "failed: no memory"})) is None
