"""Contents of a report: the evaluation and the run it belongs to."""

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
"""Metrics shown by default."""


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The cross-validation of a run of all folds.

    Args:
        summary: See ``ivadomed.evaluation.summarize``.
        folds: See ``fold_means``.
        worst: Images with the lowest mean Dice over classes, and this Dice.
        page: URL of its own page, relative to the page of the test set; empty on its own page.
    """

    summary: pd.DataFrame
    folds: pd.DataFrame
    worst: Sequence[tuple[str, float]]
    page: str = ""


@dataclass(frozen=True, eq=False)
class RunTables:
    """Tables that accompany an evaluation.

    Args:
        cross_validation: None for a run of one model.
        postprocessing: Rows of ``postprocessing.csv``, each described in ``words``.
        members: Name, original name and network of each member of an ensemble; empty for a single model.
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
        folder: Folder of the run.
        table: One row per image, see ``ivadomed.evaluation.evaluate_predictions``.
        summary: See ``ivadomed.evaluation.summarize``.
        pairs: The images, with contrast and subject.
        order: Names of the images, worst first.
        class_names: Name of each class.
        pictures: Picture by image name; an image may have none.
        config: Configuration of the run, without secrets.
        versions: Versions of the software.
        curves: Curves of the training.
        tables: Other tables in the folder of the run.
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
        """Summary of the evaluation in two sentences."""
        return verdict(self.table, self.pairs, self.class_names, self.curves)
