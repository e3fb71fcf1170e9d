"""How a training went, by curves that were made for it."""

import numpy as np
import pytest

from ivadomed.report import Curve
from ivadomed.report.convergence import best_epoch, courses, courses_text, judge


def curve(values):
    return [(epoch, float(value)) for epoch, value in enumerate(values, 1)]


def noise(n, size=0.01, seed=0):
    return np.random.default_rng(seed).normal(0, size, n)


EPOCHS = np.arange(100)
FALLING = 0.8 * np.exp(-EPOCHS / 15)
CURVES = {
    "converged": (FALLING + 0.1, FALLING + 0.2 + noise(100)),
    "still falling": (0.8 - EPOCHS / 200, 0.9 - EPOCHS / 250 + noise(100)),
    "overfitting": (FALLING, FALLING + 0.2 + np.clip(EPOCHS - 40, 0, None) / 300 + noise(100)),
    "too short": (FALLING[:9], FALLING[:9] + 0.2),
    "not learning": (0.8 + noise(100) + EPOCHS / 1e4, 0.8 + noise(100, seed=1)),
}


@pytest.mark.parametrize("state", CURVES)
@pytest.mark.parametrize("scale", [1, -1e-3, 50])
def test_state(state, scale):
    """A loss in other units, or below 0 (a Dice loss), is judged alike."""
    shift = 0 if scale > 0 else -1
    training, validation = (curve(abs(scale) * values + shift) for values in CURVES[state])
    assert judge(training, validation).state == state


def test_a_validation_that_only_rises_is_overfitting():
    assert judge(curve(FALLING), curve(0.3 + EPOCHS / 500)).state == "overfitting"


def test_noise_alone_is_neither_rise_nor_fall():
    states = {judge(curve(FALLING), curve(FALLING + noise(100, 0.05, seed))).state for seed in range(20)}
    assert states == {"converged"}


def test_a_fall_that_slows_down_is_no_noise():
    losses = curve([0.55, 0.48, 0.4, 0.33, 0.29, 0.25, 0.2, 0.16, 0.13, 0.11, 0.1, 0.1])
    assert judge(losses, losses).state == "still falling"


def test_a_rise_of_both_losses_is_no_overfitting():
    rising = FALLING + np.clip(EPOCHS - 40, 0, None) / 300
    assert judge(curve(rising), curve(rising + 0.1)).state != "overfitting"


def test_the_best_epoch_is_the_first_of_the_lowest():
    assert best_epoch([(1, 0.5), (2, 0.25), (3, 0.25), (4, float("nan"))]) == 2
    assert best_epoch([(1, float("nan"))]) is None
    assert judge([], []) is None


def test_epochs_that_are_no_number_are_left_out():
    training, validation = CURVES["converged"]
    holes = validation.copy()
    holes[::7] = np.nan
    assert judge(curve(training), curve(holes)).state == "converged"


def test_several_trainings_are_counted():
    found = [
        Curve("losses", name, tuple(curve(values)), f"fold_{k}")
        for k, state in enumerate(("converged", "overfitting", "converged"))
        for name, values in zip(("train_loss", "val_loss"), CURVES[state], strict=True)
    ]
    text = courses_text(courses(found))
    assert text == "of 3 trainings 2 converged (fold_0, fold_2), 1 overfitted (fold_1)"
    assert courses_text({}) == ""
