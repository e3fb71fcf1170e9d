"""What a report shows of an evaluation and of the run around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.evaluation.pairs import PredictionPair
from ivadomed.evaluation.pictures import CasePicture
from ivadomed.report.events import Curve
from ivadomed.report.verdict import Verdict, verdict

MAIN = ("dice", "hd95", "assd", "nsd", "lf1", "avd")
"""Metrics that are shown before one asks for all of them."""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The cross-validation of a run of all folds.

    Args:
        summary: See ``ivadomed.evaluation.summarize``.
        folds: See ``fold_means``.
        worst: Images with the lowest mean Dice over classes, and this Dice.
        page: Address of its own page, from that of the test set; empty on its own page.
    """

    summary: pd.DataFrame
    folds: pd.DataFrame
    worst: Sequence[tuple[str, float]]
    page: str = ""


@dataclass(frozen=True, eq=False)
class RunTables:
    """What there is next to an evaluation.

    Args:
        cross_validation: None where the run is of one model.
        postprocessing: Rows of ``postprocessing.csv``, each with what it is about in ``words``.
        members: Name, name before it was joined, and network of each member of an ensemble; empty for a single model.
        candidates: Rows of ``candidates.csv``.
    """

    cross_validation: CrossValidation | None = None
    postprocessing: pd.DataFrame = field(default_factory=pd.DataFrame)
    members: Sequence[tuple[str, str, str]] = ()
    candidates: pd.DataFrame = field(default_factory=pd.DataFrame)


@dataclass(frozen=True, eq=False)
class Report:
    """One evaluation.

    Args:
        title: Name of the model.
        folder: Of the run.
        table: One row per image, see ``ivadomed.evaluation.evaluate_predictions``.
        summary: See ``ivadomed.evaluation.summarize``.
        pairs: The images, with contrast and subject.
        order: Names of the images, the worst first.
        class_names: Name of each class.
        pictures: By image name; an image may have none.
        config: The run's configuration, without secrets.
        versions: Of the software.
        curves: Of the training.
        tables: What else the folder of the run has.
    """

    title: str
    folder: Path
    table: pd.DataFrame
    summary: pd.DataFrame
    pairs: Sequence[PredictionPair]
    order: Sequence[str]
    class_names: Sequence[str]
    pictures: Mapping[str, CasePicture] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    tables: RunTables = field(default_factory=RunTables)

    @cached_property
    def verdict(self) -> Verdict:
        """What the evaluation comes to."""
        return verdict(self.table, self.pairs, self.class_names, self.curves)
