"""Evidence for a change of the postprocessing, and the acceptance rule.

As in nnU-Net (Isensee et al., Nature Methods 18:203-211, 2021, Methods, "Empirical parameters"), which keeps only the
largest object if that raises the cross-validated Dice of a class and lowers it for none. Here thresholds, sizes and
holes are tried too, which requires a rule that does not overfit to ten subjects:

* Values are compared on subjects, each with the mean of its cases. With fewer than 5 subjects nothing changes.
* The gain of the best value is measured on subjects not used to choose it: for each subject, the value is chosen
  on all others (leave-one-out; Stone, Journal of the Royal Statistical Society B 36:111-147, 1974).
* A value is kept if the mean gain exceeds its standard error (the one-standard-error rule; Breiman et al.,
  Classification and Regression Trees, 1984, section 3.4.3), or if no subject loses.
* The Dice of no class may drop by more than the standard error of its difference.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ivadomed.evaluation.paired import mean_interval
from ivadomed.evaluation.postprocessing_scores import CaseScores
from ivadomed.evaluation.postprocessing_table import TOGETHER
from ivadomed.images.label_suffix import names_lesions

LEAST_SUBJECTS = 5
_DECIMALS = 7  # means that agree to these are equal: scores are in single precision
_DICE, _LESION_F1 = 0, 1
_METRICS = ("dice", "lf1")


@dataclass(frozen=True)
class State:
    """One variant of the postprocessing.

    Args:
        binarization: Index, see ``Variants``.
        filled: True for each class whose holes are filled.
        objects: Index of the objects kept in each class, see ``Variants``.
    """

    binarization: int
    filled: tuple[bool, ...]
    objects: tuple[int, ...]

    def changed(self, k: int, filled: bool | None = None, objects: int | None = None) -> State:
        """Copy of the state with another value for a class."""
        fills, kept = list(self.filled), list(self.objects)
        fills[k] = fills[k] if filled is None else filled
        kept[k] = kept[k] if objects is None else objects
        return replace(self, filled=tuple(fills), objects=tuple(kept))


class Candidate(NamedTuple):
    """A value to try: its step and value as text, and the variant."""

    step: str
    value: str
    state: State


class Evidence:
    """Scores of all subjects.

    Args:
        cases: Scores of each case.
        class_names: Suffix of each class.

    Attributes:
        subjects: Number of subjects.
        metrics: Name of the metric of each class: "lf1" if images have many objects or none, else "dice".
        has_holes: [K] True for classes with holes in a true mask.
        typical_size: [K, 2] median over cases of the median size of true objects, in voxels and mm3.
        voxel_volumes: Voxel volume of each case in mm3.
    """

    def __init__(self, cases: Sequence[CaseScores], class_names: Sequence[str]) -> None:
        of_subjects: dict[str, list[CaseScores]] = defaultdict(list)
        for case in cases:
            of_subjects[case.subject].append(case)
        groups = [of_subjects[subject] for subject in sorted(of_subjects)]
        self._names = tuple(class_names)
        self._scores = np.stack([np.mean([case.scores for case in group], axis=0) for group in groups])
        self._configured = np.stack(
            [np.mean([case.configured for case in group], axis=0) for group in groups]
        )
        self.subjects = len(groups)
        n_true = np.stack([case.n_true for case in cases])
        self._metric = [_metric_of(name, n_true[:, k]) for k, name in enumerate(class_names)]
        self.metrics = tuple(_METRICS[index] for index in self._metric)
        self.has_holes = np.any([case.has_holes for case in cases], axis=0)
        self.voxel_volumes = np.array([case.voxel_volume for case in cases])
        sizes = np.stack([case.size for case in cases])
        both = np.stack([sizes, sizes * self.voxel_volumes[:, None]], axis=-1)
        self.typical_size = np.array([_median(both[:, k]) for k in range(len(class_names))])

    def weigh(
        self, now: State, candidates: Sequence[Candidate], k: int | None = None
    ) -> tuple[State, list[dict[str, Any]]]:
        """Compare values with the current state, for one class, or for all by the mean of their metrics.

        Returns:
            The state with the best value if it is kept, else the current one; a row of the table for each value.
        """
        classes = range(len(self._names)) if k is None else [k]
        base = self._values(now, classes)
        values = np.stack([self._values(one.state, classes) for one in candidates], axis=1)
        best, unseen = left_out(values, base)
        kept = self._is_kept(values[:, best] - base, unseen, now, candidates[best].state, classes)
        rows = []
        for number, one in enumerate(candidates):
            own = unseen if number == best else None
            rows.append(
                {"step": one.step, "class": "" if k is None else self._names[k], "value": one.value}
                | _row(self._metric_name(classes), values[:, number], base, own, kept and number == best)
            )
        return (candidates[best].state if kept else now), rows

    def against_configured(self, state: State) -> dict[str, Any]:
        """Row of the table that compares a whole choice with the steps of the configuration."""
        classes = range(len(self._names))
        values = self._values(state, classes)
        base = np.mean([self._configured[:, self._metric[k], k] for k in classes], axis=0, dtype=float)
        dice = [self._dice(state, k) - self._configured[:, _DICE, k] for k in classes]
        kept = (values - base).mean() > 0 and not any(map(_falls, dice))
        names = {"step": TOGETHER, "class": "", "value": ""}
        return names | _row(self._metric_name(classes), values, base, None, kept)

    def _values(self, state: State, classes: Sequence[int]) -> np.ndarray:
        """[N] metric of each subject, averaged over classes."""
        return np.mean([self._of(state, self._metric[k], k) for k in classes], axis=0)

    def _dice(self, state: State, k: int) -> np.ndarray:
        return self._of(state, _DICE, k)

    def _of(self, state: State, metric: int, k: int) -> np.ndarray:
        found = self._scores[:, metric, k, state.binarization, int(state.filled[k]), state.objects[k]]
        return found.astype(float)  # kept in single precision, of many subjects and classes

    def _is_kept(
        self, seen: np.ndarray, unseen: np.ndarray, now: State, other: State, classes: Sequence[int]
    ) -> bool:
        if seen.mean() <= 0 or unseen.mean() <= 0:
            return False
        if any(_falls(self._dice(other, k) - self._dice(now, k)) for k in classes):
            return False
        return bool(unseen.min() >= 0 or unseen.mean() > _error(unseen))

    def _metric_name(self, classes: Sequence[int]) -> str:
        return " and ".join(dict.fromkeys(self.metrics[k] for k in classes))


def left_out(values: np.ndarray, base: np.ndarray) -> tuple[int, np.ndarray]:
    """Choose among values, and estimate the leave-one-out gain of the choice.

    Args:
        values: [N, V] metric of each subject with each value.
        base: [N] metric without any.

    Returns:
        Index of the best value (the first if tied); [N] gain of each subject with the value that is best for all
        others.
    """
    total = values.sum(axis=0)
    best = int(np.argmax(np.round(total / len(values), _DECIMALS)))
    others = np.round((total - values) / max(len(values) - 1, 1), _DECIMALS)
    chosen = np.argmax(others, axis=1)
    return best, np.round(values[np.arange(len(values)), chosen] - base, _DECIMALS)


def _falls(difference: np.ndarray) -> bool:
    """Return True if the mean of differences [N] is below 0 by more than its standard error."""
    return bool(round(difference.mean() + _error(difference), _DECIMALS) < 0)


def _error(values: np.ndarray) -> float:
    """Standard error of the mean of values [N]."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


def _row(
    metric: str, values: np.ndarray, base: np.ndarray, unseen: np.ndarray | None, kept: bool
) -> dict[str, Any]:
    low, high = mean_interval(values - base)
    return {
        "metric": metric,
        "subjects": len(values),
        "without": base.mean(),
        "with": values.mean(),
        "difference": (values - base).mean(),
        "ci95_low": low,
        "ci95_high": high,
        "unseen": np.nan if unseen is None else unseen.mean(),
        "unseen_error": np.nan if unseen is None else _error(unseen),
        "kept": kept,
    }


def _metric_of(name: str, n_true: np.ndarray) -> int:
    """Metric of a class, chosen by its name and the number of true objects in each case.

    Lesions are recognized as in ``--init``: by name, or because images have several of them and some have none.
    """
    there = n_true[n_true > 0]
    several = len(there) > 0 and len(there) < len(n_true) and np.median(there) >= 2
    return _LESION_F1 if names_lesions(name) or several else _DICE


def _median(sizes: np.ndarray) -> np.ndarray:
    """Median of sizes [n, 2] over cases that have one; 0 if none has."""
    there = sizes[~np.isnan(sizes[:, 0])]
    return np.median(there, axis=0) if len(there) else np.zeros(2)
