"""Read the files of one case into arrays in HWD order, and refuse what would train or predict wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.grid import Grid
from ivadomed.io import Image, read_grid, read_image, read_label
from ivadomed.loader.case import Case

_MM_PER_UNIT = {"mm": 1.0, "um": 1e-3, "nm": 1e-6}


@dataclass(frozen=True, eq=False)
class Volume:
    """The voxels of one case.

    Args:
        image: [C, H, W, D] float32, one entry per channel of the network; a missing one is zeros.
        target: [R, H, W, D] float32 in 0..1, every rater of every class; None when not asked for.
        roi: [H, W, D] float32 region of interest, or None.
        grid: Where the voxels lie.
        header: NIfTI header of the first channel, None for pictures.
        present: Per channel whether the case has it; empty when all are there.
    """

    image: np.ndarray
    target: np.ndarray | None
    roi: np.ndarray | None
    grid: Grid
    header: Any
    present: tuple[bool, ...] = ()


def read_volume(case: Case, slice_axis: int, soft_gt: bool = False, with_target: bool = True) -> Volume:
    """Read one case.

    Args:
        case: Paths of the case.
        slice_axis: RAS axis along which slices are taken.
        soft_gt: Keep label values between 0 and 1; otherwise labels are binarized at 0.5.
        with_target: Read labels and ROI; a class without a file is all zeros.

    Raises:
        DataError: A file is damaged, holds NaN or Inf, or lies on another grid than the first channel.
    """
    pixel_size = pixel_size_mm(case.metadata, case.images[0])
    first = read_image(case.images[0], pixel_size)
    grid = first.grid(slice_axis)

    def load(path: str | PathLike[str], image: Image) -> np.ndarray:
        check_same_grid(grid, case.images[0], image.grid(slice_axis), path)
        if not np.isfinite(image.data).all():
            raise DataError(f"{path}: has NaN or infinite voxels; mend the file or leave the subject out")
        return grid.to_hwd(image.data)

    images = [load(case.images[0], first)]
    images += [load(path, read_image(path, pixel_size)) for path in case.images[1:]]
    missing = np.zeros_like(images[0])
    places = case.channels or range(len(images))
    channels = [missing if place is None else images[place] for place in places]
    target = roi = None
    if with_target:
        target = np.zeros((len(case.rater_paths), *grid.hwd_shape), np.float32)
        for i, path in enumerate(case.rater_paths):
            if path is not None:
                label = load(path, read_label(path, pixel_size))
                target[i] = label if soft_gt else label >= 0.5
    if case.roi is not None:
        roi = load(case.roi, read_label(case.roi, pixel_size))
    return Volume(np.stack(channels), target, roi, grid, first.header, case.present)


def grid_of(case: Case, slice_axis: int) -> Grid:
    """Grid of the first image of a case, from its header."""
    first = case.images[0]
    return read_grid(first, slice_axis, pixel_size_mm(case.metadata, first))


def check_same_grid(
    grid: Grid, path: str | PathLike[str], other: Grid, other_path: str | PathLike[str]
) -> None:
    """Raise DataError unless both images have the same voxels."""
    if not grid.matches(other):
        raise DataError(
            f"{other_path} lies on another grid than {path}: {other} instead of {grid}; resample it onto the image"
        )


def pixel_size_mm(metadata: Mapping[str, Any], path: str | PathLike[str] = "") -> tuple[float, float] | None:
    """Pixel size of a picture in mm along rows and columns, from PixelSize and PixelSizeUnits of its sidecar.

    BIDS gives PixelSize as [X, Y] (or [X, Y, Z]) in "mm", "um" or "nm"; X runs along the columns.

    Raises:
        DataError: The unit or the values are none.
    """
    if "PixelSize" not in metadata:
        return None
    size, unit = metadata["PixelSize"], metadata.get("PixelSizeUnits", "um")
    values = [size] if isinstance(size, (int, float)) else list(size)
    if unit not in _MM_PER_UNIT or not 1 <= len(values) <= 3 or not all(float(v) > 0 for v in values):
        raise DataError(
            f"{Path(path)}: PixelSize {size} {unit} in the sidecar is no pixel size; "
            "expected one to three positive numbers and PixelSizeUnits mm, um or nm"
        )
    columns, rows = values[0], values[min(1, len(values) - 1)]
    return float(rows) * _MM_PER_UNIT[unit], float(columns) * _MM_PER_UNIT[unit]
