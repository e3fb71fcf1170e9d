"""``report.html``: tables, pictures and charts of an evaluation, rendered with the ``templates``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from ivadomed import __version__
from ivadomed.evaluation.summary import ALL, by_class, in_words, name_of_class
from ivadomed.images.files import write_text
from ivadomed.metrics.descriptions import describe
from ivadomed.report.cases import cases
from ivadomed.report.charts import TEMPLATES, Group, distribution
from ivadomed.report.contents import MAIN, Report
from ivadomed.report.convergence import RULE
from ivadomed.report.training_charts import training_charts

REPORT_FILE = Path("results_eval", "report.html")

_DRAWN = (*MAIN, "vs", "precision", "recall", "ltpr", "lfdr", "hd")


def write_report(report: Report) -> Path:
    """Write ``results_eval/report.html``, which needs no other file and no network.

    Pictures of the worst cases are embedded; the others are linked, which keeps the page of 1,000 cases below 10 MB.

    Returns:
        The file.
    """
    path = report.folder / REPORT_FILE
    write_text(path, render(report))
    return path


def render(report: Report) -> str:
    """Render the page as HTML."""
    metrics, summary = _summary(report.summary, report.class_names)
    of_folds = report.tables.cross_validation
    return TEMPLATES.get_template("page.html").render(
        title=report.title,
        folder=report.folder,
        subjects=len({pair.subject for pair in report.pairs if pair.subject}),
        verdict=report.verdict,
        rule=RULE,
        class_names=report.class_names,
        class_options=list(enumerate(report.class_names)),
        metrics=metrics,
        summary=summary,
        **cases(report),
        folds=of_folds,
        fold_heads=[]
        if of_folds is None
        else [in_words(name, report.class_names) for name in of_folds.folds.columns[1:]],
        fold_summary=([], []) if of_folds is None else _summary(of_folds.summary, report.class_names),
        tried=report.tables.postprocessing.to_dict("records"),
        members=report.tables.members,
        candidates=report.tables.candidates,
        distributions=_distributions(report),
        curves=training_charts(report.curves),
        config=json.dumps(report.config, indent=2, ensure_ascii=False),
        versions=report.versions,
        version=__version__,
    )


def _summary(
    summary: pd.DataFrame, class_names: Sequence[str]
) -> tuple[list[str], list[tuple[str, str, int, list[pd.Series | None]]]]:
    """Main metrics, and per class and contrast: its name, contrast, number of images, summary row per metric."""
    summary = summary[summary["metric"].isin(MAIN)]
    metrics = [name for name in MAIN if (summary.loc[summary["metric"] == name, "n"] > 0).any()]
    rows = []
    for (contrast, k), group in by_class(summary):
        cells = group.set_index("metric")
        images = int((cells["n"] + cells["n_undefined"]).iloc[0])
        values = [cells.loc[metric] if metric in cells.index else None for metric in metrics]
        rows.append((name_of_class(k, class_names), str(contrast), images, values))
    return metrics, rows


def _distributions(report: Report) -> list[Markup]:
    charts = []
    for metric in _DRAWN:
        groups = [group for group in _groups(report, metric) if len(group.values)]
        if groups:
            known = describe(metric)
            charts.append(distribution(known.label_with_unit, groups, known))
    return charts


def _groups(report: Report, metric: str) -> Iterator[Group]:
    """Values of one metric by class and contrast; all contrasts together if there is only one."""
    contrasts = {pair.image_id: pair.contrast for pair in report.pairs}
    rows = report.summary[report.summary["metric"] == metric]
    several = rows["contrast"].nunique() > 1
    numbers = {name: k for k, name in enumerate(report.class_names)}
    for (contrast, k), group in by_class(rows):
        if several and contrast == ALL:
            continue
        name = name_of_class(k, report.class_names)
        values = report.table[f"{metric}_class{numbers[name]}"].dropna()
        if several:
            values = values[[contrasts[image] == contrast for image in values.index]]
        parts = [name] * (len(numbers) > 1 or not several) + [str(contrast)] * several
        interval = (group["ci95_low"].iloc[0], group["ci95_high"].iloc[0])
        yield Group(" ".join(parts), values.to_numpy(), values.index.to_list(), numbers[name], interval)
