"""The choice of postprocessing, on predictions whose scores are known."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from ivadomed.config import load_config
from ivadomed.errors import ConfigError, DataError
from ivadomed.evaluation import evaluate_pair
from ivadomed.evaluation.postprocessing_choice import COLUMNS, PostprocessingSearch
from ivadomed.evaluation.postprocessing_evidence import State, left_out
from ivadomed.inference.outputs import NOISE_FLOOR
from ivadomed.postprocessing import Postprocessing

ZOOMS = (1.0, 1.0, 2.0)
SHAPE = (6, 5, 4, 2)
THRESHOLD = {"binarize_prediction": {"thr": 0.5}}
MAXPOOLING = {"binarize_maxpooling": {}}


def search(steps=THRESHOLD, names=("_seg",)) -> PostprocessingSearch:
    return PostprocessingSearch(names, steps)


def real_scores(steps, soft, truth, counted, k) -> tuple[float, float]:
    """Dice and lesion-wise F1 of a class after the steps, by scikit-learn and by the evaluation of a run."""
    clean = np.where(soft > NOISE_FLOOR, soft, 0)
    mask = np.asarray(Postprocessing(steps, clean, ZOOMS, "").apply()) != 0
    chosen = np.ones(SHAPE[:3], bool) if counted is None else counted
    dice = f1_score(truth[..., k][chosen], mask[..., k][chosen], zero_division=1.0)
    ignore = None if counted is None else ~counted
    found = evaluate_pair(mask.astype(np.uint8), truth, ZOOMS, {"surface_metrics": False}, ignore).metrics[
        f"lf1_class{k}"
    ]
    return dice, 1.0 if np.isnan(found) else found


@pytest.mark.parametrize("steps", [THRESHOLD, MAXPOOLING])
@given(seed=st.integers(0, 2**32 - 1), ignores=st.booleans(), data=st.data())
@settings(max_examples=8, deadline=None)
def test_scores_are_those_of_the_steps_as_they_run(steps, seed, ignores, data):
    rng = np.random.default_rng(seed)
    soft = rng.choice(np.float32([0, 0, 0.005, 0.15, 0.35, 0.5, 0.55, 0.95]), SHAPE)
    truth = rng.choice(np.uint8([0, 0, 1]), SHAPE)
    counted = rng.random(SHAPE[:3]) < 0.7 if ignores else None
    steps = steps | {"fill_holes": {}, "remove_small": {"unit": "vox", "thr": [3, 0]}}
    one = search(steps, ("_seg", "_lesion"))
    one.add(soft, truth, counted, ZOOMS, "sub-1")
    case = one._cases[0]
    for _ in range(2):
        b = data.draw(st.integers(0, len(one._variants.binarizations) - 1))
        filled = data.draw(st.tuples(st.booleans(), st.booleans()))
        few = [0, 1, *(2 + n for n, size in enumerate(one._variants.sizes) if 1 <= size[1] <= 20)]
        objects = data.draw(st.tuples(st.sampled_from(few), st.sampled_from(few)))
        for k in range(2):
            # A section has one unit, so that each class is looked at on its own.
            state = State(b, filled, tuple(option if c == k else 0 for c, option in enumerate(objects)))
            unit = one._variants.sizes[objects[k] - 2][0] if objects[k] > 1 else "vox"
            one._unit = lambda evidence, unit=unit: unit
            expected = real_scores(one._as_steps(state, None), soft, truth, counted, k)
            assert case.scores[:, k, b, int(filled[k]), objects[k]] == pytest.approx(expected)
    for k in range(2):
        assert case.configured[:, k] == pytest.approx(real_scores(steps, soft, truth, counted, k))


def bar(*parts: tuple[int, int], value: float = 0.8, length: int = 40) -> np.ndarray:
    """A row of voxels [length, 1, 1, 1] with values from a to b."""
    row = np.zeros((length, 1, 1, 1), np.float32)
    for a, b in parts:
        row[a:b] = value
    return row


def add(one: PostprocessingSearch, soft, truth, subject: str, counted=None) -> None:
    one.add(soft, truth, counted, ZOOMS, subject)


def with_false_object(subjects: int = 6, steps=THRESHOLD) -> PostprocessingSearch:
    """10 true voxels, found, and 2 more far away: Dice 20/22."""
    one = search(steps)
    for n in range(subjects):
        add(one, bar((5, 15), (20, 22)), bar((5, 15), value=1), f"sub-{n}")
    return one


def test_the_largest_object_by_hand():
    choice = with_false_object().choose()
    assert choice.steps == {**THRESHOLD, "keep_largest": {}}
    row = choice.table[choice.table["step"] == "keep_largest"].iloc[0]
    assert row["kept"]
    assert (row["metric"], row["subjects"], row["class"], row["value"]) == ("dice", 6, "_seg", "on")
    assert row[["without", "with", "difference", "unseen"]].tolist() == pytest.approx(
        [20 / 22, 1, 2 / 22, 2 / 22]
    )
    last = choice.table.iloc[-1]
    assert (last["step"], last["kept"], last["with"]) == ("all together", True, 1)
    assert choice.text().splitlines()[0].startswith("keep_largest of _seg: dice 0.9091 -> 1.0000")


def test_fewer_than_five_subjects_change_nothing():
    choice = with_false_object(4).choose()
    assert choice.steps == THRESHOLD
    assert choice.note == "5 subjects are needed, found 4"
    assert list(choice.table.columns) == list(COLUMNS)


def test_what_makes_no_difference_stays_as_it_is():
    steps = {"remove_noise": {"thr": -1}, "keep_largest": {}, **THRESHOLD}
    one = search(steps)
    for n in range(6):
        add(one, bar((5, 15)), bar((5, 15), value=1), f"sub-{n}")
    choice = one.choose()
    assert choice.steps == steps
    assert not choice.table["kept"].any()
    assert "no change gains" in choice.text()


def test_a_configured_step_that_harms_is_dropped():
    one = search({**THRESHOLD, "keep_largest": {}})
    for n in range(6):
        add(one, bar((5, 15), (20, 28)), bar((5, 15), (20, 28), value=1), f"sub-{n}")
    choice = one.choose()
    assert choice.steps == THRESHOLD
    assert choice.text().startswith("no keep_largest of _seg: dice 0.7143 -> 1.0000")
    assert "no keep_largest of _seg   dice  0.7143 1.0000" in choice.best_of_each()


def test_noise_is_not_taken_for_a_gain():
    """Keeping the largest object gains 0.05 in half of the subjects and loses nearly as much in the others."""
    one = search()
    for n in range(10):
        true = bar((5, 25), (30, 32), value=1) if n % 2 else bar((5, 25), value=1)
        add(one, bar((5, 25), (30, 32)), true, f"sub-{n}")
    assert one.choose().steps == THRESHOLD


def test_the_threshold_by_hand():
    """The object is 0.45 in its outer half, which 0.5 cuts off: 10 of 20 voxels, Dice 20/30."""
    one = search()
    for n in range(6):
        soft = bar((5, 25), value=0.45)
        soft[5:15] = 0.8
        add(one, soft, bar((5, 25), value=1), f"sub-{n}")
    choice = one.choose()
    assert choice.steps == {"binarize_prediction": {"thr": 0.4}}
    tried = choice.table[choice.table["step"] == "binarize_prediction"]
    assert tried["value"].tolist()[:2] == ["0.4", "0.6"]
    assert tried["with"].iloc[0] == 1
    assert tried["without"].iloc[0] == pytest.approx(20 / 30)


def test_classes_stay_exclusive():
    """Thresholds below 0.5 would let classes overlap that a maximum keeps apart."""
    one = search(MAXPOOLING, ("_a", "_b"))
    tried = [steps.get("binarize_prediction", {}).get("thr") for steps in one._variants.binarizations]
    assert tried == [None, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_lesions_are_chosen_by_their_f1():
    """Three lesions of 6, 5 and 4 voxels, and a false one of 1: F1 6/7 without it, 1 with remove_small of 2."""
    one = search(names=("_lesion-manual",))
    lesions = ((2, 8), (10, 15), (20, 24))
    for n in range(6):
        add(one, bar(*lesions, (30, 31)), bar(*lesions, value=1), f"sub-{n}")
    choice = one.choose()
    assert choice.steps == {**THRESHOLD, "remove_small": {"unit": "vox", "thr": 2}}
    row = choice.table[choice.table["kept"]].iloc[0]
    assert (row["metric"], row["value"]) == ("lf1", "2 vox")
    assert row[["without", "with"]].tolist() == pytest.approx([6 / 7, 1])
    assert set(choice.table["value"]) >= {"2 vox", "5 vox"}
    assert "10 vox" not in set(choice.table["value"])  # more than a typical lesion


def test_sizes_are_in_mm3_where_voxels_differ():
    one = search(names=("_lesion",))
    for n in range(6):
        zooms = (1.0, 1.0, 1.0 + n % 2)
        one.add(bar((2, 12), (30, 31)), bar((2, 12), value=1), None, zooms, f"sub-{n}")
    steps = one.choose().steps
    assert steps in (
        {**THRESHOLD, "keep_largest": {}},
        {**THRESHOLD, "remove_small": {"unit": "mm3", "thr": 5}},
    )
    assert "5 mm3" in set(one.choose().table["value"])


def test_classes_are_chosen_apart():
    """A false object in the second class only; the first has two true ones."""
    one = search(MAXPOOLING, ("_a", "_b"))
    for n in range(6):
        true = np.concatenate([bar((0, 5), (6, 10), value=1), bar((12, 30), value=1)], axis=3)
        soft = np.concatenate([bar((0, 5), (6, 10)), bar((12, 30), (35, 37))], axis=3)
        add(one, soft, true, f"sub-{n}")
    assert one.choose().steps == {**MAXPOOLING, "keep_largest": {"classes": [1]}}


def test_holes_are_filled_where_the_truth_has_none():
    true = np.zeros((7, 7, 7, 1), np.uint8)
    true[1:6, 1:6, 1:6] = 1
    soft = true.astype(np.float32)
    soft[3, 3, 3] = 0
    one, other = search(), search()
    for n in range(6):
        add(one, soft, true, f"sub-{n}")
        add(other, soft, soft, f"sub-{n}")
    assert one.choose().steps == {**THRESHOLD, "fill_holes": {}}
    assert other.choose().steps == THRESHOLD
    assert "fill_holes" not in set(other.choose().table["step"])


def test_ignored_voxels_do_not_count():
    one = search()
    counted = np.ones((40, 1, 1), bool)
    counted[18:] = False
    for n in range(6):
        add(one, bar((5, 15), (20, 22)), bar((5, 15), value=1), f"sub-{n}", counted)
    assert one.choose().steps == THRESHOLD
    assert one._cases[0].configured[:, 0].tolist() == [1, 1]


def test_cases_of_a_subject_are_one():
    one = with_false_object(4)
    add(one, bar((5, 15)), bar((5, 15), value=1), "sub-0")
    assert one.choose().note.endswith("found 4")


def test_folds_come_together_in_any_order():
    folds = [search() for _ in range(3)]
    for n in range(9):
        add(folds[n % 3], bar((5, 15), (20, 21 + n)), bar((5, 15), value=1), f"sub-{n}")
    first, second = search(), search()
    for fold in folds:
        first.merge(pickle.loads(pickle.dumps(fold)))
    for fold in reversed(folds):
        second.merge(fold)
    assert first.choose().steps == second.choose().steps
    assert first.choose().table.equals(second.choose().table)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({}, "predictions stay soft"),
        ({"binarize_prediction": {"thr": -1}}, "predictions stay soft"),
        ({**THRESHOLD, "uncertainty": {"thr": 0.3}}, "needs uncertainty maps"),
        ({**THRESHOLD, "my.steps:upper": {}}, "my.steps:upper is a custom step"),
    ],
)
def test_steps_that_cannot_be_compared_stay(steps, message):
    choice = with_false_object(steps=steps).choose()
    assert choice.steps == steps
    assert message in choice.text()
    assert choice.table.empty


def test_the_choice_is_a_section_of_a_configuration(tmp_path):
    choice = with_false_object().choose()
    config = load_config({"postprocessing": choice.steps})
    assert config.to_json()["postprocessing"] == choice.steps
    assert choice.write(tmp_path).read_text().splitlines()[0] == ",".join(COLUMNS)


def test_wrong_shapes():
    with pytest.raises(DataError, match="sub-1: prediction"):
        add(search(names=("_a", "_b")), bar((1, 2)), bar((1, 2)), "sub-1")
    with pytest.raises(ConfigError, match=r"postprocessing\.remove_small\.thr: 3 values for 1 classes"):
        search({**THRESHOLD, "remove_small": {"thr": [1, 2, 3]}})


def test_left_out_by_hand():
    """The second value is best of all, but for the third subject the others choose the first."""
    values = np.array([[0.2, 0.1], [0.2, 0.1], [0.0, 0.9]])
    best, unseen = left_out(values, np.zeros(3))
    assert best == 1
    assert unseen.tolist() == [0.1, 0.1, 0.0]
