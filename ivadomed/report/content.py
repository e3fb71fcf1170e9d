"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.evaluation.pairs import PredictionPair
from ivadomed.report.curves import Curve

# Metrics of which less is worse, and of which more is worse; of the others the largest come first.
LESS_IS_WORSE = ("dice", "nsd", "precision", "recall", "specificity", "vs", "ltpr", "lf1")
MAIN = ("dice", "hd95", "assd", "nsd", "lf1", "avd")
"""Metrics that are shown before one asks for all of them."""
UNITS = {"hd": "mm", "hd95": "mm", "assd": "mm", "vol_pred": "mm³", "vol_gt": "mm³"}


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
        class_names: Suffix of each class.
        overlays: Picture by image name; an image may have none.
        config: The run's configuration, without secrets.
        versions: Of the software.
        curves: Of the training.
    """

    title: str
    folder: Path
    table: pd.DataFrame
    summary: pd.DataFrame
    pairs: Sequence[PredictionPair]
    order: Sequence[str]
    class_names: Sequence[str]
    overlays: Mapping[str, Path] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
