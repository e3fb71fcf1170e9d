"""``compare.html``: runs side by side, subject by subject."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from ivadomed import __version__
from ivadomed.config.tree import flattened
from ivadomed.errors import DataError, some
from ivadomed.evaluation.comparison import (
    ComparedMetric,
    common_classes,
    common_images,
    compare_runs,
    table_of,
)
from ivadomed.images.files import write_csv, write_text
from ivadomed.metrics.descriptions import describe
from ivadomed.report.charts import TEMPLATES, Group, distribution, number
from ivadomed.report.contents import MAIN
from ivadomed.report.convergence import RULE, courses, courses_text
from ivadomed.report.runs import EvaluatedRun, of_training, subject_of
from ivadomed.report.training_charts import training_charts

_OPEN_ROWS = 24
_SHOWN_NAMES = 5
_VALUE = 120  # characters of a setting
_LEVEL = 0.05
_FEWEST = 6  # with fewer, the signed-rank test cannot reach 0.05
_NOT_COMPARED = ("path_output", "model_name", "command", "log_file", "gpu_ids")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Comparison of runs on the images and classes they share.

    Args:
        runs: In the order given.
        metrics: The main metrics, for the mean over classes and for each class.
        notes: Images and classes left out, and other remarks.
    """

    runs: Sequence[EvaluatedRun]
    metrics: Sequence[ComparedMetric]
    notes: Sequence[str]

    @property
    def main(self) -> ComparedMetric:
        """Dice, averaged over classes if there are several."""
        return self.metrics[0]


def compare(runs: Sequence[EvaluatedRun]) -> Comparison:
    """Compare runs on the images and classes they share.

    Raises:
        DataError: They share no image or no class.
    """
    by_name = {run.name: run.metrics for run in runs}
    images, classes = common_images(by_name), common_classes(by_name)
    if not images:
        tested = "; ".join(f"{run.name}: {some(run.metrics.table.index, 3)}" for run in runs)
        raise DataError(
            f"the runs share no test image, so they cannot be compared ({tested}); test them on the same images, "
            "for example with one split_dataset.fname_split"
        )
    if not classes:
        named = "; ".join(f"{run.name}: {some(run.metrics.class_names)}" for run in runs)
        raise DataError(f"the runs have no class in common ({named}); compare runs of the same target_suffix")
    subjects = {image: subject_of(image) for image in images}
    compared = compare_runs(by_name, MAIN, subjects)
    if not compared or compared[0].metric != "dice":
        raise DataError("the table of at least one run has no Dice; run ivadomed --eval again")
    return Comparison(runs, compared, _notes(runs, images, classes))


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write the page, and next to it the statistical tests as a table of the same name (``.csv``).

    Returns:
        The page.
    """
    write_csv(path.with_suffix(".csv"), table_of(comparison.metrics), index=False)
    write_text(path, render_comparison(comparison, path.parent))
    return path


def _notes(runs: Sequence[EvaluatedRun], images: Sequence[str], classes: Sequence[str]) -> list[str]:
    notes = []
    shared, wanted = set(images), set(classes)
    left = {run.name: [image for image in run.metrics.table.index if image not in shared] for run in runs}
    notes += [
        f"{run.name}: {len(left[run.name])} of {len(run.metrics.table)} images are left out, because not every run was "
        f"tested on them ({some(left[run.name], _SHOWN_NAMES)})."
        for run in runs
        if left[run.name]
    ]
    others = dict.fromkeys(name for run in runs for name in run.metrics.class_names if name not in wanted)
    notes += [f"Classes left out, because not every run has them: {some(others)}."] if others else []
    if any(run.is_cross_validation for run in runs):
        notes.append("Each image was predicted by the model of the fold that did not see its subject.")
    return notes


def verdict_text(comparison: Comparison) -> str:
    """Two sentences: the best run and its certainty; the number of subjects that gain and the course of training."""
    main = comparison.main
    if main.values.empty:
        return f"Dice is undefined for all images. {_trainings_text(comparison.runs)}".strip()
    means = main.values.mean().sort_values(ascending=False, kind="stable")
    best, *others = map(str, means.index)
    subjects = len(main.values)
    counted = f"{subjects} subject{'s' * (subjects != 1)}"
    first = f"{best} has the highest mean Dice, {means.iloc[0]:.3f} over {counted}: "
    first += "; ".join(_against(main, best, other, subjects) for other in others)
    first += "; too few subjects to tell this from chance." if subjects < _FEWEST else "."
    gain = main.values[best] - main.values[others[0]]
    second = [f"against {others[0]}, {int((gain > 0).sum())} of {counted} gain"] if subjects > 1 else []
    if (gain < 0).any() and second:
        second[0] += f" and {gain.idxmin()} loses most ({gain.min():+.3f})"
    second += [text] if (text := _trainings_text(comparison.runs)) else []
    joined = "; ".join(second)
    return f"{first} {joined[:1].upper()}{joined[1:]}.".removesuffix(" .")


def _against(main: ComparedMetric, best: str, other: str, subjects: int) -> str:
    pairs = main.pairs.set_index(["first", "second"])
    reverse = (best, other) not in pairs.index
    row, sign = pairs.loc[(other, best) if reverse else (best, other)], -1 if reverse else 1
    low, high = sorted((sign * row["ci95_low"], sign * row["ci95_high"]))
    text = f"{abs(row['difference']):.3f} above {other}"
    if subjects < 2:
        return text
    interval = f"95 % confidence interval {low:+.3f} to {high:+.3f}, Wilcoxon p = {number(row['p_wilcoxon_holm'], 2)}"
    if subjects < _FEWEST:
        return f"{text} ({interval})"
    sure = "more than chance" if row["p_wilcoxon_holm"] < _LEVEL else "no more than chance may give"
    return f"{text} ({interval}), {sure}"


def _trainings_text(runs: Sequence[EvaluatedRun]) -> str:
    found = {
        f"{run.name} {training}".strip(): course
        for run in runs
        for training, course in courses(of_training(run)).items()
    }
    if len(found) == 1:
        [(name, course)] = found.items()
        return f"{name}: {course.text}"
    return courses_text(found)


def render_comparison(comparison: Comparison, folder: Path) -> str:
    """Render the page as HTML; URLs of other reports are relative to ``folder``."""
    runs, main = comparison.runs, comparison.main
    names = [run.name for run in runs]
    metrics = list(dict.fromkeys(found.metric for found in comparison.metrics))
    last = main.values[names[-1]] - main.values[names[0]]
    order = last.sort_values(kind="stable").index
    return TEMPLATES.get_template("compare.html").render(
        names=names,
        pages={run.name: _address(run.page, folder) for run in runs},
        folders={run.name: run.folder for run in runs},
        verdict=verdict_text(comparison),
        notes=comparison.notes,
        metrics=metrics,
        compared=comparison.metrics,
        open_rows=_OPEN_ROWS,
        subjects=[(subject, main.values.loc[subject].tolist()) for subject in order],
        charts=_charts(comparison),
        curves=training_charts([curve for run in runs for curve in run.curves]),
        folds=[run.name for run in runs if len(run.trainings) > 1],
        rule=RULE,
        settings=_settings(runs),
        version=__version__,
    )


def _address(page: Path | None, folder: Path) -> str:
    if page is None:
        return ""
    try:
        return quote(Path(os.path.relpath(page, folder)).as_posix())
    except ValueError:  # another drive on Windows
        return page.resolve().as_uri()


def _charts(comparison: Comparison) -> list[Markup]:
    """Differences of each run to the first one: a chart per metric with a row per class and run."""
    first = comparison.runs[0].name
    charts: dict[str, list[Group]] = {}
    colours: dict[str, int] = {}
    for found in comparison.metrics:
        colours.setdefault(found.class_name, len(colours))
        pairs = found.pairs.set_index(["first", "second"])
        for run in comparison.runs[1:]:
            differences = found.values[run.name] - found.values[first]
            row = pairs.loc[(run.name, first)]
            words = [run.name] * (len(comparison.runs) > 2) + [found.class_name or "all classes"]
            if len(differences):
                group = Group(
                    " ".join(words),
                    differences.to_numpy(),
                    [str(subject) for subject in differences.index],
                    colours[found.class_name],
                    (row["ci95_low"], row["ci95_high"]),
                )
                charts.setdefault(found.metric, []).append(group)
    drawn = []
    for metric, groups in charts.items():
        known = describe(metric)
        drawn.append(distribution(known.label_with_unit, groups, known, zero=True))
    return drawn


def _settings(runs: Sequence[EvaluatedRun]) -> list[tuple[str, list[str]]]:
    """Configuration keys that differ, with the value of each run."""
    trees: list[dict[str, Any]] = [flattened(run.config) for run in runs]
    keys = [key for key in dict.fromkeys(key for tree in trees for key in tree) if key not in _NOT_COMPARED]
    rows = []
    for key in keys:
        shown = [_shown(tree, key) for tree in trees]
        if len(set(shown)) > 1:
            rows.append((key, shown))
    return rows


def _shown(tree: Mapping[str, Any], key: str) -> str:
    text = json.dumps(tree[key], ensure_ascii=False) if key in tree else ""
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 1]}…"
