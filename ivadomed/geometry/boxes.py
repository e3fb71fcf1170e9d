"""Bounding boxes of objects: arithmetic on coordinates.

A box is ``[x_min, x_max, y_min, y_max, z_min, z_max]`` in voxels along H, W, D; both ends are inclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ivadomed.errors import DataError

BOXES_FILE = "bounding_boxes.json"
"""Name of the file in the output folder of a run."""

Box = list[int]


def adjust_bb_size(
    bounding_box: Sequence[float], factor: Sequence[float], resample: bool = False
) -> list[int]:
    """Scale the extent of a box about its center, or convert a box to another voxel size.

    Only ``max - min`` of an extent is scaled; the new maximum is rounded down. Results match ivadomed 2.9.10;
    ``box_on_grid`` converts a box without losing voxels at its end.

    Args:
        bounding_box: [x_min, x_max, y_min, y_max, ...].
        factor: One factor (> 0) per dimension; with ``resample``, old voxel size / new voxel size.
        resample: Scale the ends instead of the extent. Otherwise, the center is kept to within a voxel, unless
            the box would begin before the image: then it begins at 0.

    Returns:
        [x_min, x_max, y_min, y_max, ...]
    """
    box: list[int] = []
    for low, high, scale in zip(bounding_box[::2], bounding_box[1::2], factor, strict=True):
        if resample:
            start, extent = low * scale, high * scale - low * scale
        else:
            extent = (high - low) * scale
            start = low - (extent - (high - low)) // 2
        first = round(max(start, 0))
        box += [first, int(first + extent)]
    return box


def box_on_grid(box: Sequence[int], factor: Sequence[float]) -> Box:
    """Convert a box to another voxel size so that it holds all of its voxels.

    Args:
        box: Box on the old grid.
        factor: Old voxel size / new voxel size, one (> 0) per dimension.
    """
    moved: Box = []
    for low, high, scale in zip(box[::2], box[1::2], factor, strict=True):
        start = math.floor(low * scale)
        # Voxel i extends from i to i + 1, so the last voxel of the object stays inside.
        moved += [start, max(math.ceil((high + 1) * scale) - 1, start)]
    return moved


def box_size(box: Sequence[int]) -> tuple[int, ...]:
    """Voxels along each dimension."""
    return tuple(high - low + 1 for low, high in zip(box[::2], box[1::2], strict=True))


def box_of_slices(slices: Sequence[slice]) -> Box:
    """The box selected by slices, one per axis."""
    return [end for side in slices for end in (side.start, side.stop - 1)]


def whole_image(shape: Sequence[int]) -> Box:
    """The box of all voxels."""
    return [end for extent in shape for end in (0, extent - 1)]


def clip_box(box: Sequence[int], shape: Sequence[int]) -> Box:
    """Part of a box that lies in the image.

    Raises:
        DataError: The box lies outside the image.
    """
    clipped: Box = []
    for low, high, extent in zip(box[::2], box[1::2], shape, strict=True):
        clipped += [max(low, 0), min(high, extent - 1)]
    if any(low > high for low, high in zip(clipped[::2], clipped[1::2], strict=True)):
        raise DataError(
            f"the bounding box {list(box)} lies outside the image of {'x'.join(map(str, shape))} voxels; it was "
            f"made for another image or slice axis: delete {BOXES_FILE} to detect it again"
        )
    return clipped


def inside_box(array: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """Copy of ``array`` [H, W, D] with zeros outside a box."""
    inside = np.zeros_like(array)
    slices = tuple(slice(low, high + 1) for low, high in zip(box[::2], box[1::2], strict=True))
    inside[slices] = array[slices]
    return inside


def resize_to_multiple(shape: Sequence[int], multiple: Sequence[int], length: Sequence[int]) -> list[int]:
    """Enlarge a shape so that windows of ``length`` every ``multiple`` voxels cover it exactly.

    Args:
        shape: Voxels along each dimension.
        multiple: Distance of neighbouring windows (> 0).
        length: Voxels of a window.

    Returns:
        Per dimension, the smallest ``length + n * multiple`` (n >= 0) not below the shape.
    """
    return [
        window + max(math.ceil((extent - window) / step), 0) * step
        for extent, step, window in zip(shape, multiple, length, strict=True)
    ]


def fit_to_patches(
    box: Sequence[int], length: Sequence[int], stride: Sequence[int], shape: Sequence[int] | None = None
) -> Box:
    """Enlarge a box about its center to a shape covered by patches, see ``resize_to_multiple``.

    2D patches leave the depth of the box unchanged.

    Args:
        box: Box inside the image.
        length: Voxels of a patch.
        stride: Distance of neighbouring patches.
        shape: Shape of the image: a box that extends beyond it is moved back unless it is larger than the
            image.
    """
    dims = len(length)
    size = box_size(box)[:dims]
    fitted: Box = []
    for axis, new in enumerate(resize_to_multiple(size, stride, length)):
        start = box[2 * axis] - (new - size[axis]) // 2
        if shape is not None:
            start = min(start, shape[axis] - new)
        start = max(start, 0)
        fitted += [start, start + new - 1]
    return [*fitted, *box[2 * dims :]]
