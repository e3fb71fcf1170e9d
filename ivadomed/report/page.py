"""Write the page: template, style and script beside this file, filled with tables, pictures and charts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

import pandas as pd

from ivadomed import __version__
from ivadomed.evaluation.summary import ALL, by_class
from ivadomed.images.files import write_text
from ivadomed.report.cases import case_table, pictures
from ivadomed.report.charts import Group, distribution, lines, number
from ivadomed.report.content import MAIN, UNITS, Report

REPORT_FILE = Path("results_eval", "report.html")
_SUMMARY_DIGITS = 3
_DRAWN = (*MAIN, "vs", "precision", "recall", "ltpr", "lfdr", "hd")


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
    sections = [section for section in _sections(report) if section[2]]
    return Template(_resource("template.html")).substitute(
        title=escape(f"Evaluation of {report.title}"),
        style=_resource("style.css"),
        script=_resource("script.js"),
        subtitle=_subtitle(report),
        navigation="".join(f'<a href="#{name}">{title}</a>' for name, title, _ in sections),
        sections="\n".join(
            f'<section id="{name}"><h2>{title}</h2>\n{content}\n</section>'
            for name, title, content in sections
        ),
        version=escape(__version__),
    )


def _resource(name: str) -> str:
    return files("ivadomed.report").joinpath(name).read_text(encoding="utf-8").strip()


def _sections(report: Report) -> Iterator[tuple[str, str, str]]:
    """Anchor, title and content of each part of the page."""
    yield "summary", "Summary", _summary(report)
    yield "worst", "Worst cases", pictures(report)
    yield "all", "All cases", case_table(report)
    yield "distributions", "Distributions", _distributions(report)
    yield "training", "Training", _curves(report)
    config = json.dumps(report.config, indent=2, ensure_ascii=False)
    yield (
        "configuration",
        "Configuration",
        _details("The configuration of the run", f"<pre>{escape(config)}</pre>"),
    )
    yield "versions", "Versions", _versions(report)


def _subtitle(report: Report) -> str:
    subjects = len({pair.subject for pair in report.pairs if pair.subject})
    of_subjects = f" of {subjects} subjects" if subjects else ""
    return f"{len(report.table)} images{of_subjects} &middot; {escape(str(report.folder))}"


def _summary(report: Report) -> str:
    """Mean and confidence interval of the main metrics, one row per class and contrast."""
    summary = report.summary[report.summary["metric"].isin(MAIN)]
    metrics = [name for name in MAIN if (summary.loc[summary["metric"] == name, "n"] > 0).any()]
    rows = []
    for (contrast, k), group in by_class(summary):
        cells = group.set_index("metric")
        values = [_mean(cells.loc[name]) if name in cells.index else "<td></td>" for name in metrics]
        name = escape(_class_name(report, k))
        images = int((cells["n"] + cells["n_undefined"]).iloc[0])
        rows.append(
            f'<tr><td>{name}</td><td class="name">{escape(str(contrast))}</td><td>{images}</td>{"".join(values)}</tr>'
        )
    if not rows:
        return ""
    head = "".join(f"<th>{name}{_unit(name)}</th>" for name in metrics)
    note = (
        "Mean, and below it the 95 % confidence interval by bootstrap over subjects. Images where a metric does not "
        "exist, such as the distance to an empty mask, are counted in red and left out of its mean. "
        "<code>summary.csv</code> has all metrics, medians and standard deviations."
    )
    return (
        f'<div class="scroll"><table class="means"><thead><tr><th>class</th><th class="name">contrast</th>'
        f"<th>images</th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div><p>{note}</p>"
    )


def _mean(row: pd.Series) -> str:
    """Cell with the mean of a row of the summary."""
    interval = " to ".join(number(row[end], _SUMMARY_DIGITS) for end in ("ci95_low", "ci95_high"))
    missing = (
        f'<br><small class="undefined">{row["n_undefined"]} undefined</small>' if row["n_undefined"] else ""
    )
    return f"<td>{number(row['mean'], _SUMMARY_DIGITS)}<br><small>{interval}</small>{missing}</td>"


def _class_name(report: Report, k: str) -> str:
    known = k.isdigit() and int(k) < len(report.class_names)
    return f"{k}: {report.class_names[int(k)]}" if known else k


def _unit(metric: str) -> str:
    return f" <small>{UNITS[metric]}</small>" if metric in UNITS else ""


def _distributions(report: Report) -> str:
    charts = []
    for metric in _DRAWN:
        groups = [group for group in _groups(report, metric) if len(group.values)]
        if groups:
            unit = f" ({UNITS[metric]})" if metric in UNITS else ""
            charts.append(distribution(metric + unit, groups))
    if not charts:
        return ""
    note = "One point per image (a histogram of more than 150), the mean as a stroke with its 95 % confidence interval."
    return f'<p>{note}</p><div class="charts">{"".join(charts)}</div>'


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


def _curves(report: Report) -> str:
    """One chart for the losses, one for each metric."""
    charts: dict[str, list[tuple[str, tuple[tuple[int, float], ...]]]] = {}
    for curve in report.curves:
        together = curve.chart == "losses"
        charts.setdefault("losses" if together else f"{curve.chart} {curve.name}", []).append(
            (curve.name, curve.points)
        )
    drawn = "".join(
        lines(title, series) for title, series in sorted(charts.items(), key=lambda c: c[0] != "losses")
    )
    return f'<div class="charts">{drawn}</div>' if drawn else ""


def _versions(report: Report) -> str:
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="name">{escape(number)}</td></tr>'
        for name, number in report.versions.items()
    )
    return _details("Of the evaluation", f'<div class="scroll"><table>{rows}</table></div>') if rows else ""


def _details(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>"
