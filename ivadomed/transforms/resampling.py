"""Resizing by B-splines.

Equivalent to ``scipy.ndimage.zoom(..., grid_mode=False)``: the first and last sample keep their positions, and the
signal is mirrored at its ends. A spline zoom is linear and separable, so along one axis it is a matrix that
depends only on (n_in, n_out, order): it is built once, then applied as a product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import spline_filter1d

from ivadomed.transforms.steps import Step

MATRIX_LIMIT = 768
"""Axes longer than this are filtered and gathered, O(n), instead of multiplied by a dense matrix, O(n^2)."""


class ResampleStep(Step):
    """Resize between two grids, see `resize`."""

    def apply(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resize to `shape_out` with this spline order."""
        return resize(x, self.shape_out, order)

    def invert(self, x: np.ndarray, order: int) -> np.ndarray:
        """Resize to `shape_in` with this spline order."""
        return resize(x, self.shape_in, order)


def resize(x: np.ndarray, shape: Sequence[int], order: int) -> np.ndarray:
    """Resize the spatial axes.

    Args:
        x: [C, *spatial].
        shape: Target spatial shape.
        order: 0 nearest (keeps the dtype), 1 linear, 2 quadratic spline (both return float32).

    Returns:
        [C, *shape]
    """
    axes = [a for a, n in enumerate(shape, start=1) if x.shape[a] != n]
    if order == 0:
        for axis in axes:
            x = np.take(x, _nearest_index(x.shape[axis], shape[axis - 1]), axis=axis)
        return x
    x = np.asarray(x, dtype=np.float32)
    # Axes that shrink most go first, which reduces the work for later axes.
    for axis in sorted(axes, key=lambda a: shape[a - 1] / x.shape[a]):
        x = _resize_axis(x, shape[axis - 1], axis, order)
    return x


def spline_taps(n_in: int, n_out: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """B-spline coefficients that each output sample reads, and their weights.

    Basis functions: Unser, "Splines: a perfect fit for signal and image processing", IEEE SPM 1999.

    Returns:
        Indices and weights, both [order + 1, n_out]; indices mirrored into 0..n_in - 1.
    """
    at = np.linspace(0.0, n_in - 1.0, n_out) if n_out > 1 else np.zeros(1)
    if order == 1:
        first = np.floor(at)
        t = at - first
        weights = np.stack([1 - t, t])
    elif order == 2:
        centre = np.floor(at + 0.5)
        t = at - centre
        first = centre - 1
        weights = np.stack([0.5 * (0.5 - t) ** 2, 0.75 - t**2, 0.5 * (0.5 + t) ** 2])
    else:
        raise ValueError(f"spline order {order}: 1 or 2 expected")
    index = first.astype(np.intp) + np.arange(order + 1)[:, None]
    period = max(2 * (n_in - 1), 1)
    index = np.abs(index) % period
    return np.where(index < n_in, index, period - index), weights


@lru_cache(maxsize=256)
def spline_matrix(n_in: int, n_out: int, order: int) -> np.ndarray:
    """Matrix [n_out, n_in] of the spline zoom along one axis; float32, read-only."""
    coefficients = np.eye(n_in) if order < 2 else spline_filter1d(np.eye(n_in), order, axis=0, mode="mirror")
    index, weights = spline_taps(n_in, n_out, order)
    matrix = np.einsum("ko,koi->oi", weights, coefficients[index]).astype(np.float32)
    matrix.setflags(write=False)
    return matrix


def apply_along_axis(matrix: np.ndarray, x: np.ndarray, axis: int) -> np.ndarray:
    """Multiply `matrix` [m, n] with every line of `x` along `axis` (length n)."""
    # Uses torch rather than numpy: threads of numpy's BLAS keep spinning for a while and slow the network down.
    return multiply_lines(as_tensor(matrix), as_tensor(x), axis).numpy()


def multiply_lines(matrix: torch.Tensor, x: torch.Tensor, axis: int) -> torch.Tensor:
    """`apply_along_axis` for tensors."""
    head, tail = x.shape[:axis], x.shape[axis + 1 :]
    if not tail:
        return torch.matmul(x, matrix.T)
    lines = x.reshape(math.prod(head), x.shape[axis], math.prod(tail))
    return torch.matmul(matrix, lines).reshape(*head, len(matrix), *tail)


@lru_cache(maxsize=64)
def thick_matrix(n: int, count: int) -> np.ndarray:
    """Matrix [n, n] float32 that averages a line of n voxels over `count` equal parts and interpolates the means."""
    edges = np.linspace(0, n, count + 1)
    voxels = np.arange(n)
    covered = np.minimum(edges[1:, None], voxels + 1) - np.maximum(edges[:-1, None], voxels)
    down = np.maximum(covered, 0) * (count / n)
    at = np.clip((voxels + 0.5) * count / n - 0.5, 0, count - 1)
    up = np.maximum(1 - np.abs(at[:, None] - np.arange(count)), 0)
    return (up @ down).astype(np.float32)


def as_tensor(x: np.ndarray) -> torch.Tensor:
    """`x` as a tensor, copied only if read-only (a memory map) or strided: torch shares only writable arrays."""
    # NumPy calls an array contiguous whatever the stride of an axis of one voxel; torch takes none that is negative.
    is_shared = x.flags.c_contiguous and x.flags.writeable and min(x.strides, default=0) >= 0
    return torch.from_numpy(x if is_shared else np.array(x, order="C"))


def _nearest_index(n_in: int, n_out: int) -> np.ndarray:
    at = np.linspace(0.0, n_in - 1.0, n_out) if n_out > 1 else np.zeros(1)
    return np.floor(at + 0.5).astype(np.intp)


def _resize_axis(x: np.ndarray, n_out: int, axis: int, order: int) -> np.ndarray:
    n_in = x.shape[axis]
    if max(n_in, n_out) <= MATRIX_LIMIT:
        return apply_along_axis(spline_matrix(n_in, n_out, order), x, axis)
    if order > 1:
        x = spline_filter1d(x, order, axis=axis, output=np.float32, mode="mirror")
    index, weights = spline_taps(n_in, n_out, order)
    column = (-1,) + (1,) * (x.ndim - axis - 1)
    out = np.take(x, index[0], axis=axis) * weights[0].astype(np.float32).reshape(column)
    for k in range(1, order + 1):
        out += np.take(x, index[k], axis=axis) * weights[k].astype(np.float32).reshape(column)
    return out
