"""How much room prepared cases take, from headers alone, and whether there is as much."""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from ivadomed.errors import DataError, OutputError
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import box_in, grid_of
from ivadomed.loader.prepared import pencils
from ivadomed.loader.prepared.prepare import Recipe, plan_fixed, refuse_huge_result
from ivadomed.runtime.memory import available_memory
from ivadomed.transforms import CenterCrop, Crop, CropStep, Pipeline, Stage

log = logging.getLogger(__name__)


def prepared_bytes(cases: Iterable[Case], recipe: Recipe, in_pencils: bool = False) -> int:
    """Bytes of the voxels of prepared cases; of an image, only the header is read.

    Labels that are resampled are taken to become fractions, with 4 bytes a voxel.

    Args:
        cases: To prepare.
        recipe: Fixed steps.
        in_pencils: Volumes are padded as ``pencils`` does.

    Raises:
        DataError: A header cannot be read, or a case does not fit into the memory while it is prepared.
    """
    # Where a crop around a region of interest lies, only voxels tell; its size is known.
    sized = replace(recipe, fixed=Pipeline(tuple(map(_without_roi, recipe.fixed.stages))))
    return sum(_bytes_of(case, sized, in_pencils) for case in cases)


def _without_roi(stage: Stage) -> Stage:
    transform = stage.transform
    return Stage(CenterCrop(transform.size)) if isinstance(transform, Crop) and transform.needs_roi else stage


def _bytes_of(case: Case, recipe: Recipe, in_pencils: bool) -> int:
    grid = grid_of(case, recipe.slice_axis)
    plans = plan_fixed(grid, None, recipe, box_in(case, grid))
    refuse_huge_result(case.images[0], grid, plans, max(len(case.present), len(case.rater_paths)))
    shape = plans[0].shape_out
    voxels = math.prod(pencils.packed_shape((1, *shape)) if in_pencils and not recipe.is_2d else shape)
    kept = all(isinstance(step, CropStep) or step.shape_in == step.shape_out for _, step in plans[0].steps)
    label = 1 if kept and not recipe.soft_gt else 4
    return len(plans) * voxels * (4 * len(case.present) + label * len(case.rater_paths))


def check_disk(folder: Path, size: int, compressed: bool) -> None:
    """Tell how many bytes ``folder`` has left when that is less than ``size``.

    Args:
        folder: Of the cache.
        size: Bytes that the cases need.
        compressed: They are going to take less, nobody knows how much: only warn.

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
    """Raise DataError when there is less memory left than ``size`` bytes."""
    available = available_memory()
    if available is not None and size > available:
        raise DataError(
            f"the prepared data need about {tqdm.format_sizeof(size, 'B')} of memory, "
            f"{tqdm.format_sizeof(available, 'B')} are available; "
            'set loader_parameters.cache to "disk"'
        )
