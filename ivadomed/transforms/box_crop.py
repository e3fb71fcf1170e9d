"""The crop to the bounding box of one case, among the fixed steps of all cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from ivadomed.geometry.boxes import (
    Box,
    adjust_bb_size,
    box_on_grid,
    box_size,
    clip_box,
    fit_to_patches,
    resize_to_multiple,
)
from ivadomed.transforms.base import ImedTransform
from ivadomed.transforms.crop import BoundingBoxCrop, Crop
from ivadomed.transforms.spatial import Resample

Anchor = Literal["center", "corner"]
"""Where patches that are larger than a box lie: about its centre, or from its first voxel on."""


def box_crop(
    transforms: Sequence[ImedTransform],
    box: Sequence[int],
    zooms: Sequence[float],
    shape: Sequence[int] | None = None,
    length: Sequence[int] = (),
    stride: Sequence[int] = (),
    anchor: Anchor = "center",
) -> tuple[int, BoundingBoxCrop]:
    """Make the crop to a box, and say where it belongs.

    It follows the resampling, and comes before all other crops: those are made in the box.

    Args:
        transforms: Of all cases, in order.
        box: Of one case, on the grid that the transforms begin with.
        zooms: Voxel size of that grid, mm.
        shape: Of that grid: the crop is kept inside the image. None when it is not known.
        length: Patch size, after the transforms: the crop is enlarged so that patches cover it exactly.
        stride: Distance of neighbouring patches; ``length`` when not given.
        anchor: "corner": the crop is that of ivadomed 2.9.10, to which its models are used: its first voxel is that
            of the box, and it may reach beyond the image, where it is padded.

    Returns:
        Index at which to insert the crop, and the crop.

    Raises:
        DataError: The box lies outside the image.
    """
    place = _place(transforms)
    if anchor == "corner":
        if shape is not None:
            clip_box(box, shape)  # raises for a box outside
        factors = resampling_factors(transforms, shape or box_size(box), zooms)
        return place, _crop_at_corner(adjust_bb_size(box, factors, resample=True), length, stride or length)
    if shape is not None:
        box = clip_box(box, shape)
    box, shape = _resampled(transforms[:place], box, zooms, shape)
    if length:
        box = fit_to_patches(box, length, stride or length, shape)
    return place, BoundingBoxCrop(size=list(box_size(box)), start=box[::2])


def _crop_at_corner(box: Sequence[int], length: Sequence[int], stride: Sequence[int]) -> BoundingBoxCrop:
    """The crop of ivadomed 2.9.10, for which the last voxel of a box was beyond it."""
    size = [max(high - low, 1) for low, high in zip(box[::2], box[1::2], strict=True)]
    return BoundingBoxCrop(size=resize_to_multiple(size, stride, length) if length else size, start=box[::2])


def resampling_factors(
    transforms: Sequence[ImedTransform], shape: Sequence[int], zooms: Sequence[float]
) -> list[float]:
    """Old voxel size / new voxel size along each axis, of the resampling before any crop."""
    rng, new = np.random.default_rng(0), tuple(zooms)  # resampling draws nothing
    for transform in transforms[: _place(transforms)]:
        if isinstance(transform, Resample):
            step = transform.plan(shape, new, rng)
            shape, new = step.shape_out, step.zooms_out
    return [float(before / after) for before, after in zip(zooms, new, strict=True)]


def _place(transforms: Sequence[ImedTransform]) -> int:
    """Behind the last resampling that comes before the first crop."""
    place = 0
    for index, transform in enumerate(transforms):
        if isinstance(transform, Crop):
            break
        if isinstance(transform, Resample):
            place = index + 1
    return place


def _resampled(
    transforms: Sequence[ImedTransform],
    box: Sequence[int],
    zooms: Sequence[float],
    shape: Sequence[int] | None,
) -> tuple[Box, tuple[int, ...] | None]:
    """Box and shape after the resampling."""
    rng = np.random.default_rng(0)  # resampling draws nothing
    box, shape, zooms = list(box), None if shape is None else tuple(shape), tuple(zooms)
    for transform in transforms:
        if isinstance(transform, Resample):
            step = transform.plan(shape or box_size(box), zooms, rng)
            factors = [old / new for old, new in zip(zooms, step.zooms_out, strict=True)]
            box = box_on_grid(box, factors)
            zooms = step.zooms_out
            if shape is not None:
                shape = step.shape_out  # rounded, so that the last voxel may be one fewer than the box's end
                box = [min(end, shape[axis // 2] - 1) for axis, end in enumerate(box)]
    return box, shape
