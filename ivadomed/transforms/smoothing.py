"""Gaussian smoothing of displacement fields, zeros outside.

Short axes are smoothed by matrix products: half of the smoothing (variance sigma^2 / 2) goes onto a coarse line of
points, the other half back, by one matrix D and its transpose; ``D.T @ D`` is the Gaussian filter. The sum over points
0.6 sigma apart is the integral that convolves the two halves to within 3e-6 of the kernel's height, so nothing is lost
on the way, and in between there is less to multiply: all axes go down before the first comes up again. Where an axis
is long, the field is smoothed in the frequency domain.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

SPACING = 0.6
"""Distance of the coarse points, in sigma."""

LONG = 192
"""Voxels of an axis from which on Fourier transforms are quicker than matrix products."""

LARGE = 1 << 18
"""Voxels from which on the components of a field are smoothed one by one, to hold less at a time."""


@torch.inference_mode()
def smooth_field(field: torch.Tensor, sigmas: tuple[float, ...]) -> torch.Tensor:
    """Gaussian filter over the spatial axes, in place.

    Args:
        field: [n, *spatial] float32, n spatial axes.
        sigmas: Standard deviation in voxels along every spatial axis; an axis with 0 stays as it is.

    Returns:
        `field`
    """
    if not any(sigmas):
        return field
    smooth = _by_waves if max(field.shape) >= LONG else _by_products
    for part in field.split(1 if field[0].numel() > LARGE else len(field)):
        part.copy_(smooth(part, sigmas))
    return field


def _by_products(field: torch.Tensor, sigmas: tuple[float, ...]) -> torch.Tensor:
    back: list[tuple[int, torch.Tensor]] = []
    for axis, sigma in enumerate(sigmas, start=1):
        if sigma > 0:
            down, *up = line_filter(field.shape[axis], sigma)
            field = _multiply(down, field, axis)
            back += [(axis, matrix) for matrix in up]
    for axis, matrix in reversed(back):
        field = _multiply(matrix, field, axis)
    return field


@lru_cache(maxsize=4)  # the axes of a square, and the components of a large field, share theirs
def line_filter(n: int, sigma: float) -> tuple[torch.Tensor, ...]:
    """Matrices that filter a line of n voxels when multiplied with it one after the other, float32.

    Returns:
        D [m, n] and its transpose, or one matrix [n, n] where m would not be below n.
    """
    step, margin = SPACING * sigma, 3 * sigma
    points = math.ceil((n - 1 + 2 * margin) / step) + 1
    voxels = np.arange(n, dtype=np.float32)
    if points >= n:
        weights = _bell((voxels[:, None] - voxels) * np.float32(1 / sigma))
        weights *= np.float32(1 / gaussian_kernel(sigma).sum())
        return (torch.from_numpy(weights),)
    places = np.arange(points, dtype=np.float32) * np.float32(step) - np.float32(margin)
    half = _bell((places[:, None] - voxels) * np.float32(math.sqrt(2) / sigma))
    # Over the points, the product of two halves sums to sigma sqrt(pi / 2) / step times the Gaussian of their
    # distance, and that over the voxels to sigma sqrt(2 pi).
    half *= np.float32(math.sqrt(step / math.pi) / sigma)
    down = torch.from_numpy(half)
    return down, down.T


def _bell(distance: np.ndarray) -> np.ndarray:
    """``exp(-distance^2 / 2)``, in place."""
    distance *= distance
    distance *= np.float32(-0.5)
    # Not below 1e-13: numbers so small that they are denormal take a processor a hundred times as long.
    np.maximum(distance, np.float32(-30), out=distance)
    return np.exp(distance, out=distance)


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Heights of a Gaussian at whole voxels up to 6 sigma, of odd length."""
    reach = math.ceil(6 * sigma)
    return np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)


def _by_waves(field: torch.Tensor, sigmas: tuple[float, ...]) -> torch.Tensor:
    sizes = field.shape[1:]
    kernels = [gaussian_kernel(sigma) if sigma > 0 else np.ones(1) for sigma in sigmas]
    # The filter wraps round: at least as many zeros as it reaches lie between the end and the beginning. Multiples of
    # 16 are quick to transform.
    padded = [-(-(n + len(k) // 2) // 16) * 16 for n, k in zip(sizes, kernels, strict=True)]
    axes = list(range(1, field.ndim))
    waves = torch.fft.rfftn(field, s=padded, dim=axes)
    for axis, (n, kernel) in zip(axes, zip(padded, kernels, strict=True), strict=True):
        waves *= _spectrum(kernel, n)[: waves.shape[axis]].view(-1, *(1,) * (field.ndim - 1 - axis))
    smooth = torch.fft.irfftn(waves, s=padded, dim=axes)
    return smooth[(slice(None), *map(slice, sizes))]


def _spectrum(kernel: np.ndarray, n: int) -> torch.Tensor:
    """Fourier coefficients [n] float32 of an even kernel, scaled to the sum 1, around place 0 of a circle."""
    reach = len(kernel) // 2
    circle = np.bincount(np.arange(-reach, reach + 1) % n, kernel / kernel.sum(), n)
    return torch.from_numpy(np.fft.fft(circle).real.astype(np.float32))


def _multiply(matrix: torch.Tensor, x: torch.Tensor, axis: int) -> torch.Tensor:
    """Multiply a matrix [m, n] with every line of `x` along `axis` (length n)."""
    if axis == x.ndim - 1:
        return torch.matmul(x, matrix.T)
    head, tail = x.shape[:axis], x.shape[axis + 1 :]
    lines = x.view(head.numel(), x.shape[axis], tail.numel())
    return torch.matmul(matrix, lines).view(*head, len(matrix), *tail)
