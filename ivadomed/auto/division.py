"""Division of a budget: how many candidates and folds are trained, and for how long each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ivadomed.runtime.terminal import duration
from ivadomed.suggest.recipe import PAIR_FROM

RESERVE = 0.05
"""Share of the budget for all that is neither training nor prediction: preparing, packaging, evaluating."""

FOLDS = 5
"""Folds of a cross-validation (as nnU-Net; Isensee et al., Nature Methods 2021)."""

_FEW_FOLDS = 3
_TO_COMPARE = 2.0
"""Length of each training, in least useful ones, from which on a comparison pays: until then, longer trainings of the
preferred candidate gain more."""


@dataclass(frozen=True)
class Division:
    """What is trained within a budget.

    Args:
        candidates: Configurations to compare, the preferred one first.
        n_folds: Folds of the winner; 0: one split into training, validation and test set.
        minutes: Length of each training.
        reason: Why, in words.
        pair: The two best candidates are tried together, and there is time to train all folds of both.
    """

    candidates: tuple[str, ...]
    n_folds: int
    minutes: float
    reason: str
    pair: bool = False

    def rounds(self, at_once: int) -> int:
        """Trainings one after the other, when some run at the same time."""
        return _rounds(len(self.candidates), self.n_folds, self.pair, at_once)


def divide(budget: float, least: Mapping[str, float], subjects: int, at_once: int = 1) -> Division:
    """The richest division that leaves every training a useful length.

    All trainings have the same length, so that fold 0 of a candidate is fold 0 of the winner too.

    Args:
        budget: Minutes that are left for trainings.
        least: Minutes after which a training of a candidate is worth comparing; the preferred one first.
        subjects: That are not in the test set; each fold needs one.
        at_once: Trainings that run at the same time.
    """
    names = list(least)
    for candidates, n_folds, pair in _options(len(names), subjects) if subjects > 1 else ():
        chosen = tuple(names[:candidates])
        minutes = budget / _rounds(candidates, n_folds, pair, at_once)
        times = PAIR_FROM if pair else _TO_COMPARE if candidates > 1 else 1
        if minutes >= max(least[name] for name in chosen) * times:
            return Division(chosen, n_folds, minutes, _reason(minutes, least[names[0]]), pair)
    shortest = min(_FEW_FOLDS, subjects) * least[names[0]]
    reason = (
        f"the time is too short for folds, which take {duration(60 * shortest)} at least here: one training with a "
        "validation and a test set of its own"
    )
    return Division(tuple(names[:1]), 0, budget, reason)


def _options(candidates: int, subjects: int) -> Iterator[tuple[int, int, bool]]:
    """Number of candidates, of folds, and whether two may win together; the richest first."""
    folds = min(FOLDS, subjects)
    for count in range(candidates, 1, -1):
        yield count, folds, True
        yield count, folds, False
    yield 1, folds, False
    if folds > _FEW_FOLDS:
        yield 1, _FEW_FOLDS, False


def _rounds(candidates: int, n_folds: int, pair: bool, at_once: int) -> int:
    if not n_folds:
        return 1
    if candidates == 1:
        return math.ceil(n_folds / at_once)
    # The folds of one candidate are trained after those of the other.
    return math.ceil(candidates / at_once) + (1 + pair) * math.ceil((n_folds - 1) / at_once)


def _reason(minutes: float, least: float) -> str:
    shortest = f"less than {duration(60 * least)} would be too short for these images on this machine"
    return f"each training has {duration(60 * minutes)}; {shortest}"
