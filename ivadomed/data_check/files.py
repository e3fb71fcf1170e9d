"""Check of all voxels of the files that a training would read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import Image, fault_of_values, is_nifti, read_image
from ivadomed.images.labels import LabelFile, StoredLabel, open_label
from ivadomed.images.volume_of import ImagePath
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import check_same_grid, pixel_size_mm
from ivadomed.loader.prepared.checks import prepared_bytes
from ivadomed.loader.prepared.prepare import Recipe, refuse_unknown_pixel_size
from ivadomed.runtime.terminal import hidden_bar

_SHOWN_VALUES = 6


@dataclass(frozen=True)
class Finding:
    """A problem or remark for the user.

    Args:
        place: The file, or the set or section of the configuration.
        message: Fault and remedy.
        fatal: True if a training would fail or learn from wrong data.
    """

    place: str
    message: str
    fatal: bool


@dataclass(eq=False)
class CaseReport:
    """Findings in one case, accumulated file by file.

    Args:
        rows: One per file: case, file, role ("image", "roi" or the suffix of a label), contrast, grid, True if it is
            a picture, lowest and highest value, and the values of a label.
        findings: Findings, in order of the files.
        grid: Grid of the image; None if it cannot be read.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    grid: Grid | None = None

    def find(self, file: ImagePath, message: str, fatal: bool) -> None:
        """Add a finding."""
        self.findings.append(Finding(str(file), message.removeprefix(str(file)).lstrip(": "), fatal))


def check_cases(cases: Sequence[Case], recipe: Recipe, n_jobs: int = 1) -> list[CaseReport]:
    """Read all files of all cases, with a progress bar.

    Args:
        cases: Cases that a training would use.
        recipe: Fixed steps of the training.
        n_jobs: Number of cases to read in parallel.

    Returns:
        A report per case.
    """
    jobs = Parallel(n_jobs=n_jobs, prefer="threads", return_as="generator")(
        delayed(check_case)(case, recipe) for case in cases
    )
    return list(tqdm(jobs, total=len(cases), desc="Checking", unit="case", leave=False, disable=hidden_bar()))


def check_case(case: Case, recipe: Recipe) -> CaseReport:
    """Read the files of one case."""
    first = case.images[0]
    report = CaseReport()
    for path, contrast in zip(case.images, case.contrasts, strict=True):
        image = _read(case, path, contrast, report)
        if image is None:
            continue
        if report.grid is None:
            report.grid = image.grid(recipe.slice_axis)
        else:
            _compare(case, report, image, path)
        if np.ptp(image.data) == 0:
            report.find(path, f"is constant ({image.data.flat[0]:g}); leave it out", fatal=True)
    opened: dict[Path, StoredLabel | None] = {}
    for label in case.labels:
        _check_label(case, label, recipe, report, opened)
    try:
        refuse_unknown_pixel_size(case, recipe)
        if report.grid is not None:
            prepared_bytes([case], recipe)
    except DataError as error:
        report.find(first, str(error), fatal=True)
    return report


def _read(case: Case, path: ImagePath, contrast: str, report: CaseReport) -> Image | None:
    """Read an image and add its row; None if it cannot be used."""
    try:
        image = read_image(path, pixel_size_mm(case.metadata, case.images[0]))
    except DataError as error:
        report.find(path, str(error), fatal=True)
        return None
    report.rows.append(_row(case, path, "image", contrast, image))
    if fault := fault_of_values(image.data):
        report.find(path, fault, fatal=True)
        return None
    return image


def _check_label(
    case: Case, file: LabelFile, recipe: Recipe, report: CaseReport, opened: dict[Path, StoredLabel | None]
) -> None:
    """Read a label as in training, and add its row; ``opened`` holds the files already read."""
    path, is_new = file.path, file.path not in opened
    try:
        if is_new:
            opened[path] = None  # until it is read
            opened[path] = open_label(path, pixel_size_mm(case.metadata, case.images[0]))
        stored = opened[path]
        if stored is None:
            return
        role = "roi" if file is case.roi else "ignored" if file is case.ignore else _suffix_of(file, case)
        row = _row(case, path, role, case.contrasts[-1], stored.image)
        row |= {"values": _values(stored), "label": str(file), "labelled": True}
        row["object"] = stored.classes if stored.kind == "binary" and not file.values else ()
        report.rows.append(row)
        if is_new:
            _compare(case, report, stored.image, path)
        soft = recipe.soft_gt or file is case.roi
        named = [value for other in case.labels if other.path == path for value in other.values]
        label = stored.of_class(file.values, soft, named)
        row["labelled"] = bool(label.data.any())
    except DataError as error:
        report.find(path, str(error), fatal=True)
        return
    for message, fatal in _remarks(stored, label, role if file.values else "", soft):
        report.find(path, message, fatal)


def _row(case: Case, path: ImagePath, role: str, contrast: str, image: Image) -> dict[str, Any]:
    return {
        "case": case.id,
        "file": str(path),
        "role": role,
        "contrast": contrast,
        "grid": image.grid(),
        "picture": not is_nifti(path),
        "lowest": float(image.data.min()),
        "highest": float(image.data.max()),
        "values": "",
    }


def _values(label: StoredLabel) -> str:
    """Values of a label, or their range if there are many."""
    low, high = label.extremes
    data = label.image.data
    if not label.is_whole:
        # Sorting all voxels is slow, and most of them are 0 or 1.
        values = np.unique(data[(data != 0) & (data != 1)])
        values = np.union1d(values, [value for value in (0, 1) if (data == value).any()])
    else:
        values = np.array(list(label.counts))
    return f"{low:g} to {high:g}" if len(values) > _SHOWN_VALUES else ", ".join(f"{v:g}" for v in values)


def _remarks(stored: StoredLabel, label: Image, of_map: str, soft: bool) -> Iterator[tuple[str, bool]]:
    """Messages about the interpretation of a label, and True if fatal; ``of_map`` is a class of a label map."""
    has = f"has the values {_values(stored)}"
    if not label.data.any():
        if stored.kind == "soft" and not of_map and stored.extremes[1] > 0:
            yield f"{has}; none reaches 0.5, so it counts as empty", True
        else:
            yield (f"has no voxel of {of_map}" if of_map else "is empty"), False
    elif stored.kind == "soft" and not soft:
        yield f"{has}; 0.5 and more count as 1 (soft_gt: true keeps them)", False
    if stored.traces and not of_map:
        greys = ", ".join(f"{value:g} ({count})" for value, count in stored.traces.items())
        yield f"has a few pixels of other greys: {greys}; each counts as the nearer of its two greys", False


def _compare(case: Case, report: CaseReport, image: Image, path: ImagePath) -> None:
    if report.grid is None:
        return
    try:
        check_same_grid(report.grid, case.images[0], image.grid(report.grid.slice_axis), path)
    except DataError as error:
        report.find(path, str(error), fatal=True)


def _suffix_of(label: LabelFile, case: Case) -> str:
    """Name of a label in the configuration, else the suffix of its file after the image name: "_dseg:1"."""
    if label.name:
        return label.name
    stem = label.path.name.split(".")[0]
    names = [image.name.split(".")[0] for image in case.images]
    suffix = next((stem.removeprefix(name) for name in reversed(names) if stem.startswith(name)), stem)
    return f"{suffix}:{'+'.join(map(str, label.values))}" if label.values else suffix
