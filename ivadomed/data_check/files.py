"""Look at all voxels of the files that a training would read, before it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import Image, is_nifti, read_image
from ivadomed.images.labels import LabelFile, read_label
from ivadomed.images.volume_of import ImagePath
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import ABOVE_ONE, check_same_grid, has_several_classes, pixel_size_mm
from ivadomed.loader.prepared.checks import prepared_bytes
from ivadomed.loader.prepared.prepare import Recipe, refuse_unknown_pixel_size
from ivadomed.runtime.terminal import hidden_bar

_SHOWN_VALUES = 6


@dataclass(frozen=True)
class Finding:
    """Something that a user should know.

    Args:
        place: The file, or the set or section of the configuration.
        message: Fault and remedy.
        fatal: A training would fail on it, or learn something wrong.
    """

    place: str
    message: str
    fatal: bool


@dataclass(eq=False)
class CaseReport:
    """Findings in one case; the report grows file by file.

    Args:
        rows: One per file: case, file, role ("image", "roi" or the suffix of a label), contrast, grid, whether it is a
            picture, lowest and highest value, and the values of a label.
        findings: In order of the files.
        grid: Grid of the image; None when it cannot be read.
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
        n_jobs: Cases read at a time.

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
        image = _read(case, path, "image", contrast, report)
        if image is None:
            continue
        if report.grid is None:
            report.grid = image.grid(recipe.slice_axis)
        else:
            _compare(case, report, image, path)
        if np.ptp(image.data) == 0:
            report.find(path, f"is constant ({image.data.flat[0]:g}); leave it out", fatal=True)
    files = [file for file in case.rater_files if file is not None]
    for file in (*files, *filter(None, (case.roi,))):
        path, role = file.path, "roi" if file is case.roi else _suffix_of(file, case)
        label = _read(case, file, role, case.contrasts[-1], report)
        if label is not None:
            _compare(case, report, label, path)
            fault = _label_fault(label.data, report.rows[-1]["values"], recipe.soft_gt)
            if fault is not None:
                report.find(path, *fault)
    try:
        refuse_unknown_pixel_size(case, recipe)
        if report.grid is not None:
            prepared_bytes([case], recipe)
    except DataError as error:
        report.find(first, str(error), fatal=True)
    return report


def _read(
    case: Case, file: ImagePath | LabelFile, role: str, contrast: str, report: CaseReport
) -> Image | None:
    """Read one file and add its row; None when it cannot be used."""
    path = file.path if isinstance(file, LabelFile) else file
    try:
        pixel_size = pixel_size_mm(case.metadata, case.images[0])
        is_label = isinstance(file, LabelFile)
        image = read_label(file, pixel_size) if is_label else read_image(path, pixel_size)
    except DataError as error:
        report.find(path, str(error), fatal=True)
        return None
    finite = bool(np.isfinite(image.data).all())
    report.rows.append(
        {
            "case": case.id,
            "file": str(path),
            "role": role,
            "contrast": contrast,
            "grid": image.grid(),
            "picture": not is_nifti(path),
            "lowest": float(image.data.min()),
            "highest": float(image.data.max()),
            "values": "" if role == "image" else _values(image.data),
        }
    )
    if not finite:
        report.find(path, "has NaN or infinite voxels; mend the file or leave the subject out", fatal=True)
        return None
    return image


def _values(label: np.ndarray) -> str:
    """The few values of a label, or their range."""
    # Nearly all labels are binary, and sorting all voxels takes long.
    values = np.unique(label[(label != 0) & (label != 1)])
    values = np.union1d(values, [value for value in (0, 1) if (label == value).any()])
    if len(values) > _SHOWN_VALUES:
        return f"{values[0]:g} to {values[-1]:g}"
    return ", ".join(f"{value:g}" for value in values)


def _label_fault(label: np.ndarray, values: str, soft_gt: bool) -> tuple[str, bool] | None:
    """Message about values of a label that are not those of one class, and True when it is fatal."""
    low, high = float(label.min()), float(label.max())
    has = f"has the values {values}"
    if high <= 0:
        return "is empty", False
    if soft_gt and (low < 0 or high > ABOVE_ONE):
        return f"{has}; expected 0 to 1", True
    if not soft_gt and high < 0.5:
        return f"{has}; none reaches 0.5, so that it counts as empty", True
    if has_several_classes(label):
        return f"{has}, which count as one class; write a file for each class", True
    if not soft_gt and not np.isin(label, (0, 1)).all():
        return f"{has}; 0.5 and more count as 1 (soft_gt: true keeps them)", False
    return None


def _compare(case: Case, report: CaseReport, image: Image, path: ImagePath) -> None:
    if report.grid is None:
        return
    try:
        check_same_grid(report.grid, case.images[0], image.grid(report.grid.slice_axis), path)
    except DataError as error:
        report.find(path, str(error), fatal=True)


def _suffix_of(label: LabelFile, case: Case) -> str:
    """End of the name of a label behind that of its image."""
    stem = label.path.name.split(".")[0]
    names = [image.name.split(".")[0] for image in case.images]
    return next((stem.removeprefix(name) for name in reversed(names) if stem.startswith(name)), stem)
