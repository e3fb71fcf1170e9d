"""The cases of a report: a table to sort, and pictures of the worst ones."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ivadomed.evaluation.dataset import OVERLAY_FOLDER
from ivadomed.evaluation.summary import split_column
from ivadomed.report.charts import colour, number
from ivadomed.report.content import LESS_IS_WORSE, MAIN, UNITS, Report

_EMBEDDED = 20
_EMBEDDED_BYTES = 6_000_000
_OPEN = 6
_IN_KEY = 30
_CAPTION = ("dice", "hd95", "nsd")


def case_table(report: Report) -> str:
    """One row per image, the worst first; the columns sort it, a click opens the picture."""
    columns = _sorted_columns(report)
    contrast = {pair.image_id: pair.contrast for pair in report.pairs}
    with_contrast = len(set(contrast.values())) > 1
    head = [_head("image", "image")] + ([_head("contrast", "contrast", "name")] if with_contrast else [])
    head += [_metric_head(report, column) for column in columns]
    values = report.table.loc[list(report.order), columns].to_numpy(float)
    classes = [_cell_class(column) for column in columns]
    embedded = {image: f"picture-{i}" for i, (image, _) in enumerate(_embedded(report))}
    rows = []
    for image, row in zip(report.order, values, strict=True):
        cells = [_name_cell(report, image, embedded.get(image))]
        cells += [f'<td class="name">{escape(contrast[image])}</td>'] if with_contrast else []
        cells += [
            f'<td class="{kind}">{number(value)}</td>' for kind, value in zip(classes, row, strict=True)
        ]
        has_picture = ' class="has-picture"' if image in report.overlays else ""
        rows.append(f"<tr{has_picture}>{''.join(cells)}</tr>")
    return (
        f'{_controls(report, sorted(set(contrast.values())) if with_contrast else [])}<div class="scroll tall">'
        f'<table id="cases" class="main"><thead><tr>{"".join(head)}</tr></thead><tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def pictures(report: Report) -> str:
    """Pictures of the worst cases, as part of the page."""
    figures = []
    for i, (image, path) in enumerate(_embedded(report)):
        data = base64.b64encode(path.read_bytes()).decode()
        figures.append(
            f'<figure><img id="picture-{i}" src="data:image/png;base64,{data}" alt="{escape(image)}">'
            f"<figcaption>{escape(image)} <span>{_caption(report, image)}</span></figcaption></figure>"
        )
    if not figures:
        return ""
    more = figures[_OPEN:]
    names = report.class_names
    key = "".join(
        f'<i style="background:{colour(k)}"></i>{escape(name)}' for k, name in enumerate(names[:_IN_KEY])
    )
    if len(names) > _IN_KEY:  # colours repeat, and the pictures would be pages below
        key += f" and {len(names) - _IN_KEY} more"
    return (
        f'<p class="key">Lowest Dice first. Prediction in colour:{key}<i class="outline"></i>outline of the ground '
        f'truth</p><div class="pictures">{"".join(figures[:_OPEN])}</div>'
        + (
            f'<details><summary>{len(more)} more</summary><div class="pictures">{"".join(more)}</div></details>'
            if more
            else ""
        )
    )


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


def _cell_class(column: str) -> str:
    metric, k = split_column(column)
    return " ".join(([f"c{k}"] if k else []) + (["minor"] if metric not in MAIN else []))


def _metric_head(report: Report, column: str) -> str:
    metric, k = split_column(column)
    worst = "ascending" if metric.split("_")[0] in LESS_IS_WORSE else "descending"
    notes = [UNITS[metric]] if metric in UNITS else []
    notes += [f"class {k}"] if k and len(report.class_names) > 1 else []
    marks = f' data-worst="{worst}"' + (f' data-class="{k}"' if k else "")
    return _head(column, metric, _cell_class(column), marks, ", ".join(notes))


def _head(column: str, name: str, css: str = "", marks: str = "", note: str = "") -> str:
    small = f"<small>{note}</small>" if note else ""
    return f'<th data-column="{escape(column)}"{marks} class="{css}"><button>{escape(name)} {small}</button></th>'


def _name_cell(report: Report, image: str, embedded: str | None) -> str:
    if image not in report.overlays:
        return f"<td>{escape(image)}</td>"
    link = quote(f"{OVERLAY_FOLDER.name}/{report.overlays[image].name}")
    place = f' data-embedded="{embedded}"' if embedded else ""
    return f'<td><a href="{escape(link)}"{place}>{escape(image)}</a></td>'


def _controls(report: Report, contrasts: Sequence[str]) -> str:
    parts = ['<label>Find <input id="search" type="search" placeholder="part of the name"></label>']
    if contrasts:
        parts.append(_select("contrast", "Contrast", {contrast: contrast for contrast in contrasts}))
    if len(report.class_names) > 1:
        names = {str(k): f"{k}: {name}" for k, name in enumerate(report.class_names)}
        parts.append(_select("class", "Class", names))
    parts.append('<label><input id="all" type="checkbox">all metrics</label>')
    return f'<div class="controls">{"".join(parts)}</div>'


def _select(name: str, title: str, options: Mapping[str, str]) -> str:
    choices = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in options.items()
    )
    return f'<label>{title} <select id="{name}"><option value="">all</option>{choices}</select></label>'


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
