"""``report.html``: tables, pictures and charts of an evaluation in the templates beside this file."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from markupsafe import Markup

from ivadomed import __version__
from ivadomed.evaluation.dataset import OVERLAY_FOLDER
from ivadomed.evaluation.pairs import PredictionPair
from ivadomed.evaluation.summary import ALL, by_class, split_column
from ivadomed.images.files import write_text
from ivadomed.report.charts import TEMPLATES, Group, distribution, lines, number
from ivadomed.report.events import Curve

REPORT_FILE = Path("results_eval", "report.html")

# Metrics of which less is worse, and of which more is worse; of the others the largest come first.
LESS_IS_WORSE = ("dice", "nsd", "precision", "recall", "specificity", "vs", "ltpr", "lf1")
MAIN = ("dice", "hd95", "assd", "nsd", "lf1", "avd")
"""Metrics that are shown before one asks for all of them."""
UNITS = {"hd": "mm", "hd95": "mm", "assd": "mm", "vol_pred": "mm³", "vol_gt": "mm³"}


_DRAWN = (*MAIN, "vs", "precision", "recall", "ltpr", "lfdr", "hd")
_EMBEDDED = 20
_EMBEDDED_BYTES = 6_000_000
_OPEN = 6
_IN_KEY = 30  # colours repeat, and the pictures would be pages below
_CAPTION = ("dice", "hd95", "nsd")


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The cross-validation of a run of all folds.

    Args:
        summary: See ``ivadomed.evaluation.summarize``.
        folds: See ``fold_means``.
        worst: Images with the lowest Dice of a class, and this Dice.
        page: Address of its own page, from that of the test set; empty on its own page.
    """

    summary: pd.DataFrame
    folds: pd.DataFrame
    worst: Sequence[tuple[str, float]]
    page: str = ""


@dataclass(frozen=True, eq=False)
class RunTables:
    """What there is beside an evaluation.

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
        class_names: Suffix of each class.
        overlays: Picture by image name; an image may have none.
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
    overlays: Mapping[str, Path] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    tables: RunTables = field(default_factory=RunTables)


def write_report(report: Report) -> Path:
    """Write ``results_eval/report.html``, which needs no other file and no network.

    The pictures of the worst cases lie in the page; those of the others are linked, so that the page of 1,000
    cases stays below 10 MB.

    Returns:
        The file.
    """
    path = report.folder / REPORT_FILE
    write_text(path, render(report))
    return path


def render(report: Report) -> str:
    """The page as HTML."""
    metrics, summary = _summary(report.summary, report.class_names)
    of_folds = report.tables.cross_validation
    contrast = {pair.image_id: pair.contrast for pair in report.pairs}
    contrasts = sorted(set(contrast.values())) if len(set(contrast.values())) > 1 else []
    embedded = {image: f"picture-{i}" for i, (image, _) in enumerate(_embedded(report))}
    columns = [_column(report, name) for name in _sorted_columns(report)]
    values = report.table.loc[list(report.order), [column["name"] for column in columns]].to_numpy(float)
    rows = [
        {
            "image": image,
            "contrast": contrast[image],
            "link": _link(report, image),
            "embedded": embedded.get(image),
            "cells": cells.tolist(),
        }
        for image, cells in zip(report.order, values, strict=True)
    ]
    return TEMPLATES.get_template("page.html").render(
        title=report.title,
        folder=report.folder,
        subjects=len({pair.subject for pair in report.pairs if pair.subject}),
        units=UNITS,
        class_names=report.class_names,
        class_options=[(k, f"{k}: {name}") for k, name in enumerate(report.class_names)],
        metrics=metrics,
        summary=summary,
        pictures=[
            {
                "id": embedded[image],
                "image": image,
                "data": base64.b64encode(path.read_bytes()).decode(),
                "caption": _caption(report, image),
            }
            for image, path in _embedded(report)
        ],
        open=_OPEN,
        in_key=_IN_KEY,
        contrasts=[(name, name) for name in contrasts],
        columns=columns,
        rows=rows,
        folds=of_folds,
        fold_heads=[] if of_folds is None else [_head(report, name) for name in of_folds.folds.columns[1:]],
        fold_summary=([], []) if of_folds is None else _summary(of_folds.summary, report.class_names),
        tried=report.tables.postprocessing.to_dict("records"),
        members=report.tables.members,
        candidates=report.tables.candidates,
        distributions=_distributions(report),
        curves=_curves(report),
        config=json.dumps(report.config, indent=2, ensure_ascii=False),
        versions=report.versions,
        version=__version__,
    )


def _summary(
    summary: pd.DataFrame, class_names: Sequence[str]
) -> tuple[list[str], list[tuple[str, str, int, list[pd.Series | None]]]]:
    """The main metrics, and per class and contrast: its name, the contrast, images, a row of the summary per metric."""
    summary = summary[summary["metric"].isin(MAIN)]
    metrics = [name for name in MAIN if (summary.loc[summary["metric"] == name, "n"] > 0).any()]
    rows = []
    for (contrast, k), group in by_class(summary):
        cells = group.set_index("metric")
        known = k.isdigit() and int(k) < len(class_names)
        name = f"{k}: {class_names[int(k)]}" if known else k
        images = int((cells["n"] + cells["n_undefined"]).iloc[0])
        values = [cells.loc[metric] if metric in cells.index else None for metric in metrics]
        rows.append((name, str(contrast), images, values))
    return metrics, rows


def _head(report: Report, column: str) -> str:
    """Head of a column of the folds: "dice", of several classes "dice 1: _lesion"."""
    metric, k = split_column(column)
    return f"{metric} {k}: {report.class_names[int(k)]}" if len(report.class_names) > 1 else metric


def _embedded(report: Report) -> list[tuple[str, Path]]:
    """The worst cases that have a picture, as many as the page may hold."""
    chosen: list[tuple[str, Path]] = []
    size = 0
    for image in report.order:
        path = report.overlays.get(image)
        if path is None:
            continue
        size += path.stat().st_size
        if len(chosen) == _EMBEDDED or size > _EMBEDDED_BYTES:
            break
        chosen.append((image, path))
    return chosen


def _sorted_columns(report: Report) -> list[str]:
    """Columns with a value, class by class, the main metrics first."""

    def key(column: str) -> tuple[bool, str, int, str]:
        metric, k = split_column(column)
        return k == "", k.zfill(3), MAIN.index(metric) if metric in MAIN else len(MAIN), metric

    return sorted(report.table.dropna(axis=1, how="all").columns, key=key)


def _column(report: Report, column: str) -> dict[str, str]:
    """Head of a column of the table of cases."""
    metric, k = split_column(column)
    notes = [UNITS[metric]] if metric in UNITS else []
    notes += [f"class {k}"] if k and len(report.class_names) > 1 else []
    return {
        "name": column,
        "metric": metric,
        "k": k,
        "worst": "ascending" if metric.split("_")[0] in LESS_IS_WORSE else "descending",
        "css": " ".join(([f"c{k}"] if k else []) + (["minor"] if metric not in MAIN else [])),
        "note": ", ".join(notes),
    }


def _link(report: Report, image: str) -> str:
    """Relative address of an image's picture; empty without one."""
    path = report.overlays.get(image)
    return quote(f"{OVERLAY_FOLDER.name}/{path.name}") if path else ""


def _caption(report: Report, image: str) -> str:
    """The main numbers of an image, class by class."""
    row = report.table.loc[image]
    classes = []
    for k in range(len(report.class_names)):
        values = {metric: row.get(f"{metric}_class{k}", np.nan) for metric in _CAPTION}
        text = ", ".join(
            f"{metric} {number(value)}" for metric, value in values.items() if not np.isnan(value)
        )
        name = f"class {k}: " if len(report.class_names) > 1 else ""
        classes += [name + text] if text else []
    return "; ".join(classes)


def _distributions(report: Report) -> list[Markup]:
    charts = []
    for metric in _DRAWN:
        groups = [group for group in _groups(report, metric) if len(group.values)]
        if groups:
            charts.append(distribution(metric + (f" ({UNITS[metric]})" if metric in UNITS else ""), groups))
    return charts


def _groups(report: Report, metric: str) -> Iterator[Group]:
    """Values of one metric by class and contrast; all contrasts together where there is one only."""
    contrasts = {pair.image_id: pair.contrast for pair in report.pairs}
    rows = report.summary[report.summary["metric"] == metric].sort_values("class", kind="stable")
    several = rows["contrast"].nunique() > 1
    for row in rows.itertuples(index=False):
        if several and row.contrast == ALL:
            continue
        k = row[1]  # "class" is no attribute
        values = report.table[f"{metric}_class{k}"].dropna()
        if several:
            values = values[[contrasts[image] == row.contrast for image in values.index]]
        name = " ".join([f"class {k}"] * (len(report.class_names) > 1) + [str(row.contrast)] * several)
        yield Group(
            name or f"class {k}",
            values.to_numpy(),
            values.index.to_list(),
            int(k),
            (row.ci95_low, row.ci95_high),
        )


def _curves(report: Report) -> list[Markup]:
    """One chart for the losses, then one for each metric."""
    charts: dict[str, list[tuple[str, tuple[tuple[int, float], ...]]]] = {}
    for curve in report.curves:
        title = "losses" if curve.chart == "losses" else f"{curve.chart} {curve.name}"
        name = f"{curve.name}, {curve.training}" if curve.training else curve.name
        charts.setdefault(title, []).append((name, curve.points))
    drawn = (lines(title, series) for title, series in sorted(charts.items(), key=lambda c: c[0] != "losses"))
    return [chart for chart in drawn if chart]
