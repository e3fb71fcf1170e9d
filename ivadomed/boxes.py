"""Bounding boxes of objects: pure arithmetic on coordinates, and the JSON file that keeps them.

A box is ``[x_min, x_max, y_min, y_max, z_min, z_max]`` in voxels along H, W, D; both ends belong to it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ivadomed.errors import DataError
from ivadomed.files import write_json

BOXES_FILE = "bounding_boxes.json"
"""Name of the file in the output folder of a run."""

Box = list[int]
Boxes = dict[str, list[Box]]
"""Image path -> boxes of its objects, the largest object first."""


def adjust_bb_size(
    bounding_box: Sequence[float], factor: Sequence[float], resample: bool = False
) -> list[int]:
    """Multiply the extent of a box about its centre, or move a box to another voxel size.

    The centre stays, to within a voxel, unless the box would begin before the image: then it begins at 0.

    Args:
        bounding_box: [x_min, x_max, y_min, y_max, ...].
        factor: One factor (> 0) per dimension; with ``resample`` old voxel size / new voxel size.
        resample: The voxel size changes, instead of the box.

    Returns:
        [x_min, x_max, y_min, y_max, ...]
    """
    box: list[int] = []
    for low, high, scale in zip(bounding_box[::2], bounding_box[1::2], factor, strict=True):
        if resample:
            # A voxel i reaches from i to i + 1, so that the last voxel of the object stays inside.
            box += [math.floor(low * scale), max(math.ceil((high + 1) * scale) - 1, math.floor(low * scale))]
            continue
        extent = (high - low) * scale
        start = max(round(low - (extent - (high - low)) // 2), 0)
        box += [start, int(start + extent)]
    return box


def box_size(box: Sequence[int]) -> tuple[int, ...]:
    """Voxels along each dimension."""
    return tuple(high - low + 1 for low, high in zip(box[::2], box[1::2], strict=True))


def enclosing_box(boxes: Sequence[Sequence[int]]) -> Box:
    """The smallest box that holds all of ``boxes`` (one at least)."""
    sides = list(zip(*boxes, strict=True))
    return [max(side) if place % 2 else min(side) for place, side in enumerate(sides)]


def resize_to_multiple(shape: Sequence[int], multiple: Sequence[int], length: Sequence[int]) -> list[int]:
    """Enlarge a shape so that windows of ``length`` every ``multiple`` voxels cover it exactly.

    Args:
        shape: Voxels along each dimension.
        multiple: Distance of neighbouring windows (> 0).
        length: Voxels of a window.

    Returns:
        Per dimension the smallest ``length + n * multiple`` (n >= 0) that is not below the shape.
    """
    return [
        window + max(math.ceil((extent - window) / step), 0) * step
        for extent, step, window in zip(shape, multiple, length, strict=True)
    ]


def fit_to_patches(box: Sequence[int], length: Sequence[int], stride: Sequence[int]) -> Box:
    """Enlarge a box about its centre to a shape that patches cover, see ``resize_to_multiple``.

    2D patches leave the depth of the box as it is.
    """
    dims = len(length)
    size = box_size(box)[:dims]
    fitted: Box = []
    for low, old, new in zip(
        box[: 2 * dims : 2], size, resize_to_multiple(size, stride, length), strict=True
    ):
        start = max(low - (new - old) // 2, 0)
        fitted += [start, start + new - 1]
    return [*fitted, *box[2 * dims :]]


def read_boxes(path: str | os.PathLike[str]) -> Boxes:
    """Read a file of boxes: per image one box, or a list of boxes.

    Raises:
        DataError: The file cannot be read or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(path)}: not a readable file of bounding boxes ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{os.fspath(path)}: expected {{image path: boxes}}, got a {type(content).__name__}")
    return {image: _boxes(value, f"{os.fspath(path)}: {image}") for image, value in content.items()}


def write_boxes(path: str | os.PathLike[str], boxes: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """Write boxes as JSON, atomically."""
    write_json(path, {image: [list(map(int, box)) for box in found] for image, found in boxes.items()})


def _boxes(value: Any, place: str) -> list[Box]:
    boxes = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
    if not isinstance(boxes, list) or not all(_is_box(box) for box in boxes):
        raise DataError(
            f"{place}: {value!r} is no bounding box; expected [x_min, x_max, y_min, y_max, z_min, z_max] "
            "in whole voxels, or a list of such boxes"
        )
    return boxes


def _is_box(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 6 or not all(type(end) is int for end in box):
        return False
    return all(low <= high for low, high in zip(box[::2], box[1::2], strict=True))
