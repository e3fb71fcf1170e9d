"""Transforms applied once per case: resampling to a voxel size, and crops to a box of a given size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from scipy.ndimage import center_of_mass

from ivadomed.errors import DataError
from ivadomed.geometry.boxes import (
    Box,
    adjust_bb_size,
    box_on_grid,
    box_size,
    clip_box,
    fit_to_patches,
    resize_to_multiple,
)
from ivadomed.registry.types import INTERNAL, Doc, Int, Len, Positive, PositiveReal
from ivadomed.transforms.base import ImedTransform, transform
from ivadomed.transforms.resampling import ResampleStep
from ivadomed.transforms.steps import Frame, Step

CropSize = Annotated[
    tuple[Positive, ...],
    Len(2, 3),
    Doc("Height and width (2D models) or height, width and depth (3D models) in voxels (> 0).", [128, 128]),
]

Anchor = Literal["center", "corner"]
"""Position of patches larger than a box: centered on it, or starting at its first voxel."""


@transform
class Resample(ImedTransform):
    """Change the voxel size.

    Spline order 2 for images, 1 for labels; the first and last sample of an axis keep their positions, and the
    shape is rounded to whole voxels, as in ivadomed 2.9.10. No low-pass filter is applied before downsampling.
    """

    fixed: ClassVar[bool] = True
    resamples: ClassVar[bool] = True

    hspace: Annotated[PositiveReal, Doc("Voxel size along the height, in mm (> 0).", 0.75)]
    wspace: Annotated[PositiveReal, Doc("Voxel size along the width, in mm (> 0).", 0.75)]
    dspace: Annotated[PositiveReal, Doc("Voxel size along the depth, in mm (> 0); 3D models only.", 0.5)] = (
        1.0
    )

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Round the resampled extent of each axis to whole voxels (at least one)."""
        target = (self.hspace, self.wspace, self.dspace)[: len(frame.shape)]
        # The order of the divisions determines the rounding of halves; this one matches 2.9.10.
        extent = zip(frame.shape, frame.zooms, target, strict=True)
        out = tuple(max(round(n * (z / t)), 1) for n, z, t in extent)
        return ResampleStep.on(
            frame, shape_out=out, zooms_out=target, drawn={"preresample_shape": frame.shape}
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class CropStep(Step):
    """Crop an array to a box; parts of the box outside the array are filled with zeros.

    Attributes:
        starts: First voxel of the box per axis, negative for padding; one box for all entries of C, or one per entry.
    """

    starts: tuple[tuple[int, ...], ...]

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Crop; returns a view of `x` if no padding is needed."""
        if len(self.starts) == 1:
            return _crop(x, self.starts[0], self.shape_out)
        return np.concatenate([_crop(e, s, self.shape_out) for e, s in self._entries(x)])

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Return the box to its position, surrounded by zeros."""
        if len(self.starts) == 1:
            return _crop(x, _negative(self.starts[0]), self.shape_in)
        return np.concatenate([_crop(e, _negative(s), self.shape_in) for e, s in self._entries(x)])

    def _entries(self, x: np.ndarray) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        if len(x) != len(self.starts):
            raise DataError(
                f"crop around the ROI: {len(self.starts)} ROI slices, {len(x)} image slices; the numbers must match"
            )
        return [(x[i : i + 1], start) for i, start in enumerate(self.starts)]


@dataclass(eq=False, repr=False)
class Crop(ImedTransform):
    """Crop to a box; subclasses place it. Axes without a size are not cropped; 2D ignores a third entry."""

    fixed: ClassVar[bool] = True
    crops: ClassVar[bool] = True

    size: CropSize

    def box(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the size of the box along every axis of `shape`."""
        return (*self.size[: len(shape)], *shape[len(self.size) :])

    def step(self, frame: Frame, starts: Sequence[Sequence[int]]) -> CropStep:
        """Build the step for boxes that begin at `starts`, one for all entries of C or one per entry."""
        n = len(frame.shape)
        places = tuple(tuple(int(v) for v in start[:n]) for start in starts)
        drawn = {"crop_params": {type(self).__name__: places[0]}}
        return CropStep.on(frame, shape_out=self.box(frame.shape), drawn=drawn, starts=places)


@transform
class CenterCrop(Crop):
    """Crop around the center of the image.

    The box begins at (shape - size) / 2, with halves rounded to even, as in ivadomed 2.9.10.
    """

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Place the box in the center."""
        sides = zip(frame.shape, self.box(frame.shape), strict=True)
        return self.step(frame, [[round((n - s) / 2) for n, s in sides]])


@transform
class ROICrop(Crop):
    """Crop around the center of mass of the region of interest; needs `roi_params.suffix`.

    In the documented call, the first sample is the ROI; the returned metadata apply the same crop to image and label.
    """

    needs_roi = True

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Place a box around the ROI; one per leading entry of an ROI `[C, *shape]`.

        Raises:
            DataError: The ROI is missing, empty, or on another grid.
        """
        size, starts = self.box(frame.shape), []
        for entry in _masks(frame, "ROICrop"):
            if not entry.any():
                raise DataError(
                    "ROICrop: the ROI mask is empty; set roi_params.slice_filter_roi to skip "
                    "slices without ROI, or correct the mask"
                )
            centre = center_of_mass(entry)
            starts.append([round(c) - round(s / 2) for c, s in zip(centre, size, strict=True)])
        return self.step(frame, starts)

    def recall(self, frame: Frame, metadata: Any) -> Step | None:
        """Use the recorded step, or the start under ``crop_params``."""
        step = super().recall(frame, metadata)
        params = metadata.get("crop_params") or {}
        if step is not None or type(self).__name__ not in params:
            return step
        return self.step(frame, [params[type(self).__name__]])


@transform
class BoundingBoxCrop(Crop):
    """Crop to the bounding box found by the object detection model.

    Args:
        size: Size of the box, voxels.
        start: First voxel of the box per axis. Without it: ``metadata["bounding_box"]`` in the documented
            call, otherwise a box of `size` around the middle of the ROI's extent.
    """

    start: Annotated[tuple[Int, ...] | None, INTERNAL] = None

    def __post_init__(self) -> None:
        """See `needs_roi`."""
        super().__post_init__()
        self.needs_roi = self.start is None

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Place the box at `start` or around the extent of the ROI.

        Raises:
            DataError: Both start and ROI are missing, or the ROI is empty.
        """
        if self.start is not None:
            return self.step(frame, [self.start])
        inside = np.argwhere(_masks(frame, "BoundingBoxCrop").any(axis=0))
        if not len(inside):
            raise DataError("BoundingBoxCrop: the mask is empty, so no box can be drawn")
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        middle = zip((low + high) / 2, self.box(frame.shape), strict=True)
        return self.step(frame, [[round(m - s / 2) for m, s in middle]])

    def recall(self, frame: Frame, metadata: Any) -> Step | None:
        """Use the recorded step, or the corner of ``bounding_box`` [x_min, x_max, y_min, y_max, ...].

        Raises:
            DataError: The metadata have neither, and `start` is not set.
        """
        step = super().recall(frame, metadata)
        if step is not None or self.start is not None:
            return step
        if "bounding_box" not in metadata:
            raise DataError(
                "BoundingBoxCrop: the metadata have no bounding_box [x_min, x_max, y_min, y_max, ...]"
            )
        return self.step(frame, [metadata["bounding_box"][::2]])


class CroppableArray(np.ndarray):
    """Array whose slices may begin before 0 or end beyond the array; values outside are zero."""

    def __getitem__(self, item: Any) -> Any:
        """Return ``self[item]``; a tuple of plain slices, one per axis, may reach outside."""
        boxes = item if isinstance(item, tuple) else (item,)
        plain = all(isinstance(s, slice) and s.step in (None, 1) for s in boxes)
        if not plain or len(boxes) != self.ndim:
            return super().__getitem__(item)
        start = tuple(0 if s.start is None else s.start for s in boxes)
        stop = tuple(n if s.stop is None else s.stop for s, n in zip(boxes, self.shape, strict=True))
        size = tuple(max(b - a, 0) for a, b in zip(start, stop, strict=True))
        return _crop(np.asarray(self)[None], start, size)[0].view(CroppableArray)


def _negative(start: Sequence[int]) -> tuple[int, ...]:
    return tuple(-s for s in start)


def _masks(frame: Frame, owner: str) -> np.ndarray:
    """Return the ROI as `[C, *shape]`, checked."""
    roi, shape = frame.roi, frame.shape
    if roi is None:
        raise DataError(f"{owner} needs a region of interest; set roi_params.suffix or remove {owner}")
    mask = roi if roi.ndim > len(shape) else roi[None]
    if mask.shape[1:] != shape:
        raise DataError(f"{owner}: the ROI has shape {mask.shape[1:]}, the image {shape}; they must match")
    return mask


def _crop(x: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Crop `x` `[C, *spatial]` to `[C, *size]` from `start`; zeros where the box extends outside."""
    axes = list(zip(start, size, x.shape[1:], strict=True))
    source = tuple(slice(min(max(a, 0), n), max(min(a + s, n), 0)) for a, s, n in axes)
    cut = x[(slice(None), *source)]
    if cut.shape[1:] == tuple(size):
        return cut
    out = np.zeros((x.shape[0], *size), x.dtype)
    place = tuple(slice(max(-a, 0), max(-a, 0) + m) for (a, _, _), m in zip(axes, cut.shape[1:], strict=True))
    if cut.size:
        out[(slice(None), *place)] = cut
    return out


def box_crop(
    transforms: Sequence[ImedTransform],
    box: Sequence[int],
    zooms: Sequence[float],
    shape: Sequence[int] | None = None,
    length: Sequence[int] = (),
    stride: Sequence[int] = (),
    anchor: Anchor = "center",
) -> tuple[int, BoundingBoxCrop]:
    """Build the crop to a box, and determine its position among the transforms.

    It follows the resampling and precedes all other crops, which are then applied inside the box.

    Args:
        transforms: Transforms of all cases, in order.
        box: Box of one case, on the input grid of the transforms.
        zooms: Voxel size of that grid, mm.
        shape: Shape of that grid: the crop is kept inside the image. None if unknown.
        length: Patch size, after the transforms: the crop is enlarged so that patches cover it exactly.
        stride: Distance of neighboring patches; default ``length``.
        anchor: "corner": the crop of ivadomed 2.9.10, for use with its models: it starts at the first voxel of the
            box and may extend beyond the image, where it is padded.

    Returns:
        Index at which to insert the crop, and the crop.

    Raises:
        DataError: The box lies outside the image.
    """
    place = _place(transforms)
    if anchor == "corner":
        if shape is not None:
            clip_box(box, shape)  # raises if the box is outside
        factors = resampling_factors(transforms, shape or box_size(box), zooms)
        return place, _crop_at_corner(adjust_bb_size(box, factors, resample=True), length, stride or length)
    if shape is not None:
        box = clip_box(box, shape)
    box, shape = _resampled(transforms, box, zooms, shape)
    if length:
        box = fit_to_patches(box, length, stride or length, shape)
    return place, BoundingBoxCrop(size=box_size(box), start=tuple(box[::2]))


def _crop_at_corner(box: Sequence[int], length: Sequence[int], stride: Sequence[int]) -> BoundingBoxCrop:
    """Crop of ivadomed 2.9.10, which excludes the last voxel of a box."""
    size = [max(high - low, 1) for low, high in zip(box[::2], box[1::2], strict=True)]
    size = resize_to_multiple(size, stride, length) if length else size
    return BoundingBoxCrop(size=tuple(size), start=tuple(box[::2]))


def resampling_factors(
    transforms: Sequence[ImedTransform], shape: Sequence[int], zooms: Sequence[float]
) -> list[float]:
    """Old voxel size / new voxel size along each axis, of the resampling before any crop."""
    frame = Frame(tuple(shape), tuple(zooms))
    for step in _resampling(transforms, frame):
        frame = step.frame_out
    return [float(before / after) for before, after in zip(zooms, frame.zooms, strict=True)]


def _place(transforms: Sequence[ImedTransform]) -> int:
    """Index after the last resampling that precedes the first crop."""
    first = next((i for i, entry in enumerate(transforms) if entry.crops), len(transforms))
    return max((i + 1 for i in range(first) if transforms[i].resamples), default=0)


def _resampling(transforms: Sequence[ImedTransform], frame: Frame) -> Iterator[Step]:
    """Steps of the resampling before any crop."""
    rng = np.random.default_rng(0)  # resampling is not random
    for entry in transforms[: _place(transforms)]:
        if entry.resamples:
            step = entry.plan(frame, rng)
            frame = step.frame_out
            yield step


def _resampled(
    transforms: Sequence[ImedTransform],
    box: Sequence[int],
    zooms: Sequence[float],
    shape: Sequence[int] | None,
) -> tuple[Box, tuple[int, ...] | None]:
    """Box and shape after the resampling."""
    box, shape = list(box), None if shape is None else tuple(shape)
    for step in _resampling(transforms, Frame(shape or box_size(box), tuple(zooms))):
        factors = [old / new for old, new in zip(step.zooms_in, step.zooms_out, strict=True)]
        box = box_on_grid(box, factors)
        if shape is not None:
            shape = step.shape_out  # rounded, so it may end one voxel before the box
            box = [min(end, shape[axis // 2] - 1) for axis, end in enumerate(box)]
    return box, shape
