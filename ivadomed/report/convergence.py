"""Assessment of a training from its loss curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ivadomed.report.events import Curve

FEWEST_EPOCHS = 10
STILL_FALLING = 0.02
OVERFITTING = 0.05
_ERRORS = 3.0

State = Literal["too short", "not learning", "overfitting", "still falling", "converged"]
RULE = (
    "Rule: the last fifth of the epochs is compared with the fifth before it and with the best fifth in a row, as mean "
    "validation losses. The training was still falling when the last fifth is lower than the one before by more than "
    f"{STILL_FALLING:.0%} of the whole fall (first epoch to best fifth); it was overfitting when the last fifth is "
    f"higher than the best one by more than {OVERFITTING:.0%} of it while the training loss kept falling. Either "
    "difference must exceed three times its standard error, by the scatter around the trend; otherwise the training "
    "had converged. Nothing was learned when the training loss did not fall; fewer than "
    f"{FEWEST_EPOCHS} epochs are too few to tell."
)


@dataclass(frozen=True)
class Course:
    """Assessment of one training.

    Args:
        state: State according to ``RULE``.
        best_epoch: First epoch with the lowest validation loss, whose model is kept.
        last_epoch: Last epoch.
    """

    state: State
    best_epoch: int
    last_epoch: int

    @property
    def text(self) -> str:
        """The assessment as text, to follow a semicolon."""
        best, last = self.best_epoch, self.last_epoch
        return {
            "too short": f"{last} epochs are too few to tell whether training had converged",
            "not learning": "the training loss did not fall, so nothing was learned",
            "overfitting": f"training was overfitting: the validation loss rose after epoch {best} of {last}, whose "
            "model was kept",
            "still falling": f"the validation loss was still falling in epoch {last}, so train longer",
            "converged": f"training had converged (lowest validation loss in epoch {best} of {last})",
        }[self.state]


def best_epoch(validation: Sequence[tuple[int, float]]) -> int | None:
    """Epoch whose model is kept: the first with the lowest validation loss; None without any loss."""
    finite = [(value, epoch) for epoch, value in validation if np.isfinite(value)]
    return min(finite)[1] if finite else None


def judge(training: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]]) -> Course | None:
    """Assess a training by ``RULE``.

    Args:
        training: (epoch, loss), epochs increasing; non-finite values are left out.
        validation: Likewise for the validation.

    Returns:
        The assessment; None without a validation loss.
    """
    best = best_epoch(validation)
    if best is None:
        return None
    values = {epoch: value for epoch, value in validation if np.isfinite(value)}
    trained = {epoch: value for epoch, value in training if np.isfinite(value)}
    last = max(values)
    losses = np.array(list(values.values()))
    if len(losses) < FEWEST_EPOCHS:
        return Course("too short", best, last)
    learned = np.array([trained.get(epoch, np.nan) for epoch in values])
    return Course(_state(learned, losses), best, last)


def _state(training: np.ndarray, validation: np.ndarray) -> State:
    """State, from the losses [n] of each epoch; training losses may be NaN."""
    width = max(3, len(validation) // 5)
    fifths = np.lib.stride_tricks.sliding_window_view(validation, width)
    learned = np.lib.stride_tricks.sliding_window_view(training, width).mean(axis=1)
    means = fifths.mean(axis=1)
    lowest = int(means.argmin())
    if learned[-1] >= learned[0]:
        return "not learning"
    fall = validation[0] - means[lowest]
    fall = fall if fall > 0 else float(np.ptp(means))
    rise = means[-1] - means[lowest]
    if (
        rise > max(OVERFITTING * fall, _noise(fifths[-1], fifths[lowest]))
        and not learned[-1] >= learned[lowest]
    ):
        return "overfitting"
    before = fifths[-1 - width]
    if before.mean() - means[-1] > max(STILL_FALLING * fall, _noise(fifths[-1], before)):
        return "still falling"
    return "converged"


def _noise(first: np.ndarray, second: np.ndarray) -> float:
    """Three standard errors of the difference between two means [n], from the scatter around each trend."""
    epochs = np.arange(len(first))
    scatter = [values - np.polyval(np.polyfit(epochs, values, 1), epochs) for values in (first, second)]
    variances = [float(residuals @ residuals) / (len(epochs) - 2) for residuals in scatter]
    return _ERRORS * float(np.sqrt(sum(variances) / len(epochs)))


def courses(curves: Sequence[Curve]) -> dict[str, Course]:
    """Assessment of each training with a validation loss, by name ("" for a single training)."""
    losses: dict[str, dict[str, Sequence[tuple[int, float]]]] = {}
    for curve in curves:
        losses.setdefault(curve.training, {})[curve.name] = curve.points
    found = {
        name: judge(points.get("train_loss", ()), points.get("val_loss", ()))
        for name, points in losses.items()
    }
    return {name: course for name, course in found.items() if course is not None}


def courses_text(found: Mapping[str, Course]) -> str:
    """The assessments as text, to follow a semicolon; empty without any."""
    if len(found) <= 1:
        return "".join(course.text for course in found.values())
    words = {
        "too short": "were too short to tell",
        "not learning": "learned nothing",
        "overfitting": "overfitted",
        "still falling": "were still falling",
        "converged": "converged",
    }
    counts = Counter(course.state for course in found.values())
    if len(counts) == 1:
        subject = "both trainings" if len(found) == 2 else f"all {len(found)} trainings"
        return f"{subject} {words[next(iter(counts))]}"
    several = []
    for state, count in counts.most_common():
        names = ", ".join(name for name, course in found.items() if course.state == state)
        several.append(f"{count} {words[state]} ({names})")
    return f"of {len(found)} trainings {', '.join(several)}"
