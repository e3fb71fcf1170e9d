"""Read the folders of runs for a comparison: evaluation, classes, configuration and curves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivadomed.config.run_files import CONFIG
from ivadomed.errors import DataError, some
from ivadomed.evaluation.comparison import ClassMetrics
from ivadomed.evaluation.cross_validation import FOLDER
from ivadomed.evaluation.dataset import RESULT_FILE
from ivadomed.evaluation.summary import split_column
from ivadomed.images.files import parse_json
from ivadomed.images.label_suffix import class_labels
from ivadomed.report.events import Curve, read_curves
from ivadomed.report.page import REPORT_FILE
from ivadomed.report.run_tables import CANDIDATES

_SUBJECT = re.compile(r"sub-[^_]+")


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """One run, with the evaluation to compare.

    Args:
        name: Name that distinguishes it from the others.
        folder: Folder of the run.
        evaluation: Folder that contains ``results_eval``.
        metrics: Metrics of each image.
        config: Configuration; empty if there is none.
        trainings: Curves of each training, by name.
    """

    name: str
    folder: Path
    evaluation: Path
    metrics: ClassMetrics
    config: Mapping[str, Any] = field(default_factory=dict)
    trainings: Mapping[str, Sequence[Curve]] = field(default_factory=dict)

    @property
    def is_cross_validation(self) -> bool:
        """True if each image was predicted by the fold that did not see it."""
        return self.evaluation != self.folder

    @property
    def page(self) -> Path | None:
        """Report of the run; None if there is none."""
        file = self.evaluation / REPORT_FILE
        return file if file.is_file() else None

    @property
    def curves(self) -> list[Curve]:
        """Curves of the training, with the name of the run; for several trainings, their mean at each epoch."""
        found: dict[tuple[str, str], list[Mapping[int, float]]] = {}
        for curves in self.trainings.values():
            for curve in curves:
                found.setdefault((curve.chart, curve.name), []).append(dict(curve.points))
        return [
            Curve(chart, name, tuple(_mean_points(points)), self.name)
            for (chart, name), points in found.items()
        ]


def _mean_points(trainings: Sequence[Mapping[int, float]]) -> list[tuple[int, float]]:
    """Means over the epochs common to all trainings; the mean would jump where one ends."""
    epochs = sorted(set.intersection(*(set(points) for points in trainings)))
    return [(epoch, float(np.mean([points[epoch] for points in trainings]))) for epoch in epochs]


def open_runs(folders: Sequence[Path], cross_validation: bool | None = None) -> list[EvaluatedRun]:
    """Read runs.

    Args:
        folders: At least two folders: of runs, of runs of all folds, or of ``--auto``, which stands for the chosen
            candidate.
        cross_validation: Use the evaluation of the folds (True) or of the test set (False); None: of the folds if
            every run has one.

    Raises:
        DataError: A folder is missing or has no evaluation, or a table cannot be read.
    """
    places = [_run_in(folder) for folder in folders]
    if cross_validation is None:
        cross_validation = all((place / FOLDER / RESULT_FILE).is_file() for place in places)
    names = _names([Path(folder).resolve() for folder in folders])
    return [_open(name, place, cross_validation) for name, place in zip(names, places, strict=True)]


def _run_in(folder: Path) -> Path:
    """The folder itself, or, for a folder of ``--auto``, that of the chosen candidate."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give the output folders of runs")
    if _is_evaluated(folder):
        return folder
    inner = sorted(path for path in folder.iterdir() if path.is_dir() and _is_evaluated(path))
    if (folder / CANDIDATES).is_file():
        table = pd.read_csv(folder / CANDIDATES)
        inner = [folder / str(name) for name in table.loc[table["chosen"].astype(bool), "candidate"]] or inner
    if len(inner) == 1:
        return inner[0]
    if inner:
        names = some(path.name for path in inner)
        raise DataError(f"{folder}: holds {len(inner)} runs ({names}); name one of them, or several")
    raise DataError(f"{folder}: has no {RESULT_FILE}; run ivadomed --test (or --eval) for it first")


def _is_evaluated(folder: Path) -> bool:
    return any((place / RESULT_FILE).is_file() for place in (folder, folder / FOLDER))


def _names(folders: Sequence[Path]) -> list[str]:
    """Shortest trailing parts of each path that distinguish them."""
    for count in range(1, max(len(folder.parts) for folder in folders)):
        names = ["/".join(folder.parts[-count:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    raise DataError(f"{folders[0]}: was given twice; give different runs")


def _open(name: str, folder: Path, cross_validation: bool) -> EvaluatedRun:
    evaluation = folder / FOLDER if cross_validation else folder
    file = evaluation / RESULT_FILE
    try:
        table = pd.read_csv(file, index_col="image_id", dtype={"image_id": str}).astype(float)
    except FileNotFoundError as error:
        other = "--test-set" if cross_validation else "--cross-validation"
        raise DataError(f"{file}: not found; run ivadomed --test first, or add {other}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable table ({error}); run ivadomed --eval again") from error
    if table.index.has_duplicates:
        raise DataError(
            f"{file}: has {table.index[table.index.duplicated()][0]} twice; run ivadomed --eval again"
        )
    config = _config(folder)
    folds = sorted(path for path in folder.glob("fold_*") if path.is_dir())
    trainings = {path.name: read_curves(path) for path in folds or [folder]}
    kept = {training: curves for training, curves in trainings.items() if curves}
    return EvaluatedRun(name, folder, evaluation, ClassMetrics(table, _classes(table, config)), config, kept)


def _config(folder: Path) -> dict[str, Any]:
    """Configuration of a run of any version; empty if missing or unreadable."""
    try:
        content = parse_json((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _classes(table: pd.DataFrame, config: Mapping[str, Any]) -> list[str]:
    """Names of the classes, from the configuration; their numbers if it does not name them."""
    count = 1 + max((int(k) for _, k in map(split_column, table.columns) if k), default=-1)
    loader = config.get("loader_parameters")
    suffixes = loader.get("target_suffix") if isinstance(loader, dict) else None
    if isinstance(suffixes, list) and len(suffixes) == count and all(suffixes):
        return class_labels(suffix if isinstance(suffix, str) else suffix[0] for suffix in suffixes)
    return [f"class {k}" for k in range(count)]


def subject_of(image: str) -> str:
    """Subject of an image: ``sub-...`` at the start of its name; any other image is its own subject."""
    found = _SUBJECT.match(image)
    return found[0] if found else image


def of_training(run: EvaluatedRun) -> list[Curve]:
    """Curves of each training of a run; with the name of each if there are several."""
    several = len(run.trainings) > 1
    return [
        replace(curve, training=name if several else "")
        for name, curves in run.trainings.items()
        for curve in curves
    ]
