"""Smooth coordinate maps: affine, with an optional displacement field, composed and inverted.

A `WarpStep` reads its input at ``matrix @ o + offset + field(o)`` for every output voxel o, in voxels.
Interpolation is linear (order 0: nearest); a point outside the voxel centres of the input gives 0, as
``scipy.ndimage.affine_transform(mode="constant")`` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
import torch

from ivadomed.transforms.base import Step
from ivadomed.transforms.resampling import apply_along_axis, as_tensor
from ivadomed.transforms.sampling import sample, voxels_to_unit

SLAB_POINTS = 1 << 16
"""Points whose coordinates are held at once: a slab of them stays in the processor's cache."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WarpStep(Step):
    """Resample once through a coordinate map on an unchanged grid.

    Attributes:
        matrix: [n, n], output to input voxel coordinates.
        offset: [n], voxels.
        field: Displacement added to the affine map, [n, *shape] float32, or None.
        turn: What the vectors of the field are multiplied with to be voxels of the input, [n, n]; None: they are.
    """

    matrix: np.ndarray
    offset: np.ndarray
    field: np.ndarray | None = None
    turn: np.ndarray | None = None
    pooled: ClassVar[bool] = True

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resample with order min(order, 1); order 0 keeps the dtype, order 1 gives float32."""
        # float32 holds integers up to 2^24; wider label values need float64 to survive.
        exact = order == 0 and x.dtype.itemsize > 2 and x.dtype != np.float32
        source = np.asarray(x, dtype=np.float64 if exact else np.float32)
        axis = self.separable_axis
        out = self._sample(source, order) if axis is None else self._sample_planes(source, order, axis)
        return out.astype(x.dtype, copy=False) if order == 0 else out

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resample through the inverse map: exact for affine, iterated for displacement fields."""
        return self.inverse.apply(x, order)

    @cached_property
    def inverse(self) -> WarpStep:
        """The map back; see `invert_field` for the displacement."""
        matrix = np.linalg.inv(self.matrix)
        offset = -matrix @ self.offset
        field = None if self.displacement is None else invert_field(matrix, offset, self.displacement)
        return _warp_like(self, matrix, offset, field)

    def then(self, later: WarpStep) -> WarpStep:
        """Return the one map equal to this one followed by `later`.

        Content that this map would push out of the field of view and `later` bring back is kept.
        """
        matrix = self.matrix @ later.matrix
        offset = self.matrix @ later.offset + self.offset
        drawn = {**self.drawn, **later.drawn}
        if self.displacement is None:
            # The displacement is left as it is; multiplying comes with the points that are sampled.
            turn = self.matrix if later.turn is None else self.matrix @ later.turn
            return _warp_like(self, matrix, offset, later.field, drawn, turn)
        field = sample(as_tensor(self.displacement), later.points(), 1, edge=True)
        if later.displacement is not None:
            field += _turn(self.matrix, as_tensor(later.displacement))
        return _warp_like(self, matrix, offset, field.numpy(), drawn)

    @cached_property
    def displacement(self) -> np.ndarray | None:
        """The field in voxels of the input, [n, *shape] float32, or None."""
        if self.field is None or self.turn is None:
            return self.field
        return _turn(self.turn, as_tensor(self.field)).numpy()

    def points(self, rows: slice = slice(None)) -> torch.Tensor:
        """Where the output voxels, or some rows of them, read the input, [n, *out], see `sampling.sample`."""
        unit = voxels_to_unit(self.shape_in)
        at = affine_coordinates(self.matrix * unit[:, None], self.offset * unit - 1, self.shape_in, rows)
        if self.field is None:
            return at
        turn = unit[:, None] * (np.eye(len(unit)) if self.turn is None else self.turn)
        field = as_tensor(self.field)[:, rows].reshape(len(unit), -1)
        at.view_as(field).addmm_(torch.from_numpy(turn.astype(np.float32)), field)
        return at

    @torch.inference_mode()  # nothing is differentiated here, and every operation costs less
    def _sample(self, x: np.ndarray, order: int) -> np.ndarray:
        source = as_tensor(x)
        slabs = list(_slabs(self.shape_in))
        if len(slabs) == 1:
            return sample(source, self.points(slabs[0]), order).numpy()
        out = torch.empty_like(source)
        for rows in slabs:
            out[:, rows] = sample(source, self.points(rows), order)
        return out.numpy()

    def _sample_planes(self, x: np.ndarray, order: int, axis: int) -> np.ndarray:
        """Sample a 3D array whose map leaves `axis` to itself: planes first, then lines along `axis`."""
        count = x.shape[0] * x.shape[axis + 1]
        planes = np.moveaxis(x, axis + 1, 1)
        shape = planes.shape
        if not self.plane.is_identity:
            planes = self.plane._sample(planes.reshape(count, *shape[2:]), order).reshape(shape)
        scale, shift = float(self.matrix[axis, axis]), float(self.offset[axis])
        if scale != 1 or shift != 0:
            lines = line_matrix(self.shape_in[axis], scale, shift, order).astype(x.dtype)
            planes = apply_along_axis(lines, np.ascontiguousarray(planes), 1)
        return np.ascontiguousarray(np.moveaxis(planes, 1, axis + 1))

    @property
    def is_identity(self) -> bool:
        """True if every voxel stays where it is."""
        n = len(self.shape_in)
        return self.field is None and bool((self.matrix == np.eye(n)).all() and (self.offset == 0).all())

    @cached_property
    def separable_axis(self) -> int | None:
        """Axis of a 3D affine map that neither reads nor feeds the other two: 5 times less work."""
        if self.field is not None or len(self.shape_in) != 3:
            return None
        coupled = (self.matrix != 0) & ~np.eye(3, dtype=bool)
        free = [k for k in range(3) if not coupled[k].any() and not coupled[:, k].any()]
        return free[-1] if free else None

    @cached_property
    def plane(self) -> WarpStep:
        """The 2D map of the two axes other than `separable_axis`."""
        keep = [k for k in range(3) if k != self.separable_axis]
        shape = tuple(self.shape_in[k] for k in keep)
        zooms = tuple(self.zooms_in[k] for k in keep)
        return WarpStep(
            shape_in=shape,
            shape_out=shape,
            zooms_in=zooms,
            zooms_out=zooms,
            matrix=self.matrix[np.ix_(keep, keep)],
            offset=self.offset[keep],
        )

    def __getstate__(self) -> dict[str, object]:
        """Leave the cached grids behind: steps travel from workers to the main process."""
        return {k: v for k, v in self.__dict__.items() if k in self.__dataclass_fields__}


@dataclass(frozen=True, eq=False, kw_only=True)
class FlipStep(Step):
    """Mirror some axes; exact, its own inverse."""

    axes: tuple[int, ...]

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Reverse the axes."""
        # Not ascontiguousarray: it keeps the negative stride of an axis with one voxel, which torch refuses.
        return np.flip(x, tuple(a + 1 for a in self.axes)).copy()

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Reverse the axes again."""
        return self.apply(x, order)

    def as_warp(self) -> WarpStep:
        """The same as a coordinate map."""
        sign = np.ones(len(self.shape_in))
        sign[list(self.axes)] = -1
        offset = np.where(sign < 0, np.asarray(self.shape_in) - 1.0, 0.0)
        return _warp_like(self, np.diag(sign), offset, None, dict(self.drawn))


def fuse(first: Step, later: Step) -> Step | None:
    """Return one step equal to `first` then `later` with a single interpolation, None if they do not join."""
    if isinstance(first, FlipStep) and isinstance(later, FlipStep):
        return None
    a = first.as_warp() if isinstance(first, FlipStep) else first
    b = later.as_warp() if isinstance(later, FlipStep) else later
    return a.then(b) if isinstance(a, WarpStep) and isinstance(b, WarpStep) else None


def affine_coordinates(
    matrix: np.ndarray, offset: np.ndarray, shape: tuple[int, ...], rows: slice = slice(None)
) -> torch.Tensor:
    """``matrix @ o + offset`` for the output voxels o of some rows, [n, *out] float32.

    Sums one vector per axis instead of multiplying a list of points.
    """
    n = len(shape)
    lines = [matrix[:, j, None] * _axis(size) for j, size in enumerate(shape)]
    lines[0] = lines[0][:, rows] + offset[:, None]
    total, *others = (
        torch.from_numpy(line.astype(np.float32)).view(n, *(1,) * j, -1, *(1,) * (n - 1 - j))
        for j, line in enumerate(lines)
    )
    for other in others:
        total = total + other
    return total


@lru_cache(maxsize=64)
def _axis(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.float64)


def line_matrix(n: int, scale: float, shift: float, order: int) -> np.ndarray:
    """Matrix [n, n] that reads a line at ``scale * o + shift``; rows of points outside the line are zero."""
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
    approach to invert a deformation field", Medical Physics 35, 2008). Approximate: converges where the
    field does not fold (its gradient below 1), to `tolerance` voxels; stops after `most` iterations.

    Args:
        matrix: A^-1, [n, n].
        offset: -A^-1 t, [n].
        field: u, [n, *shape].
        tolerance: Largest change of the last iteration, voxels.
        most: Limit of iterations.

    Returns:
        v with ``o = matrix @ i + offset + v(i)``, [n, *shape] float32.
    """
    shape = field.shape[1:]
    scale = torch.from_numpy(voxels_to_unit(shape).astype(np.float32)).view(-1, *(1,) * len(shape))
    base, u = affine_coordinates(matrix, offset, shape), as_tensor(field)
    v = torch.zeros_like(u)
    for _ in range(most):
        new = _turn(-matrix, sample(u, (base + v) * scale - 1, 1, edge=True))
        change = float((new - v).abs().max())
        v = new
        if change < tolerance:
            break
    return v.numpy()


def _turn(matrix: np.ndarray, field: torch.Tensor) -> torch.Tensor:
    """Multiply a matrix [n, n] with every vector of a field [n, *shape] float32."""
    return torch.mm(torch.from_numpy(matrix.astype(np.float32)), field.view(len(field), -1)).view_as(field)


def _warp_like(
    step: Step,
    matrix: np.ndarray,
    offset: np.ndarray,
    field: np.ndarray | None,
    drawn: dict[str, object] | None = None,
    turn: np.ndarray | None = None,
) -> WarpStep:
    return WarpStep(
        shape_in=step.shape_in,
        shape_out=step.shape_out,
        zooms_in=step.zooms_in,
        zooms_out=step.zooms_out,
        drawn=drawn or {},
        matrix=matrix,
        offset=offset,
        field=field,
        turn=turn,
    )


def _slabs(shape: tuple[int, ...]) -> Iterator[slice]:
    rows = max(1, SLAB_POINTS // math.prod(shape[1:]))
    for start in range(0, shape[0], rows):
        yield slice(start, min(start + rows, shape[0]))
