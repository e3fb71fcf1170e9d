"""Division of a budget: number of candidates and folds to train, and the length of each training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ivadomed.runtime.terminal import duration
from ivadomed.suggest.recipe import PAIR_FROM

RESERVE = 0.05
"""Fraction of the budget for everything but training and prediction: preprocessing, packaging, evaluation."""

FOLDS = 5
"""Folds of a cross-validation (as in nnU-Net; Isensee et al., Nature Methods 2021)."""

_FEW_FOLDS = 3
_TO_COMPARE = 2.0
"""Length of each training, in units of the minimum useful length, from which a comparison is worthwhile; below it,
longer trainings of the preferred candidate gain more."""


@dataclass(frozen=True)
class Division:
    """Trainings within a budget.

    Args:
        candidates: Configurations to compare, the preferred one first.
        n_folds: Folds of the winner; 0: one split into training, validation and test set.
        minutes: Length of each training.
        reason: Reason for this division.
        pair: True if the two best candidates are also evaluated as a pair, with time to train all folds of both.
    """

    candidates: tuple[str, ...]
    n_folds: int
    minutes: float
    reason: str
    pair: bool = False

    def rounds(self, at_once: int) -> int:
        """Number of sequential rounds of training, if some run in parallel."""
        return _rounds(len(self.candidates), self.n_folds, self.pair, at_once)


def divide(budget: float, least: Mapping[str, float], subjects: int, at_once: int = 1) -> Division:
    """Choose the most extensive division in which every training has a useful length.

    All trainings have the same length, so that fold 0 of the winning candidate can be reused.

    Args:
        budget: Minutes available for training.
        least: Minimum minutes for a useful training, by candidate, the preferred one first.
        subjects: Number of subjects outside the test set; each fold needs one.
        at_once: Number of parallel trainings.
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
        f"the time is too short for folds, which take at least {duration(60 * shortest)} here: one training with its "
        "own validation and test sets"
    )
    return Division(tuple(names[:1]), 0, budget, reason)


def _options(candidates: int, subjects: int) -> Iterator[tuple[int, int, bool]]:
    """Number of candidates, number of folds, and True if a pair may win; the most extensive option first."""
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
