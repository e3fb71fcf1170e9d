"""Checks of headers before reading voxels: faults, space for prepared cases, shapes that cannot be batched."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ivadomed.errors import DataError, OutputError
from ivadomed.geometry.grid import Grid
from ivadomed.geometry.windows import tile
from ivadomed.images.io import is_nifti, read_grid
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import box_in, check_same_grid, grid_of
from ivadomed.loader.prepared.files import blocked_shape
from ivadomed.loader.prepared.prepare import Recipe, plan_fixed, refuse_huge_result, refuse_unknown_pixel_size
from ivadomed.models.registry import model_class
from ivadomed.runtime.memory import available_memory
from ivadomed.transforms import CenterCrop, Crop, CropStep, Pipeline, Stage

if TYPE_CHECKING:
    from ivadomed.config.derived import Architecture

log = logging.getLogger(__name__)


def check_headers(cases: Iterable[Case], recipe: Recipe) -> None:
    """Check everything that does not need voxels: NIfTI headers, grids, pixel sizes.

    Raises:
        DataError: Describes the first fault and counts other faulty cases.
    """
    faults = [fault for case in cases if (fault := _header_fault(case, recipe)) is not None]
    if len(faults) > 1:
        more = f"{len(faults) - 1} more image{'s have' if len(faults) > 2 else ' has'} a fault"
        raise DataError(f"{faults[0]}\n{more}; ivadomed_check_data -c CONFIG lists them")
    if faults:
        raise DataError(faults[0])


def _header_fault(case: Case, recipe: Recipe) -> str | None:
    files = [path for path in case.files if is_nifti(path)]
    try:
        grids = [read_grid(path) for path in files]
        for path, grid in zip(files[1:], grids[1:], strict=True):
            check_same_grid(grids[0], files[0], grid, path)
        refuse_unknown_pixel_size(case, recipe)
        prepared_bytes([case], recipe)  # raises if the voxel size is wrong
    except DataError as error:
        return str(error)
    return None


def prepared_shape(grid: Grid, recipe: Recipe) -> tuple[int, ...]:
    """Shape of a slice or volume after the fixed steps."""
    roi = np.zeros(grid.hwd_shape, np.float32)
    roi[tuple(n // 2 for n in roi.shape)] = 1  # crops have the same size wherever the region is
    return tuple(plan_fixed(grid, roi, recipe)[0].shape_out)


def check_sizes(
    shapes: Mapping[str, Sequence[int]],
    length: Sequence[int],
    architecture: Architecture,
    batch_size: int = 1,
) -> None:
    """Refuse samples that cannot be batched or are too small for the network.

    Args:
        shapes: Per case, the shape of a slice or volume after the fixed steps.
        length: Patch size; empty for whole slices or volumes.
        architecture: Network and its arguments.
        batch_size: Samples stacked across cases; prediction stacks only equal sizes.

    Raises:
        DataError: Whole slices or volumes differ in size (two are named), or samples are too small.
    """
    sizes = {tuple(length)} if length else set(map(tuple, shapes.values()))
    if len(sizes) > 1 and batch_size > 1:
        (one, first), *others = shapes.items()
        other, second = next((name, shape) for name, shape in others if tuple(shape) != tuple(first))
        raise DataError(
            f"{one} has {_times(first)} voxels after preprocessing, {other} has {_times(second)}, and a batch needs "
            "one size; add CenterCrop to transformation, use patches (length_2D, length_3D), or batch_size 1"
        )
    network = model_class(architecture.name)
    for size in sorted(sizes):
        fault = network.size_fault(size, architecture.arguments)
        if fault is not None:
            raise DataError(
                f"samples of {_times(size)} voxels are too small for {architecture.name}: {fault}; use larger "
                "patches or crops, or a shallower network"
            )


def check_patches(shapes: Mapping[str, Sequence[int]], length: Sequence[int], stride: Sequence[int]) -> None:
    """Refuse patches that do not fit an image; see `tile`."""
    for name, shape in shapes.items() if length else ():
        try:
            tile(shape, length, stride)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error


def _times(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def prepared_bytes(cases: Iterable[Case], recipe: Recipe, in_blocks: bool = False) -> int:
    """Bytes of the voxels of prepared cases; only headers of images are read.

    Resampled labels are assumed to become fractions, with 4 bytes per voxel.

    Args:
        cases: Cases to prepare.
        recipe: Fixed steps.
        in_blocks: Volumes are padded as by `to_blocks`.

    Raises:
        DataError: A header cannot be read, or a case does not fit into memory during preparation.
    """
    # The position of a crop around a region of interest depends on voxels; its size does not.
    sized = replace(recipe, fixed=Pipeline(tuple(map(_without_roi, recipe.fixed.stages))))
    return sum(_bytes_of(case, sized, in_blocks) for case in cases)


def _without_roi(stage: Stage) -> Stage:
    transform = stage.transform
    return Stage(CenterCrop(transform.size)) if isinstance(transform, Crop) and transform.needs_roi else stage


def _bytes_of(case: Case, recipe: Recipe, in_blocks: bool) -> int:
    grid = grid_of(case, recipe.slice_axis)
    plans = plan_fixed(grid, None, recipe, box_in(case, grid))
    refuse_huge_result(case.images[0], grid, plans, max(len(case.present), len(case.rater_files)))
    shape = plans[0].shape_out
    voxels = math.prod(blocked_shape((1, *shape)) if in_blocks and not recipe.is_2d else shape)
    kept = all(isinstance(step, CropStep) or step.shape_in == step.shape_out for _, step in plans[0].steps)
    label = 1 if kept and not recipe.soft_gt else 4
    labels = len(case.rater_files) + (case.ignore is not None)
    return len(plans) * voxels * (4 * len(case.present) + label * labels)


def check_disk(folder: Path, size: int, compressed: bool) -> None:
    """Check that ``folder`` has ``size`` bytes of free space.

    Args:
        folder: Folder of the cache.
        size: Bytes that the cases need.
        compressed: The cases need less, by an unknown factor: only warn.

    Raises:
        OutputError: The disk is too small.
    """
    free = shutil.disk_usage(folder).free
    if size <= free:
        return
    limit = "at most" if compressed else "about"
    problem = (
        f"{folder}: the prepared data need {limit} {tqdm.format_sizeof(size, 'B')}, "
        f"{tqdm.format_sizeof(free, 'B')} are free; set loader_parameters.cache_dir to a larger disk"
    )
    if not compressed:
        raise OutputError(f'{problem}, or loader_parameters.cache to "hdf5" or "none"')
    log.warning("%s if they do not fit.", problem)


def check_memory(size: int) -> None:
    """Raise DataError if less than ``size`` bytes of memory are available."""
    available = available_memory()
    if available is not None and size > available:
        raise DataError(
            f"the prepared data need about {tqdm.format_sizeof(size, 'B')} of memory, "
            f"{tqdm.format_sizeof(available, 'B')} are available; "
            'set loader_parameters.cache to "disk"'
        )
