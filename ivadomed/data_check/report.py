"""Full report on the data set of a configuration: files kept, left out and faulty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes

from ivadomed.config import RunConfig
from ivadomed.data_check.files import CaseReport, Finding, check_cases
from ivadomed.errors import DataError
from ivadomed.images.labels import LabelFile
from ivadomed.loader.bids.faults import summary
from ivadomed.loader.bids.files import Dropped
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.build import draw_split, index_data, list_cases
from ivadomed.loader.cases.case import Case
from ivadomed.loader.folds import draw_folds
from ivadomed.loader.prepared.checks import check_patches, check_sizes, prepared_shape
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.recipe import recipe_of
from ivadomed.registry.types import DatasetType

_SAME_ZOOM = 1.05
SETS: dict[str, DatasetType] = {"train": "training", "valid": "validation", "test": "testing"}


@dataclass(eq=False)
class DataReport:
    """Use of a data set by a training, accumulated set by set.

    Args:
        cases: Cases of each set ("training", "validation", "testing").
        rows: See ``CaseReport``, with the set of each file.
        dropped: Files and subjects left out, each with its reason.
        findings: Faults and surprises.
    """

    cases: dict[str, tuple[Case, ...]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def usable(self) -> bool:
        """True if the data set can be trained on."""
        return not any(finding.fatal for finding in self.findings)

    def find(self, place: str, message: str, fatal: bool) -> None:
        """Add a finding that does not concern a single file."""
        self.findings.append(Finding(place, message, fatal))

    def table(self) -> pd.DataFrame:
        """Table with one row per file kept or left out, with its findings."""
        found: dict[str, list[str]] = {}
        for finding in self.findings:
            found.setdefault(finding.place, []).append(finding.message)
        kept = [_plain(row) | {"remarks": "; ".join(found.pop(row["file"], ()))} for row in self.rows]
        left_out = [{"set": "left out", "file": item.file, "remarks": item.reason} for item in self.dropped]
        others = [{"file": place, "remarks": "; ".join(messages)} for place, messages in found.items()]
        return pd.DataFrame([*kept, *others, *left_out])


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Row for CSV: the grid as shape, voxel size and orientation of the file."""
    grid = row["grid"]
    axes = 2 if row["picture"] else 3
    described = {
        "shape": "x".join(map(str, grid.shape[:axes])),
        "voxel_mm": "x".join(f"{zoom:.4g}" for zoom in voxel_sizes(grid.affine)[:axes]),
        "orientation": "" if row["picture"] else grid.axis_codes,
    }
    first = {key: row[key] for key in ("set", "case", "file", "role", "contrast")}
    return first | described | {key: row[key] for key in ("lowest", "highest", "values")}


def report_data(config: RunConfig, n_jobs: int = 1) -> DataReport:
    """Read all files that a training and its test would read.

    Args:
        config: Configuration of the training.
        n_jobs: Number of cases to read in parallel.

    Raises:
        DataError: No image remains, a label or an image name is not unique, or a table is damaged.
    """
    report = DataReport()
    with TemporaryDirectory() as scratch:
        bids_df = index_data(config, Path(scratch))
        try:
            if config.split_dataset.is_cross_validation:  # all folds have the same cases
                split = draw_folds(config, bids_df)[0]
            else:
                split = draw_split(config, bids_df, Path(scratch))
        except DataError as error:
            report.find("split", str(error).removeprefix("split_dataset: "), fatal=True)
            split = {"train": sorted(bids_df.images)}
    report.dropped += bids_df.dropped
    for remark in bids_df.remarks:
        report.find("data set", remark, fatal=False)
    for side, names in split.items():
        _check_set(config, bids_df, names, SETS[side], report, n_jobs)
    _find_unused(bids_df, split, report)
    for path in bids_df.without_sidecar:
        report.find(str(path), "has no sidecar JSON", fatal=False)
    return report


def _check_set(
    config: RunConfig,
    bids_df: BidsDataframe,
    names: Sequence[str],
    dataset_type: DatasetType,
    report: DataReport,
    n_jobs: int,
) -> None:
    """Check one set: its files, then the batching of its samples and the presence of all classes."""
    found = list_cases(config, bids_df, names, dataset_type)
    report.cases[dataset_type] = found.cases
    report.dropped += found.dropped
    place = f"{dataset_type} set"
    if not found.cases:
        if names or dataset_type != "testing":
            why = f": {summary(found.dropped)}" if found.dropped else ""
            report.find(place, f"is empty{why}; change split_dataset or the contrasts", fatal=True)
        return
    recipe = recipe_of(config, dataset_type)
    reports = check_cases(found.cases, recipe, n_jobs)
    for of_case in reports:
        report.rows += [{"set": dataset_type, **row} for row in of_case.rows]
        report.findings += of_case.findings
    for message, fatal in _faults_of_set(config, found.cases, reports, recipe, dataset_type):
        report.find(place, message, fatal)


def _faults_of_set(
    config: RunConfig,
    cases: Sequence[Case],
    reports: Sequence[CaseReport],
    recipe: Recipe,
    dataset_type: DatasetType,
) -> Iterator[tuple[str, bool]]:
    """Faults of a set as a whole, with True if fatal: no batches, unequal voxel sizes, classes without a voxel."""
    grids = {c.id: r.grid for c, r in zip(cases, reports, strict=True) if r.grid is not None}
    if (
        not config.object_detection_params.object_detection_path
    ):  # otherwise sizes are determined by the boxes
        shapes = {name: prepared_shape(grid, recipe) for name, grid in grids.items()}
        batch_size = 1 if dataset_type == "testing" else config.training_parameters.batch_size
        try:
            check_sizes(shapes, config.length, config.architecture, batch_size)
            check_patches(shapes, config.length, config.stride)
        except DataError as error:
            yield str(error), True
    zooms = np.array([grid.zooms for grid in grids.values()] or [(1, 1, 1)])[:, : 2 if config.is_2d else 3]
    uneven = (zooms.max(axis=0) > _SAME_ZOOM * zooms.min(axis=0)).any()
    if uneven and not any(step.resamples for step in config.transformation.chain.values()):
        yield "voxel sizes differ, and transformation has no Resample to make them equal", False
    rows = {row["label"]: row for of_case in reports for row in of_case.rows if "label" in row}
    for k, name in enumerate(config.class_names):
        yield from _faults_of_class(
            [case.targets[k] for case in cases], name, rows, dataset_type == "training"
        )


def _faults_of_class(
    labels: Sequence[tuple[LabelFile, ...] | None],
    name: str,
    rows: Mapping[str, Mapping[str, Any]],
    is_training: bool,
) -> Iterator[tuple[str, bool]]:
    """Faults of the labels of one class, one per case: absent, empty, or with inconsistent values."""
    without = sum(not raters for raters in labels)
    if without:
        yield f"{without} of {len(labels)} cases have no {name}: it counts as empty there", False
    files = [str(file) for raters in labels for file in raters or ()]
    if not any(rows[file]["labelled"] for file in files if file in rows) and not set(files) - rows.keys():
        yield f"no label {name} has a voxel", is_training  # unreadable files have their own finding
    values = Counter(chain.from_iterable(rows[file]["object"] for file in files if file in rows))
    if len(values) > 1:
        counted = ", ".join(f"{value} in {count}" for value, count in sorted(values.items()))
        yield (
            f"files of {name} hold 0 and another value, which differs: {counted}; each counts as the class",
            False,
        )


def _find_unused(bids_df: BidsDataframe, split: Mapping[str, Sequence[str]], report: DataReport) -> None:
    """Add the images that no set uses because of the configuration."""
    used = {path for cases in report.cases.values() for case in cases for path in case.images}
    known = {item.file for item in report.dropped}
    sides = {name: side for side, names in split.items() for name in names}
    for name, image in bids_df.images.items():
        # Files are left out by path or name, cases by id, subjects that lack a channel by "sub-01_ses-02".
        parts = image.stem.split("_")
        beginnings = ("_".join(parts[: n + 1]) for n in range(len(parts)))
        if image.image in used or not known.isdisjoint((str(image.path), name, *beginnings)):
            continue
        side = sides.get(name)
        reason = (
            f"its contrast is none of those of the {SETS[side]} set"
            if side
            else "no set has it: subject_selection, or no value to balance by"
        )
        report.dropped.append(Dropped(str(image.path), reason))
