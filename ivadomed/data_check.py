"""Look at every file that a training would read, before it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from nibabel.orientations import aff2axcodes
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.grid import Grid
from ivadomed.io import read_image, read_label
from ivadomed.loader.case import Case
from ivadomed.loader.volumes import check_same_grid, pixel_size_mm

_SHOWN_VALUES = 6


@dataclass(frozen=True)
class Finding:
    """Something about a file that a user should know.

    Args:
        file: Which one.
        message: What is wrong and what to do.
        fatal: Whether a training would fail on it, or learn something wrong.
    """

    file: Path
    message: str
    fatal: bool


@dataclass(frozen=True, eq=False)
class CaseReport:
    """What was seen of one case.

    Args:
        rows: One per file: case, file, role, contrast, shape, zooms, orientation, lowest and highest value.
        findings: In order of the files.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def check_cases(cases: Sequence[Case], soft_gt: bool, n_jobs: int = 1) -> tuple[pd.DataFrame, list[Finding]]:
    """Read all files of all cases.

    Args:
        cases: What a training would use.
        soft_gt: Whether label values between 0 and 1 are wanted.
        n_jobs: Cases read at a time.

    Returns:
        One row per file, and what is wrong.
    """
    jobs = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
        delayed(check_case)(case, soft_gt) for case in cases
    )
    reports = list(tqdm(jobs, total=len(cases), desc="Checking", unit="case", leave=False, disable=None))
    table = pd.DataFrame([row for report in reports for row in report.rows])
    return table, [finding for report in reports for finding in report.findings]


def check_case(case: Case, soft_gt: bool) -> CaseReport:
    """Read the files of one case."""
    report = CaseReport()
    grid: Grid | None = None
    for path, contrast in zip(case.images, case.contrasts, strict=True):
        grid = _check_file(case, path, "image", contrast, grid, soft_gt, report) or grid
    for path in filter(None, (*case.rater_paths, case.roi)):
        _check_file(
            case, path, "roi" if path == case.roi else "label", case.contrasts[-1], grid, soft_gt, report
        )
    if not any(sidecar.exists() for sidecar in _sidecars(case.images[0])):
        report.findings.append(Finding(case.images[0], "has no sidecar JSON", fatal=False))
    return report


def _check_file(
    case: Case, path: Path, role: str, contrast: str, grid: Grid | None, soft_gt: bool, report: CaseReport
) -> Grid | None:
    """Read one file and report on it; its grid, or None when it cannot be read."""

    def find(message: str, fatal: bool) -> None:
        report.findings.append(Finding(path, message, fatal))

    try:
        pixel_size = pixel_size_mm(case.metadata, case.images[0])
        image = (read_image if role == "image" else read_label)(path, pixel_size)
        own = image.grid()
        if grid is not None:
            check_same_grid(grid, case.images[0], own, path)
    except DataError as error:
        find(str(error).removeprefix(f"{path}: "), fatal=True)
        return None
    finite = bool(np.isfinite(image.data).all())
    low, high = (float(image.data.min()), float(image.data.max())) if finite else (np.nan, np.nan)
    report.rows.append(
        {
            "case": case.id,
            "file": str(path),
            "role": role,
            "contrast": contrast,
            "shape": "x".join(map(str, own.shape)),
            "zooms": "x".join(f"{zoom:.3g}" for zoom in image.zooms),
            "orientation": "".join(aff2axcodes(image.affine)),
            "lowest": low,
            "highest": high,
        }
    )
    if not finite:
        find("has NaN or infinite voxels; mend the file or leave the subject out", fatal=True)
    elif role == "image" and low == high:
        find(f"is constant ({low:g}); all its slices are left out", fatal=True)
    elif role == "label" and high <= 0:
        find("is empty", fatal=False)
    elif role == "label":
        values = np.unique(image.data)
        if low < 0 or high > 1 or (not soft_gt and not np.isin(values, (0, 1)).all()):
            shown = ", ".join(f"{value:g}" for value in values[:_SHOWN_VALUES])
            more = ", ..." if len(values) > _SHOWN_VALUES else ""
            find(
                f"has the values {shown}{more}; expected 0 and 1 (values of 0.5 and more count as 1)",
                fatal=high > 1,
            )
    return own


def _sidecars(path: Path) -> list[Path]:
    """Where the sidecar of an image may be: beside it, with all or fewer of its entities."""
    stem = path.name.split(".")[0]
    *entities, suffix = stem.split("_")
    names = ["_".join([*entities[:n], suffix]) for n in range(len(entities), 0, -1)]
    return [path.parent / f"{name}.json" for name in names]
