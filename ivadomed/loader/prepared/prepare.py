"""Fixed preprocessing steps, applied once per case: resampling and cropping.

A 2D network sees the volume as a stack of slices, a 3D network as a whole; the layout of the arrays keeps the
data of a sample contiguous: [N, C, h, w] or [C, H, W, D].
"""

from __future__ import annotations

import base64
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch

from ivadomed.errors import DataError
from ivadomed.geometry.boxes import inside_box
from ivadomed.geometry.grid import Grid
from ivadomed.geometry.layout import contiguous
from ivadomed.geometry.windows import Window, tile
from ivadomed.images.io import is_picture
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume, read_volume
from ivadomed.loader.slices import SliceClassifier, SliceRule, SliceStatistics
from ivadomed.runtime.failures import shortages_explained
from ivadomed.runtime.memory import check_memory
from ivadomed.transforms import Pipeline, Plan, Stage
from ivadomed.transforms.fixed import Anchor, box_crop

V = TypeVar("V", np.ndarray, torch.Tensor)

IMAGE_ORDER = 2  # spline orders of ivadomed 2.9.10
LABEL_ORDER = 1

FOREGROUND_VOXELS = 512
"""Maximum number of labelled voxels kept per class, see `pack_foreground`."""

_LESS = "choose a coarser transformation.Resample, leave the image out, or use fewer --jobs"


@dataclass(frozen=True, eq=False)
class Recipe:
    """How to turn a case into arrays.

    Args:
        fixed: Resampling and cropping, in order.
        slice_axis: RAS axis along which slices are taken.
        is_2d: Treat the case as separate slices instead of a whole volume.
        soft_gt: Keep label values between 0 and 1.
        slice_filter: Rule that excludes slices of a 2D data set.
        classifier: Rejects slices of a 2D data set, or None.
        length: Window size: 2 numbers (2D patches), 3 numbers (3D patches), or empty (whole slices or volumes).
        stride: Distance of neighbouring windows, in the form of ``length``.
        anchor: Position of 3D windows larger than the box of a case, see ``box_crop``.
    """

    fixed: Pipeline
    slice_axis: int = 2
    is_2d: bool = True
    soft_gt: bool = False
    slice_filter: SliceRule = field(default_factory=SliceRule)
    classifier: SliceClassifier | None = None
    length: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    anchor: Anchor = "center"


@dataclass(frozen=True, eq=False)
class Prepared:
    """One case after the fixed steps.

    Args:
        image: 2D: [N, C, h, w], one entry per slice. 3D: [C, H, W, D].
        target: As ``image`` with raters instead of channels, followed by the ignored voxels if a case has any;
            None without labels.
        plans: Applied fixed steps: one plan per slice (2D) or one for the volume (3D).
        facts: Statistics for the slice filter and for placing patches.
        zooms: mm along H, W, D after the fixed steps.
    """

    image: np.ndarray
    target: np.ndarray | None
    plans: list[Plan]
    facts: SliceStatistics
    zooms: tuple[float, ...]


def prepare_case(case: Case, recipe: Recipe, with_target: bool = True) -> Prepared:
    """Read one case and apply the fixed steps.

    Raises:
        DataError: The files cannot be used, see ``read_volume``, or a picture to be resampled has no pixel size.
    """
    refuse_unknown_pixel_size(case, recipe)
    with shortages_explained(os.fspath(case.images[0]), _LESS):
        volume = read_volume(case, recipe.slice_axis, recipe.soft_gt, with_target)
        return prepare_volume(volume, recipe, case.images[0])


def refuse_unknown_pixel_size(case: Case, recipe: Recipe) -> None:
    """Raise DataError if a picture is to be resampled but its pixel size is unknown."""
    resamples = any(stage.transform.resamples for stage in recipe.fixed.stages)
    if resamples and is_picture(case.images[0]) and "PixelSize" not in case.metadata:
        raise DataError(
            f"{case.images[0]}: its pixel size is unknown, and Resample needs it; add for example "
            '"PixelSize": [0.1, 0.1], "PixelSizeUnits": "um" to its sidecar, or pass the option pixel_size'
        )


def refuse_huge_result(
    path: str | os.PathLike[str], grid: Grid, plans: Sequence[Plan], channels: int
) -> None:
    """Refuse an image that becomes too large by the fixed steps; a wrong voxel size in the header is enough.

    Args:
        path: File of the image.
        grid: Grid of the image.
        plans: See ``plan_fixed``.
        channels: Channels of the image, or raters, whichever is larger.

    Raises:
        DataError: The largest array of the steps does not fit into the available memory.
    """
    steps = [step for _, step in plans[0].steps]
    largest = max((step.shape_out for step in steps), key=math.prod, default=())
    if math.prod(largest) <= math.prod(plans[0].shape_in):
        return
    shape = (*largest, *grid.hwd_shape[len(largest) :])
    zooms = " x ".join(f"{zoom:g}" for zoom in grid.zooms)
    check_memory(
        path,
        shape if channels == 1 else (channels, *shape),
        "voxels after Resample and crops",
        f"its header says {zooms} mm per voxel: fix this, or choose a coarser transformation.Resample",
    )


def prepare_volume(volume: Volume, recipe: Recipe, path: str | os.PathLike[str] = "image") -> Prepared:
    """Apply the fixed steps to a volume.

    Args:
        volume: Voxels.
        recipe: Fixed steps.
        path: First image, for error messages.

    Raises:
        DataError: See ``plan_fixed`` and ``refuse_huge_result``.
    """
    facts = SliceStatistics.of(volume)
    plans = plan_fixed(volume.grid, volume.roi, recipe, volume.box)
    refuse_huge_result(
        path, volume.grid, plans, max(len(volume.image), 0 if volume.target is None else len(volume.target))
    )
    image = _apply(plans, volume.image, recipe.is_2d, "im", IMAGE_ORDER)
    target = None
    if volume.target is not None:
        target = _apply(plans, volume.target, recipe.is_2d, "gt", LABEL_ORDER)
        facts = replace(facts, foreground=pack_foreground(target, recipe.is_2d, recipe.soft_gt))
        if volume.ignore is not None:
            ignore = volume.ignore[None].astype(np.float32)
            ignore = _apply(plans, ignore, recipe.is_2d, "ignore", LABEL_ORDER)
            target = np.concatenate([target, ignore], axis=1 if recipe.is_2d else 0)
    zooms = plans[0].zooms_out
    if recipe.is_2d and recipe.classifier is not None:
        there = image[:, list(volume.present)] if volume.present else image
        facts = replace(facts, accepted=recipe.classifier(there, zooms))
    return Prepared(image, target, plans, facts, (*zooms, *volume.grid.zooms[len(zooms) :]))


def _apply(plans: list[Plan], volume: np.ndarray, is_2d: bool, kind: str, order: int) -> np.ndarray:
    """Apply the fixed steps to [C, H, W, D]; return slices [N, C, h, w] or a volume."""
    if not is_2d:
        return plans[0].apply(contiguous(volume), kind, order)
    stack = contiguous(np.moveaxis(volume, -1, 0))
    if any(plan is not plans[0] for plan in plans):
        return np.stack([plan.apply(x, kind, order) for plan, x in zip(plans, stack, strict=True)])
    count, channels, *shape = stack.shape
    flat = plans[0].apply(stack.reshape(count * channels, *shape), kind, order)
    return flat.reshape(count, channels, *flat.shape[1:])


def plan_fixed(
    grid: Grid, roi: np.ndarray | None, recipe: Recipe, box: Sequence[int] | None = None
) -> list[Plan]:
    """Plan the fixed steps of one case: one plan per slice (2D) or one for the volume (3D).

    Args:
        grid: Grid of the image.
        roi: [H, W, D] region of interest; only ``ROICrop`` needs it.
        recipe: Fixed steps.
        box: Box that the image is cropped to, see ``Volume.box``.

    Returns:
        Plans; the same object for all slices if they are treated alike.

    Raises:
        DataError: ``ROICrop`` is used without a region of interest.
    """
    rng = np.random.default_rng(0)  # the fixed steps are not random
    fixed = fixed_steps(grid, recipe, box)
    if not recipe.is_2d:
        return [fixed.plan(grid.hwd_shape, grid.zooms, rng, roi=roi)]
    height, width, depth = grid.hwd_shape
    zooms = grid.zooms[:2]
    if not fixed.needs_roi:
        return [fixed.plan((height, width), zooms, rng)] * depth
    if roi is None:
        raise DataError("ROICrop needs a region of interest: give roi_params.suffix, or a prior image")
    roi = roi if box is None else inside_box(roi, box)
    # A slice without ROI, which the slice filter excludes unless it keeps all, is cropped around its center.
    everywhere = np.ones((height, width), np.float32)
    slices = np.moveaxis(roi, -1, 0)
    return [fixed.plan((height, width), zooms, rng, roi=x if x.any() else everywhere) for x in slices]


def fixed_steps(grid: Grid, recipe: Recipe, box: Sequence[int] | None) -> Pipeline:
    """Fixed steps of one case: those of the recipe, including the crop to its box.

    In 2D the box crops height and width; slices outside its depth are excluded, see ``SliceStatistics.in_box``.
    """
    if box is None:
        return recipe.fixed
    dims = 2 if recipe.is_2d else 3
    stages = recipe.fixed.stages
    index, crop = box_crop(
        [stage.transform for stage in stages],
        box[: 2 * dims],
        grid.zooms[:dims],
        grid.hwd_shape[:dims],
        recipe.length,
        recipe.stride,
        "center" if recipe.is_2d else recipe.anchor,
    )
    return Pipeline((*stages[:index], Stage(crop), *stages[index:]))


def pack_foreground(target: np.ndarray, is_2d: bool, soft_gt: bool) -> list[str]:
    """Select labelled voxels of every rater and class to center patches on.

    A bounded number of voxels suffices, and patches are placed without reading labels (class locations of
    Isensee et al., "nnU-Net", Nature Methods 18, 2021).

    Args:
        target: [R, H, W, D], or [N, R, h, w], one entry per slice, in 2D.
        is_2d: The target is a stack of slices.
        soft_gt: Voxels above 0 are labelled; otherwise, those of at least 0.5.

    Returns:
        One string per rater, see `unpack_foreground`; empty without labelled voxels.
    """
    volumes = np.moveaxis(target, 0, -1) if is_2d else target  # [R, H, W, D]
    rng = np.random.default_rng(0)  # equal cases give equal files
    packed = []
    for volume in volumes:
        indices = np.flatnonzero(contiguous(volume > 0 if soft_gt else volume >= 0.5))
        if len(indices) > FOREGROUND_VOXELS:
            indices = np.sort(rng.choice(indices, FOREGROUND_VOXELS, replace=False))
        packed.append(base64.b64encode(indices.astype("<u8").tobytes()).decode())
    return packed


def unpack_foreground(packed: str, shape: Sequence[int]) -> np.ndarray:
    """Indices [n, 3] along H, W, D of the voxels in a volume of this shape."""
    indices = np.frombuffer(base64.b64decode(packed), "<u8").astype(np.intp)
    return np.stack(np.unravel_index(indices, tuple(shape)), axis=1)


def list_windows(case: int, shape: tuple[int, ...], facts: SliceStatistics, recipe: Recipe) -> list[Window]:
    """Windows of one case.

    Args:
        case: Index of the case, stored in the windows.
        shape: Shape of ``Prepared.image``.
        facts: Statistics of the same case.
        recipe: Length, stride and slice filter.
    """
    if not recipe.is_2d:
        size = tuple(recipe.length) or tuple(shape[1:])
        stride = tuple(recipe.stride) or size
        return [Window(case, _three(start), _three(size)) for start in tile(shape[1:], size, stride)]
    count, _, *plane = shape
    size = tuple(recipe.length) or tuple(plane)
    stride = tuple(recipe.stride) or size
    starts = list(tile(plane, size, stride))
    kept = [z for z in range(count) if recipe.slice_filter.keeps(facts, z)]
    return [Window(case, _three((*start, z)), _three((*size, 1))) for z in kept for start in starts]


def _three(values: tuple[int, ...]) -> tuple[int, int, int]:
    first, second, third = values
    return first, second, third


def read_window(array: V, window: Window, is_2d: bool) -> V:
    """Part of ``Prepared.image`` or ``.target`` in a window: [C, h, w] or [C, h, w, d]."""
    height, width, depth = window.slices
    return array[window.start[2], :, height, width] if is_2d else array[:, height, width, depth]
