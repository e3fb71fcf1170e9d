"""Selection of the winner: scores of the candidates on the held-out fold, and significance of the differences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivadomed.evaluation.paired import PairedComparison, compare_paired
from ivadomed.suggest.recipe import PAIR_GAIN

_TIE = 0.0005
"""Differences of mean scores below this (half of the last digit shown) are ignored."""


def subject_scores(table: pd.DataFrame, subjects: Mapping[str, str], lesions: Collection[int]) -> pd.Series:
    """Mean score of each subject over its images and classes.

    Args:
        table: Metrics of each image, see ``ivadomed.evaluation.evaluate_predictions``.
        subjects: Subject of each image; an image that is not listed counts as a separate subject.
        lesions: Classes with many objects, scored by the object-wise F1; others are scored by Dice.

    Returns:
        Scores by subject, sorted; NaN if neither mask has any class.
    """
    columns = {k: f"dice_class{k}" for k in range(table.shape[1]) if f"dice_class{k}" in table}
    columns |= {k: f"lf1_class{k}" for k in lesions if table.get(f"lf1_class{k}", pd.Series()).notna().any()}
    of_images = table[list(columns.values())].mean(axis=1)
    return of_images.groupby([subjects.get(image, image) for image in table.index]).mean().sort_index()


@dataclass(frozen=True)
class Verdict:
    """Outcome of a comparison.

    Args:
        winner: Name of the candidate whose folds are trained.
        scores: Mean score of each candidate; NaN if it failed.
        reasons: Remark about each candidate.
    """

    winner: str
    scores: Mapping[str, float]
    reasons: Mapping[str, str]


def choose(
    scores: Mapping[str, pd.Series], cost: Mapping[str, float], failures: Mapping[str, str]
) -> Verdict:
    """Choose the candidate with the highest mean score; of two that are equal to three digits, the cheaper one.

    Args:
        scores: Score of each held-out subject, by candidate.
        cost: Cost by candidate, which decides between equal scores; a candidate without cost is the most expensive.
        failures: Remarks about candidates without a score.
    """
    means = {name: float(np.nanmean(values)) for name, values in scores.items()}
    best = max(means.values())
    winner = min(
        (name for name, mean in means.items() if best - mean < _TIE), key=lambda name: cost.get(name, np.inf)
    )
    reasons = {winner: "the best" if len(scores) > 1 else "the only one left", **failures}
    for name in scores.keys() - {winner}:
        compared = compare_paired(*_aligned(scores[winner], scores[name]))
        same = best - means[name] < _TIE
        reasons[name] = f"as good as {winner}, but costs more" if same else _behind(winner, compared)
    return Verdict(winner, {**means, **dict.fromkeys(failures, np.nan)}, reasons)


def runner_up(verdict: Verdict) -> str | None:
    """Candidate to combine with the winner: the next best one; None if no other has a score."""
    others = {
        name: score
        for name, score in verdict.scores.items()
        if name != verdict.winner and not np.isnan(score)
    }
    return max(others, key=lambda name: others[name]) if others else None


def with_pair(verdict: Verdict, name: str, together: pd.Series, alone: pd.Series) -> Verdict:
    """Verdict after two candidates were evaluated as a pair, which wins if its gain is large and significant.

    Args:
        verdict: Verdict on single candidates.
        name: Name of the pair.
        together: Score of each held-out subject for the mean of their predictions.
        alone: Scores of the winner so far.
    """
    compared = compare_paired(*_aligned(together, alone))
    gain = f"gains {compared.difference:.3f}{_interval(compared)} over {verdict.winner}, on {compared.n} subjects"
    scores = {**verdict.scores, name: float(np.nanmean(together))}
    if compared.difference >= PAIR_GAIN and compared.ci95_low > 0:
        reasons = {**verdict.reasons, name: gain, verdict.winner: "the best of one"}
        return Verdict(name, scores, reasons)
    wanted = f"at least {PAIR_GAIN:g} is required, with an interval above 0"
    return Verdict(verdict.winner, scores, {**verdict.reasons, name: f"{gain}; {wanted}"})


def _aligned(first: pd.Series, second: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    first, second = first.align(second, join="inner")
    return first.to_numpy(), second.to_numpy()


def _behind(winner: str, compared: PairedComparison) -> str:
    return f"behind {winner} by {compared.difference:.3f}{_interval(compared)}, on {compared.n} subjects"


def _interval(compared: PairedComparison) -> str:
    if np.isnan(compared.ci95_low):
        return ""
    return f" [{compared.ci95_low:.3f}, {compared.ci95_high:.3f}]"
