"""Text output of the check of a data set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ivadomed.data_check.files import Finding
from ivadomed.data_check.report import DataReport

_MOST_LINES = 20
_SMALL = 0.01  # mm; smaller voxels are printed in micrometers


def text_of(report: DataReport) -> Iterator[str]:
    """Lines of the output, from the files left out to the verdict."""
    yield from _some([f"left out  {item.file}: {item.reason}" for item in report.dropped])
    if report.rows:
        yield f"\n{summary(report.rows).to_string(index=False)}\n"
    for fatal in (True, False):
        yield from _some(_finding_lines([f for f in report.findings if f.fatal == fatal]))
    sets = ", ".join(f"{name} {len(cases)}" for name, cases in report.cases.items())
    total = sum(map(len, report.cases.values()))
    errors = sum(finding.fatal for finding in report.findings)
    counts = (
        _number(total, "case") + " kept",
        _number(len(report.dropped), "file") + " left out",
        _number(errors, "error"),
        _number(len(report.findings) - errors, "remark"),
    )
    yield f"{', '.join(counts)}.  Cases: {sets}."


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _some(lines: Sequence[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return list(lines)
    return [*lines[:_MOST_LINES], f"          ... and {len(lines) - _MOST_LINES} more; --csv FILE lists all"]


def _finding_lines(findings: Sequence[Finding]) -> list[str]:
    """One line per message, regardless of the number of files."""
    places: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        places[finding.message].append(finding.place)
    kind = "ERROR   " if findings and findings[0].fatal else "remark  "
    lines = []
    for message, found in places.items():
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        lines.append(f"{kind}  {found[0]}{more}: {message}")
    return lines


def summary(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per role and contrast: number of files, ranges of shape and voxel size, orientations, values.

    Shapes and voxel sizes are in RAS order, so that files of different orientations can be compared.
    """
    lines = []
    for (role, contrast), group in pd.DataFrame(rows).groupby(["role", "contrast"], sort=False):
        axes = 2 if group["picture"].all() else 3
        shapes = np.array([grid.hwd_shape[:axes] for grid in group["grid"]])
        zooms = np.array([grid.zooms[:axes] for grid in group["grid"]])
        factor, unit = (1000, "um") if (zooms < _SMALL).all() else (1, "mm")
        codes = pd.Series(["picture" if axes == 2 else grid.axis_codes for grid in group["grid"]])
        values = f"{group['lowest'].min():g} to {group['highest'].max():g}"
        lines.append(
            {
                "role": role,
                "contrast": contrast,
                "files": len(group),
                "shape (RAS)": _ranges(shapes),
                "voxel size": f"{_ranges(zooms * factor)} {unit}",
                "orientation": _counts(codes),
                "values": values if role == "image" else _counts(group["values"]),
            }
        )
    return pd.DataFrame(lines)


def _ranges(sizes: np.ndarray) -> str:
    """Ranges of sizes [N, axes] as text, e.g. "31-43 x 40-59"."""
    ends = zip(sizes.min(axis=0), sizes.max(axis=0), strict=True)
    return " x ".join(
        f"{low:.4g}" if np.isclose(low, high) else f"{low:.4g}-{high:.4g}" for low, high in ends
    )


def _counts(values: pd.Series) -> str:
    """Distinct values, the most common first, with the number of files if there are several."""
    counts = values.value_counts()
    if len(counts) == 1:
        return str(counts.index[0])
    shown = " | ".join(f"{value} ({count})" for value, count in counts.head(3).items())
    return shown if len(counts) <= 3 else f"{shown} | ..."
