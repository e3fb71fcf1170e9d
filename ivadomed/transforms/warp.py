"""Smooth coordinate maps: affine, with an optional displacement field; composition and inversion.

A `WarpStep` reads its input at ``matrix @ o + offset + field(o)`` for every output voxel o, in voxels.
Interpolation is linear (order 0: nearest); points outside the voxel centers of the input give 0, as in
``scipy.ndimage.affine_transform(mode="constant")``. Tensors are read by `sample`, whose coordinates run from -1 to 1
between the centers of the outermost voxels of an axis.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, hardshrink

from ivadomed.transforms.resampling import as_tensor
from ivadomed.transforms.steps import Frame, Step

SLAB_POINTS = 1 << 16
"""Points per slab: the coordinates of a slab fit the processor's cache."""


SLACK = 2e-6
"""Tolerance for points outside: rounding must not push out the outermost voxels of an unmoved axis."""

_FAR = 1e6  # points outside are moved this far (times the square of their coordinate), where nothing is read
_MOST_ROWS = 1 << 14  # up to here, float32 resolves 1/1024 of the distance between two rows


@dataclass(frozen=True, eq=False, kw_only=True)
class WarpStep(Step):
    """Resample once through a coordinate map on an unchanged grid.

    Attributes:
        matrix: [n, n], output to input voxel coordinates.
        offset: [n], voxels.
        field: Displacement added to the affine map, [n, *shape] float32, or None.
        turn: Matrix [n, n] that converts field vectors to input voxels; None: identity.
    """

    matrix: np.ndarray
    offset: np.ndarray
    field: np.ndarray | None = None
    turn: np.ndarray | None = None
    pooled: ClassVar[bool] = True

    @torch.inference_mode()  # no gradients are needed, and every operation is cheaper
    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resample with order min(order, 1); order 0 keeps the dtype, order 1 gives float32."""
        # float32 holds integers up to 2^24; larger label values need float64.
        exact = order == 0 and x.dtype.itemsize > 2 and x.dtype != np.float32
        source = as_tensor(np.asarray(x, dtype=np.float64 if exact else np.float32))
        maps = self._linear if order > 0 else maps_of([self], 0)
        out = np.ascontiguousarray(maps(source[None], order)[0].numpy())
        return out.astype(x.dtype, copy=False) if order == 0 else out

    @cached_property
    def _linear(self) -> CoordinateMaps | SeparableMaps:
        return maps_of([self], 1)  # shared by image and label

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resample through the inverse map: exact for affine maps, iterative for displacement fields."""
        return self.inverse.apply(x, order)

    @cached_property
    def inverse(self) -> WarpStep:
        """The inverse map; see `invert_field` for the displacement."""
        matrix = np.linalg.inv(self.matrix)
        offset = -matrix @ self.offset
        field = None if self.displacement is None else invert_field(matrix, offset, self.displacement)
        return WarpStep.on(self.frame, matrix=matrix, offset=offset, field=field)

    def then(self, later: WarpStep) -> WarpStep:
        """Return the single map equal to this one followed by `later`.

        Content that this map moves out of the field of view and `later` moves back is kept.
        """
        field, turn = later.field, None
        if self.displacement is None:
            # The displacement is not multiplied here, only at the sampled points.
            turn = self.matrix if later.turn is None else self.matrix @ later.turn
        else:
            at = CoordinateMaps.of([later]).points()
            moved = sample(as_tensor(self.displacement)[None], at, 1, edge=True)[0]
            if later.displacement is not None:
                moved += _turn(self.matrix, as_tensor(later.displacement))
            field = moved.numpy()
        return WarpStep.on(
            self.frame,
            drawn={**self.drawn, **later.drawn},
            matrix=self.matrix @ later.matrix,
            offset=self.matrix @ later.offset + self.offset,
            field=field,
            turn=turn,
        )

    @cached_property
    def displacement(self) -> np.ndarray | None:
        """The field in voxels of the input, [n, *shape] float32, or None."""
        if self.field is None or self.turn is None:
            return self.field
        return _turn(self.turn, as_tensor(self.field)).numpy()

    @property
    def is_identity(self) -> bool:
        """True if no voxel moves."""
        n = len(self.shape_in)
        return self.field is None and bool((self.matrix == np.eye(n)).all() and (self.offset == 0).all())

    @property
    def separable_axis(self) -> int | None:
        """Axis of a 3D affine map that is independent of the other two: reduces the work five times."""
        if self.field is not None or len(self.shape_in) != 3:
            return None
        coupled = (self.matrix != 0) & ~np.eye(3, dtype=bool)
        free = [k for k in range(3) if not coupled[k].any() and not coupled[:, k].any()]
        return free[-1] if free else None

    @cached_property
    def plane(self) -> WarpStep:
        """The 2D map of the two axes other than `separable_axis`."""
        keep = [k for k in range(3) if k != self.separable_axis]
        frame = Frame(tuple(self.shape_in[k] for k in keep), tuple(self.zooms_in[k] for k in keep))
        return WarpStep.on(frame, matrix=self.matrix[np.ix_(keep, keep)], offset=self.offset[keep])

    @property
    def batch_key(self) -> Hashable:
        """Whether the map is affine or has a field, and its separable axis, if any."""
        return self.field is None, self.separable_axis

    @classmethod
    def batch(cls, steps: Sequence[WarpStep]) -> CoordinateMaps | SeparableMaps:
        """Combine the maps."""
        return maps_of(steps)

    def __getstate__(self) -> dict[str, object]:
        """Omit the cached grids: steps are sent from workers to the main process."""
        return {k: v for k, v in self.__dict__.items() if k in self.__dataclass_fields__}


@dataclass(frozen=True, eq=False, kw_only=True)
class FlipStep(Step):
    """Mirror axes; exact and its own inverse."""

    axes: tuple[int, ...]

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Reverse the axes."""
        # Not ascontiguousarray: it keeps the negative stride of an axis with one voxel, which torch does not accept.
        return np.flip(x, tuple(a + 1 for a in self.axes)).copy()

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Reverse the axes again."""
        return self.apply(x, order)

    @property
    def batch_key(self) -> Hashable:
        """The flipped axes."""
        return self.axes

    @classmethod
    def batch(cls, steps: Sequence[FlipStep]) -> partial[Tensor]:
        """Flip all samples at once."""
        return partial(torch.flip, dims=[axis + 2 for axis in steps[0].axes])

    def as_warp(self) -> WarpStep:
        """The equivalent coordinate map."""
        sign = np.ones(len(self.shape_in))
        sign[list(self.axes)] = -1
        offset = np.where(sign < 0, np.asarray(self.shape_in) - 1.0, 0.0)
        return WarpStep.on(self.frame, drawn=self.drawn, matrix=np.diag(sign), offset=offset)


def fuse(first: Step, later: Step) -> Step | None:
    """Return a step equal to `first` then `later` with a single interpolation, or None if they cannot be fused."""
    if isinstance(first, FlipStep) and isinstance(later, FlipStep):
        return None
    a = first.as_warp() if isinstance(first, FlipStep) else first
    b = later.as_warp() if isinstance(later, FlipStep) else later
    return a.then(b) if isinstance(a, WarpStep) and isinstance(b, WarpStep) else None


@dataclass(frozen=True, eq=False, kw_only=True)
class CoordinateMaps:
    """Warps of the samples of a batch, as tensors on one device.

    Attributes:
        shape: Spatial shape, n entries.
        lines: Per axis, contribution of each output index to the input coordinates, see `sample` and `_lines`.
        field: [B, n, *shape] displacements, or None.
        turn: [B, n, n] maps field vectors to coordinates.
    """

    shape: tuple[int, ...]
    lines: tuple[Tensor, ...]
    field: Tensor | None
    turn: Tensor | None

    @classmethod
    def of(cls, steps: Sequence[WarpStep]) -> CoordinateMaps:
        """Combine steps of one shape; either all have a field, or none."""
        shape = steps[0].shape_in
        unit = voxels_to_unit(shape)
        matrices = _stacked([step.matrix for step in steps]) * unit[:, None]
        lines = _lines(matrices, _stacked([step.offset for step in steps]) * unit - 1, shape)
        fields = [step.field for step in steps if step.field is not None]
        if not fields:
            return cls(shape=shape, lines=lines, field=None, turn=None)
        turns = [unit[:, None] * (np.eye(len(unit)) if s.turn is None else s.turn) for s in steps]
        turn = torch.from_numpy(_stacked(turns).astype(np.float32))
        return cls(shape=shape, lines=lines, field=as_tensor(_stacked(fields)), turn=turn)

    def __call__(self, x: Tensor, order: int = 1) -> Tensor:
        """Resample [B, C, *shape]."""
        if x.device.type != "cpu":
            return sample(x, self._points.clone(), order)
        rows = max(1, SLAB_POINTS // (x.shape[0] * math.prod(self.shape[1:])))
        if rows >= self.shape[0]:
            return sample(x, self.points(), order)
        out = torch.empty_like(x)
        for start in range(0, self.shape[0], rows):
            slab = slice(start, start + rows)
            out[:, :, slab] = sample(x, self.points(slab), order)
        return out

    def points(self, rows: slice | None = None) -> Tensor:
        """Input coordinates of the output voxels, or of some rows, [B, n, *out]."""
        first, *others = self.lines
        at = sum(others, first if rows is None else first[:, :, rows])
        if self.field is not None and self.turn is not None:
            vectors = (self.field if rows is None else self.field[:, :, rows]).flatten(2)
            at.view_as(vectors).baddbmm_(self.turn, vectors)
        return at

    @cached_property
    def _points(self) -> Tensor:
        return self.points()  # shared by image and label


@dataclass(frozen=True, eq=False, kw_only=True)
class SeparableMaps:
    """Batch of 3D affine maps with one independent axis: planes are resampled first, then lines along that axis.

    Attributes:
        axis: The axis.
        plane: Maps of the other two axes; None if they are unchanged.
        lines: [B, size, size], from input to output along the axis, or None.
    """

    axis: int
    plane: CoordinateMaps | None
    lines: Tensor | None

    @classmethod
    def of(cls, steps: Sequence[WarpStep], axis: int, order: int) -> SeparableMaps:
        """Combine steps of one shape and axis."""
        planes = [step.plane for step in steps]
        at = [(float(step.matrix[axis, axis]), float(step.offset[axis])) for step in steps]
        lines = [line_matrix(steps[0].shape_in[axis], scale, shift, order) for scale, shift in at]
        still = all(plane.is_identity for plane in planes)
        return cls(
            axis=axis,
            plane=None if still else CoordinateMaps.of(planes),
            lines=None if set(at) == {(1.0, 0.0)} else torch.from_numpy(np.stack(lines).astype(np.float32)),
        )

    def __call__(self, x: Tensor, order: int = 1) -> Tensor:
        """Resample [B, C, *shape]: the planes as channels of a 2D batch, then combine them."""
        planes = x.movedim(self.axis + 2, 2)
        shape = planes.shape
        if self.plane is not None:
            planes = self.plane(planes.flatten(1, 2), order).view(shape)
        if self.lines is not None:
            planes = (self.lines[:, None].to(x.dtype) @ planes.flatten(3)).view(shape)
        return planes.movedim(2, self.axis + 2)


def maps_of(steps: Sequence[WarpStep], order: int = 1) -> CoordinateMaps | SeparableMaps:
    """Combine the warps of the samples of a batch; all have the same `separable_axis`."""
    axis = steps[0].separable_axis
    return CoordinateMaps.of(steps) if axis is None else SeparableMaps.of(steps, axis, order)


def line_matrix(n: int, scale: float, shift: float, order: int) -> np.ndarray:
    """Matrix [n, n] that reads a line at ``scale * o + shift``; rows for points outside the line are zero."""
    at = scale * np.arange(n) + shift
    at = np.where(np.abs(at - np.rint(at)) < 1e-6, np.rint(at), at)
    inside = (at >= 0) & (at <= n - 1)
    distance = np.abs(np.clip(at, 0, n - 1)[:, None] - np.arange(n)[None, :])
    if order == 0:
        weights = (np.rint(np.clip(at, 0, n - 1))[:, None] == np.arange(n)[None, :]).astype(float)
    else:
        weights = np.maximum(1 - distance, 0)
    return weights * inside[:, None]


def invert_field(
    matrix: np.ndarray, offset: np.ndarray, field: np.ndarray, tolerance: float = 0.01, most: int = 40
) -> np.ndarray:
    """Displacement of the inverse map by fixed-point iteration.

    Solves ``A o + t + u(o) = i`` by ``o <- A^-1 (i - t) - A^-1 u(o)`` (Chen et al., "A simple fixed-point
    approach to invert a deformation field", Medical Physics 35, 2008). Approximate: converges to `tolerance` voxels
    if the field does not fold (its gradient is below 1); stops after `most` iterations.

    Args:
        matrix: A^-1, [n, n].
        offset: -A^-1 t, [n].
        field: u, [n, *shape].
        tolerance: Largest change in the last iteration, voxels.
        most: Maximum number of iterations.

    Returns:
        v with ``o = matrix @ i + offset + v(i)``, [n, *shape] float32.
    """
    shape = field.shape[1:]
    scale = torch.from_numpy(voxels_to_unit(shape).astype(np.float32)).view(-1, *(1,) * len(shape))
    first, *others = _lines(matrix[None], offset[None], shape)
    base, u = sum(others, first)[0], as_tensor(field)
    v = torch.zeros_like(u)
    for _ in range(most):
        new = _turn(-matrix, sample(u[None], ((base + v) * scale - 1)[None], 1, edge=True)[0])
        change = float((new - v).abs().max())
        v = new
        if change < tolerance:
            break
    return v.numpy()


def _lines(matrices: np.ndarray, offsets: np.ndarray, shape: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Terms of ``matrix @ o + offset`` at the output voxels o, by axis.

    Args:
        matrices: [B, n, n].
        offsets: [B, n].
        shape: Output voxels along n axes.

    Returns:
        [B, n, size, 1, 1], [B, n, 1, size, 1], ... float32.
    """
    spread = (..., *[None] * len(shape))
    lines = [matrices[:, :, j][spread] * _axis(n, len(shape) - 1 - j) for j, n in enumerate(shape)]
    lines[0] += offsets[spread]
    return tuple(torch.from_numpy(line.astype(np.float32)) for line in lines)


@lru_cache(maxsize=64)
def _axis(n: int, behind: int) -> np.ndarray:
    """Indices of an axis with this many axes after it."""
    return np.arange(n, dtype=np.float64).reshape(-1, *(1,) * behind)


def _turn(matrix: np.ndarray, field: Tensor) -> Tensor:
    """Multiply each vector of a field [n, *shape] float32 by a matrix [n, n]."""
    return torch.mm(torch.from_numpy(matrix.astype(np.float32)), field.view(len(field), -1)).view_as(field)


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Stack the arrays along a new first axis; a single one is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.array(arrays)


@lru_cache(maxsize=64)
def voxels_to_unit(sizes: tuple[int, ...]) -> np.ndarray:
    """Length of a voxel along each axis in the coordinates of `sample`, in which voxel 0 is at -1."""
    return np.array([2 / max(n - 1, 1) for n in sizes])


def sample(x: Tensor, at: Tensor, order: int, *, edge: bool = False) -> Tensor:
    """Sample each image of a batch at its own points.

    Args:
        x: [B, C, *spatial], floating, 2 or 3 spatial axes.
        at: Coordinates, one array per spatial axis, [B, n, *out] float32 with an equal number of axes in `out`;
            overwritten.
        order: 0 nearest, otherwise linear.
        edge: Use the edge value outside, rather than 0.

    Returns:
        [B, C, *out], in the type of `x`.
    """
    sizes = x.shape[2:]
    if len(sizes) == 3 and order > 0 and not edge and min(sizes) > 1 and x.device.type == "cpu":
        planes = [_planes(points[0], sizes[0]) for points in at]
        if max(map(len, planes)) * sizes[1] <= _MOST_ROWS:
            out = x.new_empty((*x.shape[:2], *at.shape[2:]))
            for volume, points, between, target in zip(x, at, planes, out, strict=True):
                _sample_volume(volume, points, between, target)
            return out
    inside = []
    if not edge:
        inside = [(at[:, k] + 1).abs_() <= SLACK for k, n in enumerate(sizes) if n == 1]
        beyond = _beyond(at)
        at.addcmul_(beyond, beyond, value=_FAR)
    # The coordinates are in axis order, but torch expects the last axis first, so the axes are reversed.
    out = grid_sample(
        x.permute(0, 1, *range(len(sizes) + 1, 1, -1)),
        at.movedim(1, -1) if x.dtype == at.dtype else at.movedim(1, -1).to(x.dtype),
        mode="nearest" if order == 0 else "bilinear",
        padding_mode="border" if edge else "zeros",
        align_corners=True,
    )
    for mask in inside:
        out *= mask[:, None]
    return out


def _planes(at: Tensor, n: int) -> range:
    """Planes of a volume with points between them and the next plane."""
    low, high = (int((float(q) + 1) * (n - 1) / 2) for q in at.aminmax())
    return range(min(max(low, 0), n - 2), min(max(high, 0), n - 2) + 1)


def _sample_volume(x: Tensor, at: Tensor, planes: range, out: Tensor) -> None:
    """Sample a volume [C, H, W, D] linearly with the 2D kernel, which unlike the 3D kernel is vectorized.

    The planes form one image of rows (h, w) and columns d. A point between the planes h and h + 1 lies between the
    values of this image at rows h W + w and (h + 1) W + w, which are two channels of one image.
    """
    _, height, width, depth = x.shape
    rows = len(planes) * width
    at[2].add_(_beyond(at).square_().sum(0), alpha=_FAR)
    h = at[0].add_(1).mul_((height - 1) / 2)
    below = h.floor().clamp_(planes[0], planes[-1])
    between = h.sub_(below)
    row = at[1].clamp_(-1, 1).add_(1).mul_((width - 1) / 2).add_(below.sub_(planes[0]), alpha=width)
    row.mul_(2 / (rows - 1)).sub_(1)
    points = at[1:].view(2, 1, -1).movedim(0, -1)[None]
    for image, target in zip(x, out, strict=True):
        pair = image.reshape(height * width, depth)[planes[0] * width :].unfold(0, rows, width)[:2]
        near, far = grid_sample(pair[None], points, align_corners=True).view(2, *between.shape)
        torch.lerp(near, far, between, out=target)


def _beyond(at: Tensor) -> Tensor:
    """0 for coordinates inside; those outside unchanged."""
    return hardshrink(at, 1 + SLACK)
