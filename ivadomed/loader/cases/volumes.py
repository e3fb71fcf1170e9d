"""Read the files of one case into arrays in HWD order; refuse data that would corrupt training or prediction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.geometry.boxes import clip_box
from ivadomed.geometry.grid import Grid, hwd_to_ras, ras_to_hwd
from ivadomed.geometry.layout import copy_voxels, empty_like
from ivadomed.images.io import Image, fault_of_values, read_grid, read_images
from ivadomed.images.labels import LabelFile, iter_labels
from ivadomed.loader.cases.case import Case
from ivadomed.runtime.failures import shortages_explained

_MM_PER_UNIT = {"mm": 1.0, "um": 1e-3, "nm": 1e-6}


@dataclass(frozen=True, eq=False)
class Volume:
    """The voxels of one case.

    Args:
        image: [C, H, W, D] float32, one entry per channel of the network, with the axes in memory as in the file; zeros
            for a missing channel.
        target: [R, H, W, D] float32 in 0..1, all raters of all classes, 0 in ignored voxels; None if not requested.
        roi: [H, W, D] float32 region of interest, or None.
        grid: Grid of the voxels.
        header: NIfTI header of the first channel, None for pictures.
        present: Per channel, whether the case has it; empty if none is missing.
        box: Box to crop to, inside the image, see ``Case.box``.
        ignore: [H, W, D] bool, voxels that losses and metrics ignore; None if absent or not requested.
    """

    image: np.ndarray
    target: np.ndarray | None
    roi: np.ndarray | None
    grid: Grid
    header: Any
    present: tuple[bool, ...] = ()
    box: tuple[int, ...] | None = None
    ignore: np.ndarray | None = None


def read_volume(case: Case, slice_axis: int, soft_gt: bool = False, with_target: bool = True) -> Volume:
    """Read one case.

    Args:
        case: Paths of the case.
        slice_axis: RAS axis along which slices are taken.
        soft_gt: Keep label values between 0 and 1; otherwise labels are binarized at 0.5.
        with_target: Read labels and ROI; a class without a file is all zeros.

    Raises:
        DataError: A file is corrupt, holds NaN or Inf, or lies on another grid than the first channel; a label
            has invalid values, see ``ivadomed.images.labels``; the box lies outside the image.
    """
    with shortages_explained(fspath(case.images[0]), "use a part of the image, or a machine with more"):
        return _read(case, slice_axis, soft_gt, with_target)


def _read(case: Case, slice_axis: int, soft_gt: bool, with_target: bool) -> Volume:
    pixel_size = pixel_size_mm(case.metadata, case.images[0])
    roi_and_ignore = (case.roi, case.ignore) if with_target else (case.roi, None)
    files, soft = _label_files(case.rater_files if with_target else (), *roi_and_ignore, soft_gt)
    labels = iter_labels(files, pixel_size, soft, case.labels)
    volume = make_volume(case, read_images(case.images, pixel_size), slice_axis)
    if case.roi is not None:
        volume = replace(volume, roi=on_grid(volume.grid, case, next(labels), case.roi.path))
    if not with_target:
        return volume
    target = empty_like(volume.image[0], len(case.rater_files))
    raters = (
        None if file is None else on_grid(volume.grid, case, next(labels), file.path)
        for file in case.rater_files
    )
    _fill(target, raters)
    if case.ignore is None:
        return replace(volume, target=target)
    ignore = on_grid(volume.grid, case, next(labels), case.ignore.path) > 0
    target[:, ignore] = 0
    return replace(volume, target=target, ignore=ignore)


def _label_files(
    raters: Iterable[LabelFile | None], roi: LabelFile | None, ignore: LabelFile | None, soft_gt: bool
) -> tuple[list[LabelFile], list[bool]]:
    """Label files of a case in the order in which they are needed, and which of them are soft."""
    there = [(roi, True), *((file, soft_gt) for file in raters), (ignore, False)]
    found = [(file, soft) for file, soft in there if file is not None]
    return [file for file, _ in found], [soft for _, soft in found]


def make_volume(case: Case, images: Iterable[Image], slice_axis: int) -> Volume:
    """Volume of a case without its labels and region of interest, from images already read.

    Args:
        case: Names and channels of the images.
        images: In the order of ``case.images``.
        slice_axis: RAS axis along which slices are taken.

    Raises:
        DataError: See ``read_volume``.
    """
    arrays: list[np.ndarray] = []
    grid, header = None, None
    for path, image in zip(case.images, images, strict=True):
        if grid is None:
            grid, header = image.grid(slice_axis), image.header
        arrays.append(on_grid(grid, case, image, path))
        if fault := fault_of_values(image.data):
            raise DataError(f"{path}: {fault}")
    assert grid is not None
    indices = case.channels or range(len(arrays))
    data = empty_like(arrays[0], len(indices))
    _fill(data, (None if index is None else arrays[index] for index in indices))
    return Volume(data, None, None, grid, header, case.present, box_in(case, grid))


def _fill(room: np.ndarray, volumes: Iterable[np.ndarray | None]) -> None:
    """Copy volumes [H, W, D] to [N, H, W, D], one after the other; zeros for None."""
    for place, voxels in zip(room, volumes, strict=True):
        if voxels is None:
            place[...] = 0
        else:
            copy_voxels(place, voxels)


def on_grid(grid: Grid, case: Case, image: Image, path: str | PathLike[str]) -> np.ndarray:
    """Voxels [H, W, D] of an image that must lie on the grid of the case.

    Raises:
        DataError: It lies on another grid.
    """
    own = image.grid(grid.slice_axis)
    check_same_grid(grid, case.images[0], own, path)
    return grid.to_hwd(grid.align(own, image.data))


def along(volume: Volume, slice_axis: int) -> Volume:
    """A volume without box or labels, with axes reordered for another slice axis; arrays are views.

    Args:
        volume: Voxels.
        slice_axis: RAS axis along which slices are taken.
    """
    before = volume.grid.slice_axis
    if before == slice_axis:
        return volume
    assert volume.box is None
    assert volume.target is None
    image, roi = (
        None if data is None else ras_to_hwd(hwd_to_ras(data, before), slice_axis)
        for data in (volume.image, volume.roi)
    )
    assert image is not None
    return replace(volume, image=image, roi=roi, grid=replace(volume.grid, slice_axis=slice_axis))


def box_in(case: Case, grid: Grid) -> tuple[int, ...] | None:
    """Part of a case's box that lies in its image; None without a box.

    Raises:
        DataError: The box lies outside the image.
    """
    if case.box is None:
        return None
    try:
        return tuple(clip_box(case.box, grid.hwd_shape))
    except DataError as error:
        raise DataError(f"{case.images[0]}: {error}") from error


def read_ahead(
    cases: Iterable[Case], slice_axis: int, soft_gt: bool = False, with_target: bool = True
) -> Iterator[tuple[Case, Volume]]:
    """Read cases in order, see ``read_volume``; the next one is read while the caller processes the last."""
    with ThreadPoolExecutor(1) as reader:
        upcoming = None
        for case in cases:
            following = case, reader.submit(read_volume, case, slice_axis, soft_gt, with_target)
            if upcoming is not None:
                yield upcoming[0], upcoming[1].result()
            upcoming = following
        if upcoming is not None:
            yield upcoming[0], upcoming[1].result()


def grid_of(case: Case, slice_axis: int) -> Grid:
    """Grid of the first image of a case, from its header."""
    first = case.images[0]
    return read_grid(first, slice_axis, pixel_size_mm(case.metadata, first))


def check_same_grid(
    grid: Grid, path: str | PathLike[str], other: Grid, other_path: str | PathLike[str]
) -> None:
    """Raise DataError unless both images have the same grid, see ``Grid.matches``."""
    if not grid.matches(other):
        raise DataError(
            f"{other_path} lies on another grid than {path}: {other} instead of {grid}; resample it onto the image"
        )


def pixel_size_mm(metadata: Mapping[str, Any], path: str | PathLike[str] = "") -> tuple[float, float] | None:
    """Pixel size of a picture in mm along rows and columns, from PixelSize and PixelSizeUnits in its sidecar.

    BIDS gives PixelSize as [X, Y] (or [X, Y, Z]) in "mm", "um" or "nm"; X runs along the columns.

    Raises:
        DataError: The unit or the values are invalid.
    """
    if "PixelSize" not in metadata:
        return None
    size, unit = metadata["PixelSize"], metadata.get("PixelSizeUnits", "um")
    values = _positive(size)
    if not isinstance(unit, str) or unit not in _MM_PER_UNIT or not 1 <= len(values) <= 3:
        raise DataError(
            f"{Path(path)}: PixelSize {shortened(size)} {shortened(unit)} in the sidecar is not a pixel size; "
            "expected one to three positive numbers and PixelSizeUnits mm, um or nm"
        )
    columns, rows = values[0], values[min(1, len(values) - 1)]
    return rows * _MM_PER_UNIT[unit], columns * _MM_PER_UNIT[unit]


def _positive(size: Any) -> list[float]:
    """One or several numbers as a list if all are finite and above 0; otherwise empty."""
    given = size if isinstance(size, (list, tuple, np.ndarray)) else [size]
    if any(isinstance(value, bool) for value in given):
        return []
    try:
        values = [float(value) for value in given]
    except (TypeError, ValueError, OverflowError):
        return []
    return values if all(0 < value < np.inf for value in values) else []
