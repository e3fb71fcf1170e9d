"""Evidence-based postprocessing: steps are kept if they raise the metric on predictions of images not trained on.

Candidates, tried sequentially, each on top of the steps kept so far:

1. the threshold, 0.1 to 0.9, one for all classes. With ``binarize_maxpooling``, thresholds of 0.5 and above, for
   which classes remain mutually exclusive;
2. for each class ``fill_holes``, if no true mask has holes;
3. for each class ``keep_largest`` and ``remove_small``, with sizes 2, 5, 10, 20, ... up to the median true object.

The search starts from the steps of the configuration, which therefore stay unless a change helps. For the acceptance
rule and its sources, see ``postprocessing_evidence``. Every combination is measured exactly as it would run; finally
the whole choice is compared with the steps of the configuration.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivadomed.config.schema.predictions import EvaluationParameters
from ivadomed.errors import DataError
from ivadomed.evaluation.postprocessing_evidence import LEAST_SUBJECTS, Candidate, Evidence, State
from ivadomed.evaluation.postprocessing_scores import (
    ALL_OBJECTS,
    FIRST_SIZE,
    LARGEST,
    CaseScores,
    Size,
    Steps,
    Variants,
    score_case,
)
from ivadomed.evaluation.postprocessing_table import POSTPROCESSING_FILE, TOGETHER, in_words
from ivadomed.images.files import write_csv
from ivadomed.postprocessing.objects import per_class

COLUMNS = (
    "step",
    "class",
    "value",
    "metric",
    "subjects",
    "without",
    "with",
    "difference",
    "ci95_low",
    "ci95_high",
    "unseen",
    "unseen_error",
    "kept",
)

_MAXPOOLING, _THRESHOLD = "binarize_maxpooling", "binarize_prediction"
_KNOWN = (_THRESHOLD, _MAXPOOLING, "remove_noise", "fill_holes", "keep_largest", "remove_small")
_THRESHOLDS = tuple(n / 10 for n in range(1, 10))
_EXCLUSIVE = 0.5  # at or above this threshold, classes that sum to 1 do not overlap
_UNITS = ("vox", "mm3")
_DECADES = {"vox": range(0, 6), "mm3": range(-9, 6)}  # from a voxel of a micrograph to a large organ
_SAME_VOXELS = 1.01


@dataclass(frozen=True, eq=False)
class PostprocessingChoice:
    """The chosen steps and the evidence.

    Args:
        steps: The section ``postprocessing`` of a configuration.
        table: One row per value tried: ``step``, ``class`` (empty: all), ``value``, ``metric``, ``subjects``, mean
            over subjects ``without`` and ``with`` it, ``difference`` with its confidence interval ``ci95_low`` and
            ``ci95_high``; for the best value of each step, the gain ``unseen`` on subjects not used to choose it, with
            its standard error ``unseen_error``; ``kept``. "without" means the steps kept so far. If anything changes,
            the last row compares the whole choice with the steps of the configuration.
        note: Reason why nothing changes; empty if something does.
    """

    steps: dict[str, dict[str, Any]]
    table: pd.DataFrame
    note: str = ""

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write the table into the folder of a run; return the file."""
        path = Path(folder, POSTPROCESSING_FILE)
        write_csv(path, self.table, index=False)
        return path

    def text(self) -> str:
        """Kept steps and their gains for the terminal, one line per step."""
        if self.note:
            return f"as configured: {self.note}"
        return "\n".join(
            f"{in_words(row)}: {row['metric']} {row['without']:.4f} -> {row['with']:.4f}"
            for row in self.table[self.table["kept"]].to_dict("records")
        )

    def best_of_each(self) -> str:
        """Best value of each step for the terminal, kept or not; empty if nothing was tried."""
        if self.table.empty:
            return ""
        best = self.table[self.table["unseen"].notna() | (self.table["step"] == TOGETHER)]
        difference, low, high = (
            best[name].map("{:+.4f}".format) for name in ("difference", "ci95_low", "ci95_high")
        )
        shown = pd.DataFrame(
            {
                "": [in_words(row) for row in best.to_dict("records")],
                "metric": best["metric"],
                "without": best["without"].map("{:.4f}".format),
                "with": best["with"].map("{:.4f}".format),
                "difference [95 % CI]": difference + " [" + low + ", " + high + "]",
                "unseen": best["unseen"].map(lambda gain: "" if np.isnan(gain) else f"{gain:+.4f}"),
                "kept": best["kept"].map({True: "yes", False: "no"}),
            }
        )
        return shown.to_string(index=False)


class PostprocessingSearch:
    """Try postprocessing on one prediction at a time; only the scores of each case are kept.

    Objects can be pickled, so each fold can run in its own process.

    Args:
        class_names: Suffix of each class.
        steps: The section ``postprocessing`` of the configuration: steps by name, in order.
        params: ``evaluation_parameters`` of the configuration; they define when an object counts as found.

    Attributes:
        obstacle: Reason why no alternative to these steps can be tried, so they are kept; empty otherwise.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        steps: Mapping[str, Mapping[str, Any] | None],
        params: EvaluationParameters | None = None,
    ) -> None:
        self.class_names = tuple(class_names)
        self.steps = {name: dict(arguments or {}) for name, arguments in steps.items()}
        self.params = params or EvaluationParameters()
        self.obstacle = _obstacle(self.steps)
        self._variants = Variants(_binarizations(self.steps, len(self.class_names)), _sizes(self.steps))
        self._start = _state_of(self.steps, len(self.class_names), self._variants.sizes)
        self._cases: list[CaseScores] = []

    def add(
        self,
        soft: np.ndarray,
        truth: np.ndarray,
        counted: np.ndarray | None,
        zooms: Sequence[float],
        subject: str,
    ) -> None:
        """Try all variants on one case.

        Args:
            soft: [X, Y, Z, K] prediction in 0..1, before any postprocessing. It is not modified.
            truth: [X, Y, Z, K], thresholded at 0.5.
            counted: [X, Y, Z], False at ignored voxels; None: all voxels count.
            zooms: Voxel size in mm along X, Y, Z.
            subject: Participant; cases of the same subject are averaged.
        """
        if self.obstacle:
            return
        if soft.shape != truth.shape or soft.shape[3:] != (len(self.class_names),):
            raise DataError(
                f"{subject}: prediction {soft.shape} and ground truth {truth.shape}; expected two arrays "
                f"[X, Y, Z, {len(self.class_names)}]"
            )
        try_filled = [filled or not self._with_holes(k) for k, filled in enumerate(self._start.filled)]
        self._cases.append(
            score_case(
                soft, truth, counted, zooms, subject, self._variants, self.steps, try_filled, self.params
            )
        )

    def merge(self, other: PostprocessingSearch) -> None:
        """Add the cases of another search of the same classes and steps."""
        self._cases += other._cases

    def choose(self) -> PostprocessingChoice:
        """Choose steps from the cases added; their order makes no difference."""
        if self.obstacle:
            return self._as_configured([], self.obstacle)
        if (subjects := len({case.subject for case in self._cases})) < LEAST_SUBJECTS:
            return self._as_configured([], f"{LEAST_SUBJECTS} subjects are needed, found {subjects}")
        evidence = Evidence(self._cases, self.class_names)
        state, rows = evidence.weigh(self._start, self._other_binarizations())
        for k in range(len(self.class_names)):
            for propose in (self._holes, self._objects):
                if candidates := propose(state, k, evidence):
                    state, tried = evidence.weigh(state, candidates, k)
                    rows += tried
        if state == self._start:
            return self._as_configured(rows, "no change gains on subjects not used to choose it")
        rows.append(evidence.against_configured(state))
        if not rows[-1]["kept"]:
            return self._as_configured(rows, "all changes together are no better")
        return PostprocessingChoice(self._as_steps(state, evidence), _table(rows))

    def _as_configured(self, rows: Sequence[Mapping[str, Any]], note: str) -> PostprocessingChoice:
        return PostprocessingChoice(self.steps, _table(rows), note)

    def _with_holes(self, k: int) -> bool:
        """Return True if any true mask of a class has holes."""
        return any(case.has_holes[k] for case in self._cases)

    def _other_binarizations(self) -> list[Candidate]:
        others = range(1, len(self._variants.binarizations))
        return [
            Candidate(*_words(self._variants.binarizations[b]), replace(self._start, binarization=b))
            for b in others
        ]

    def _holes(self, state: State, k: int, evidence: Evidence) -> list[Candidate]:
        if state.filled[k]:
            return [Candidate("fill_holes", "off", state.changed(k, filled=False))]
        if evidence.has_holes[k]:
            return []
        return [Candidate("fill_holes", "on", state.changed(k, filled=True))]

    def _objects(self, state: State, k: int, evidence: Evidence) -> list[Candidate]:
        now = state.objects[k]
        candidates = []
        if now != ALL_OBJECTS:
            name = "keep_largest" if now == LARGEST else "remove_small"
            candidates.append(Candidate(name, "off", state.changed(k, objects=ALL_OBJECTS)))
        if now != LARGEST:
            candidates.append(Candidate("keep_largest", "on", state.changed(k, objects=LARGEST)))
        chosen_unit = self._unit(evidence)
        largest = evidence.typical_size[k, _UNITS.index(chosen_unit)]
        smallest = 1.0 if chosen_unit == "vox" else evidence.voxel_volumes.min()
        for option, (unit, size) in enumerate(self._variants.sizes, start=FIRST_SIZE):
            if unit == chosen_unit and smallest < size <= largest and option != now:
                candidates.append(
                    Candidate("remove_small", f"{size:g} {unit}", state.changed(k, objects=option))
                )
        return candidates

    def _unit(self, evidence: Evidence) -> str:
        """Unit of sizes: the configured one; else voxels, or mm3 if images differ in voxel size."""
        if "remove_small" in self.steps:
            return self.steps["remove_small"].get("unit", "vox")
        volumes = evidence.voxel_volumes
        return "vox" if volumes.max() <= _SAME_VOXELS * volumes.min() else "mm3"

    def _as_steps(self, state: State, evidence: Evidence) -> dict[str, dict[str, Any]]:
        """The section of a configuration, in the order in which the variants were measured."""
        binarization = self._variants.binarizations[state.binarization]
        steps = {name: dict(arguments) for name, arguments in binarization.items()}
        classes = range(len(self.class_names))
        filled = [k for k in classes if state.filled[k]]
        if filled:
            steps["fill_holes"] = {} if len(filled) == len(classes) else {"classes": filled}
        largest = [k for k in classes if state.objects[k] == LARGEST]
        if largest:
            # Without "classes", overlapping objects of several classes count as one: equivalent only if none overlap.
            alike = len(largest) == len(classes) and (len(classes) == 1 or _MAXPOOLING in steps)
            steps["keep_largest"] = {} if alike else {"classes": largest}
        sizes = [self._size(option) for option in state.objects]
        if any(sizes):
            same = len(set(sizes)) == 1
            steps["remove_small"] = {"unit": self._unit(evidence), "thr": sizes[0] if same else sizes}
        return steps

    def _size(self, option: int) -> int | float:
        if option < FIRST_SIZE:
            return 0
        size = self._variants.sizes[option - FIRST_SIZE][1]
        return int(size) if size == int(size) else size


def _table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(COLUMNS))


def _obstacle(steps: Steps) -> str:
    """Reason why steps cannot be compared with others; empty if they can."""
    if _MAXPOOLING not in steps and steps.get(_THRESHOLD, {"thr": -1}).get("thr", 0.5) < 0:
        return f"predictions stay soft, because postprocessing has no {_THRESHOLD} or {_MAXPOOLING}"
    if steps.get("uncertainty", {}).get("thr", -1) >= 0:
        return "postprocessing.uncertainty needs uncertainty maps, which are not computed here"
    if own := [name for name in steps if name not in (*_KNOWN, "uncertainty")]:
        return f"postprocessing.{own[0]} is a custom step, for which alternatives are not compared"
    return ""


def _binarizations(steps: Steps, n_classes: int) -> tuple[Steps, ...]:
    """Binarizations: the one configured, then the others, nearest first."""
    if _MAXPOOLING in steps:
        exclusive = (thr for thr in _THRESHOLDS if thr >= _EXCLUSIVE or n_classes == 1)
        return {_MAXPOOLING: {}}, *({_THRESHOLD: {"thr": thr}} for thr in exclusive)
    own = steps.get(_THRESHOLD, {}).get("thr", 0.5)
    others = sorted((thr for thr in _THRESHOLDS if thr != own), key=lambda thr: abs(thr - own))
    return tuple({_THRESHOLD: {"thr": thr}} for thr in (own, *others))


def _sizes(steps: Steps) -> tuple[Size, ...]:
    """Minimum object sizes in increasing order, including the one configured."""
    series = {
        (unit, float(f"{digit}e{decade}"))
        for unit, decades in _DECADES.items()
        for decade in decades
        for digit in (1, 2, 5)
    }
    own = steps.get("remove_small", {})
    thresholds = np.atleast_1d(np.asarray(own.get("thr", 0), float)).tolist()
    return tuple(sorted(series | {(own.get("unit", "vox"), size) for size in thresholds if size > 0}))


def _state_of(steps: Steps, n_classes: int, sizes: Sequence[Size]) -> State:
    """The variant equivalent to the steps of a configuration."""
    filled = [_applies("fill_holes", steps, k) for k in range(n_classes)]
    own = steps.get("remove_small", {})
    objects = []
    for k, size in enumerate(per_class(own.get("thr", 0), n_classes, "postprocessing.remove_small.thr")):
        if _applies("keep_largest", steps, k):
            objects.append(LARGEST)
        else:
            objects.append(
                sizes.index((own.get("unit", "vox"), size)) + FIRST_SIZE if size > 0 else ALL_OBJECTS
            )
    return State(0, tuple(filled), tuple(objects))


def _applies(name: str, steps: Steps, k: int) -> bool:
    """Return True if a step is configured and applies to class ``k``."""
    classes = steps[name].get("classes") if name in steps else ()
    return classes is None or k in classes


def _words(binarization: Steps) -> tuple[str, str]:
    """Name and value of a binarization step."""
    ((name, arguments),) = binarization.items()
    return name, f"{arguments['thr']:g}" if arguments else ""
