"""The division of a budget, with numbers worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.auto.division import divide


@pytest.mark.parametrize(
    ("budget", "at_once", "candidates", "n_folds", "minutes"),
    [
        (22, 1, 1, 0, 22),  # three folds take 3 x 10 minutes
        (36, 1, 1, 3, 12),
        (50, 1, 1, 5, 10),
        (119, 1, 1, 5, 23.8),
        (120, 1, 2, 5, 20),  # two candidates and four folds, each twice as long as need be
        (25, 2, 1, 3, 12.5),  # two at a time: five folds take three rounds of 8.3 minutes, three take two
        (30, 2, 1, 5, 10),
        (40, 4, 2, 5, 20),  # both candidates, then the four other folds
    ],
)
def test_divisions_by_hand(budget, at_once, candidates, n_folds, minutes):
    division = divide(budget, {"3d": 10.0, "2d": 5.0}, 100, at_once)
    assert division.candidates == ("3d", "2d")[:candidates]
    assert division.n_folds == n_folds
    assert division.minutes == pytest.approx(minutes)


def test_two_may_win_together_when_there_is_time_for_the_folds_of_both():
    least = {"3d": 10.0, "2d": 5.0}
    assert not divide(399, least, 100).pair
    division = divide(400, least, 100)  # two candidates and four folds of each, four times as long as need be
    assert (division.pair, division.n_folds, division.minutes) == (True, 5, pytest.approx(40))
    assert divide(240, least, 100, at_once=2).minutes == pytest.approx(48)  # one round, then two for each


def test_no_more_folds_than_subjects():
    assert divide(1000, {"2d": 1.0}, subjects=4).n_folds == 4
    assert divide(1000, {"2d": 1.0}, subjects=2).n_folds == 2


@given(
    budget=st.floats(0.1, 10_000),
    least=st.lists(st.floats(0.01, 100), min_size=1, max_size=4),
    subjects=st.integers(2, 1000),
    at_once=st.integers(1, 8),
)
def test_the_trainings_fill_the_budget(budget, least, subjects, at_once):
    division = divide(budget, {str(k): minutes for k, minutes in enumerate(least)}, subjects, at_once)
    assert division.minutes * division.rounds(at_once) == pytest.approx(budget)
    assert division.n_folds <= subjects
    if division.n_folds:
        assert division.minutes >= max(least[int(name)] for name in division.candidates)


@given(budget=st.floats(1, 1000), more=st.floats(1, 1000))
def test_more_time_never_trains_less(budget, more):
    least = {"a": 7.0, "b": 3.0}
    before, after = divide(budget, least, 50), divide(budget + more, least, 50)
    richness = [(len(one.candidates), one.n_folds, one.pair) for one in (before, after)]
    assert richness == sorted(richness)
