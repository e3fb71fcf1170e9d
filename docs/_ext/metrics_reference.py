"""Puts the table of metrics into ``metrics.md``, from their declaration in ``ivadomed.metrics.descriptions``."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

from ivadomed.metrics.descriptions import COLUMNS, Description

MARKER = "<!-- the metrics, from their declaration -->"
_HEAD = ("column", "name", "formula", "unit", "better", "both empty", "P empty", "T empty", "source")


def metrics_table() -> str:
    """All metrics of the evaluation as a Markdown table."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(name, metric) for name, metric in COLUMNS.items())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(name: str, metric: Description) -> tuple[str, ...]:
    cells = (metric.title, metric.formula, metric.unit, metric.better, *metric.empty, metric.source)
    return (f"`{name}`", *(cell.replace("|", "\\|") for cell in cells))


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "metrics":
        source[0] = source[0].replace(MARKER, metrics_table())


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the table to the build."""
    app.connect("env-get-outdated", lambda *_: ["metrics"])
    app.connect("source-read", _fill)
    return {"version": "1", "parallel_read_safe": True}
