"""Cases of a report: rows of its table, and their pictures."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ivadomed.evaluation.pictures import OVERLAY_FOLDER
from ivadomed.evaluation.summary import name_of_class, split_column
from ivadomed.metrics.descriptions import describe
from ivadomed.report.charts import number
from ivadomed.report.contents import MAIN, Report
from ivadomed.visualize import COLOURS

_EMBEDDED = 20
_EMBEDDED_BYTES = 6_000_000
_OPEN = 6
_IN_KEY = 30  # more would repeat colours and push the pictures down by pages
_CAPTION = ("dice", "hd95", "nsd")


def cases(report: Report) -> dict[str, Any]:
    """Template variables of the cases: columns and rows of the table, pictures of the worst cases."""
    contrast = {pair.image_id: pair.contrast for pair in report.pairs}
    contrasts = sorted(set(contrast.values())) if len(set(contrast.values())) > 1 else []
    files = dict(_embedded(report))
    embedded = {image: f"picture-{i}" for i, image in enumerate(files)}
    stacks = {
        image: f"slices-{i}"
        for i, image in enumerate(report.order)
        if image in report.pictures and report.pictures[image].slices
    }
    columns = [_column(report, name) for name in _sorted_columns(report)]
    values = report.table.loc[list(report.order), [column["name"] for column in columns]].to_numpy(float)
    rows = [
        {
            "image": image,
            "contrast": contrast[image],
            "link": _link(report, image),
            "embedded": embedded.get(image),
            "slices": stacks.get(image),
            "cells": cells.tolist(),
        }
        for image, cells in zip(report.order, values, strict=True)
    ]
    return {
        "pictures": [
            {
                "id": embedded[image],
                "image": image,
                "data": base64.b64encode(path.read_bytes()).decode(),
                "caption": _caption(report, image),
            }
            for image, path in files.items()
        ],
        "open": _OPEN,
        "in_key": _IN_KEY,
        "contrasts": [(name, name) for name in contrasts],
        "columns": columns,
        "rows": rows,
        "stacks": [(name, report.pictures[image].slices) for image, name in stacks.items()],
        "colours": [",".join(f"{value:.0f}" for value in one) for one in COLOURS],
    }


def _embedded(report: Report) -> list[tuple[str, Path]]:
    """The worst cases with a picture, as many as the page may hold."""
    chosen: list[tuple[str, Path]] = []
    size = 0
    for image in report.order:
        if image not in report.pictures:
            continue
        path = report.pictures[image].file
        size += path.stat().st_size
        if len(chosen) == _EMBEDDED or size > _EMBEDDED_BYTES:
            break
        chosen.append((image, path))
    return chosen


def _sorted_columns(report: Report) -> list[str]:
    """Columns with any value, class by class, main metrics first."""

    def key(column: str) -> tuple[bool, str, int, str]:
        metric, k = split_column(column)
        return k == "", k.zfill(3), MAIN.index(metric) if metric in MAIN else len(MAIN), metric

    return sorted(report.table.dropna(axis=1, how="all").columns, key=key)


def _column(report: Report, column: str) -> dict[str, str]:
    """Header of a column of the table of cases."""
    metric, k = split_column(column)
    described = describe(metric)
    notes = [described.unit] if described.unit else []
    notes += [name_of_class(k, report.class_names)] if k and len(report.class_names) > 1 else []
    return {
        "name": column,
        "k": k,
        "label": described.label,
        "hint": described.hint,
        "worst": "ascending" if described.better == "higher" else "descending",
        "css": " ".join(([f"c{k}"] if k else []) + (["minor"] if metric not in MAIN else [])),
        "note": ", ".join(notes),
    }


def _link(report: Report, image: str) -> str:
    """Relative URL of the picture of an image; empty if there is none."""
    picture = report.pictures.get(image)
    return quote(f"{OVERLAY_FOLDER.name}/{picture.file.name}") if picture else ""


def _caption(report: Report, image: str) -> str:
    """The main numbers of an image, class by class."""
    row = report.table.loc[image]
    classes = []
    for k, class_name in enumerate(report.class_names):
        values = {metric: row.get(f"{metric}_class{k}", np.nan) for metric in _CAPTION}
        text = ", ".join(
            f"{describe(metric).label} {number(value)}"
            for metric, value in values.items()
            if not np.isnan(value)
        )
        name = f"{class_name}: " if len(report.class_names) > 1 else ""
        classes += [name + text] if text else []
    return "; ".join(classes)
