"""Transforms that cut out, or pad to, a box of a given size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.ndimage import center_of_mass

from ivadomed.errors import ConfigError, DataError
from ivadomed.transforms.base import ImedTransform, Step


@dataclass(frozen=True, eq=False, kw_only=True)
class CropStep(Step):
    """Cut a box out of an array; where the box reaches beyond the array it is filled with zeros.

    Attributes:
        starts: First voxel of the box per axis, negative for padding; one box for all of C, or one each.
    """

    starts: tuple[tuple[int, ...], ...]

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Crop; a view of `x` if nothing has to be padded."""
        if len(self.starts) == 1:
            return _crop(x, self.starts[0], self.shape_out)
        return np.concatenate([_crop(e, s, self.shape_out) for e, s in self._entries(x)])

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Put the box back where it came from, zeros around it."""
        if len(self.starts) == 1:
            return _crop(x, _negative(self.starts[0]), self.shape_in)
        return np.concatenate([_crop(e, _negative(s), self.shape_in) for e, s in self._entries(x)])

    def _entries(self, x: np.ndarray) -> list[tuple[np.ndarray, tuple[int, ...]]]:
        if len(x) != len(self.starts):
            raise DataError(
                f"crop around the ROI: {len(self.starts)} ROI slices, {len(x)} image slices; pass as many"
            )
        return [(x[i : i + 1], start) for i, start in enumerate(self.starts)]


class Crop(ImedTransform):
    """Cut out a box; subclasses say where. Axes without a size keep their length.

    Args:
        size: Size of the box in voxels, 2 or 3 entries. In 2D a third entry is not used.
    """

    fixed: ClassVar[bool] = True

    def __init__(self, size: Sequence[int]) -> None:
        valid = isinstance(size, (list, tuple, np.ndarray)) and 1 <= len(size) <= 3
        if not valid or any(isinstance(s, bool) or int(s) != s or s < 1 for s in size):
            raise ConfigError(
                f"transformation.{type(self).__name__}.size: {size!r}; "
                "2 or 3 positive whole numbers (voxels) expected"
            )
        self.size = tuple(int(s) for s in size)

    def box(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the size of the box along every axis of `shape`."""
        return (*self.size[: len(shape)], *shape[len(self.size) :])

    def step(self, shape: Sequence[int], zooms: Sequence[float], starts: Sequence[Sequence[int]]) -> CropStep:
        """Build the step for boxes that begin at `starts`, one for all entries of C or one each."""
        places = tuple(tuple(int(v) for v in start[: len(shape)]) for start in starts)
        return CropStep(
            shape_in=tuple(shape),
            shape_out=self.box(shape),
            zooms_in=tuple(zooms),
            zooms_out=tuple(zooms),
            drawn={"crop_params": {type(self).__name__: places[0]}},
            starts=places,
        )


class CenterCrop(Crop):
    """Crop or pad around the centre of the array.

    The box begins at (shape - size) / 2, halves rounded to even, as in ivadomed 2.9.10.
    """

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Place the box in the centre."""
        start = [round((n - s) / 2) for n, s in zip(shape, self.box(shape), strict=True)]
        return self.step(shape, zooms, [start])


class ROICrop(Crop):
    """Crop around the centre of mass of the region of interest.

    In the documented call the first sample is the ROI; the metadata it returns crop image and label alike.
    """

    needs_roi = True

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Place a box around the ROI; one per leading entry of a `roi` `[C, *shape]`.

        Raises:
            DataError: There is no ROI, it is empty, or it is on another grid.
        """
        mask = _masks(roi, shape, "ROICrop")
        starts = []
        for entry in mask:
            if not entry.any():
                raise DataError(
                    "ROICrop: the ROI mask is empty; set roi_params.slice_filter_roi to skip "
                    "slices without ROI, or correct the mask"
                )
            centre = center_of_mass(entry)
            starts.append([round(c) - round(s / 2) for c, s in zip(centre, self.box(shape), strict=True)])
        return self.step(shape, zooms, starts)

    def recall(self, shape: tuple[int, ...], zooms: tuple[float, ...], metadata: Any) -> Step | None:
        """Take the recorded step, or the start under ``crop_params``."""
        step = super().recall(shape, zooms, metadata)
        params = metadata.get("crop_params") or {}
        if step is not None or type(self).__name__ not in params:
            return step
        return self.step(shape, zooms, [params[type(self).__name__]])


class BoundingBoxCrop(Crop):
    """Crop to a bounding box, made for one case by the object detection step.

    Args:
        size: Size of the box, voxels.
        start: First voxel of the box per axis. Without it: ``metadata["bounding_box"]`` in the documented
            call, otherwise a box of `size` around the middle of the ROI's extent.
    """

    def __init__(self, size: Sequence[int], start: Sequence[int] | None = None) -> None:
        super().__init__(size)
        self.start = None if start is None else tuple(int(s) for s in start)
        self.needs_roi = start is None

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Place the box at `start` or around the extent of the ROI.

        Raises:
            DataError: There is neither a start nor a ROI, or the ROI is empty.
        """
        if self.start is not None:
            return self.step(shape, zooms, [self.start])
        inside = np.argwhere(_masks(roi, shape, "BoundingBoxCrop").any(axis=0))
        if not len(inside):
            raise DataError("BoundingBoxCrop: the mask is empty, there is nothing to draw a box around")
        low, high = inside.min(axis=0), inside.max(axis=0) + 1
        middle = (low + high) / 2
        return self.step(
            shape, zooms, [[round(m - s / 2) for m, s in zip(middle, self.box(shape), strict=True)]]
        )

    def recall(self, shape: tuple[int, ...], zooms: tuple[float, ...], metadata: Any) -> Step | None:
        """Take the recorded step, or the corner of ``bounding_box`` [x_min, x_max, y_min, y_max, ...].

        Raises:
            DataError: The metadata have neither, and there is no `start`.
        """
        step = super().recall(shape, zooms, metadata)
        if step is not None or self.start is not None:
            return step
        if "bounding_box" not in metadata:
            raise DataError(
                "BoundingBoxCrop: the metadata have no bounding_box [x_min, x_max, y_min, y_max, ...]"
            )
        return self.step(shape, zooms, [metadata["bounding_box"][::2]])


class CroppableArray(np.ndarray):
    """Array whose slices may begin before 0 or end beyond the array; what lies outside is zero."""

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


def _masks(roi: np.ndarray | None, shape: Sequence[int], owner: str) -> np.ndarray:
    """Return the ROI as `[C, *shape]`, checked."""
    if roi is None:
        raise DataError(f"{owner} needs a region of interest; set roi_params.suffix or remove {owner}")
    mask = roi if roi.ndim > len(shape) else roi[None]
    if mask.shape[1:] != tuple(shape):
        raise DataError(
            f"{owner}: the ROI has shape {mask.shape[1:]}, the image {tuple(shape)}; they must match"
        )
    return mask


def _crop(x: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Cut `[C, *size]` out of `x` `[C, *spatial]` from `start`, zeros where the box reaches outside."""
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
