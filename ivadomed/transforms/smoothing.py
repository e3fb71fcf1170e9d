"""Gaussian smoothing of displacement fields, zeros outside, as ``scipy.ndimage.gaussian_filter(mode="constant")``.

A short axis is multiplied with the matrix that has the kernel around its diagonal: more additions than a sliding kernel
needs, but a processor does them ten times as fast. Fields with a long axis are smoothed in the frequency domain.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

LONG = 192
"""Voxels of an axis from which on Fourier transforms are quicker than matrix products."""

LARGE = 1 << 18
"""Voxels from which on the components of a field are smoothed one by one, to hold less at a time."""


def smooth_field(field: torch.Tensor, sigmas: tuple[float, ...]) -> torch.Tensor:
    """Gaussian filter over the spatial axes, cut at 4 sigma.

    Args:
        field: [n, *spatial] float32, n spatial axes; overwritten where it is large.
        sigmas: Standard deviation in voxels along every spatial axis; below 1/8 an axis stays as it is.

    Returns:
        [n, *spatial]
    """
    smooth = _by_waves if max(field.shape) >= LONG else _by_products
    if field[0].numel() < LARGE:
        return smooth(field, sigmas)
    for component in field.split(1):
        component.copy_(smooth(component, sigmas))
    return field


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Weights of a Gaussian at the voxels up to 4 sigma on either side, sum 1."""
    reach = kernel_reach(sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    return weights / weights.sum()


def kernel_reach(sigma: float) -> int:
    """Voxels on either side that a Gaussian takes in."""
    return int(4 * sigma + 0.5)


def _by_products(field: torch.Tensor, sigmas: tuple[float, ...]) -> torch.Tensor:
    for axis, sigma in enumerate(sigmas, start=1):
        if kernel_reach(sigma):
            field = _multiply(_band(sigma, field.shape[axis]), field, axis)
    return field


@lru_cache(maxsize=4)  # the axes of a square, and the components of a large field, share theirs
def _band(sigma: float, n: int) -> torch.Tensor:
    """Matrix [n, n] float32 with the kernel around its diagonal."""
    reach = kernel_reach(sigma)
    diagonals = np.zeros(2 * (n + reach) - 1, np.float32)
    diagonals[n - 1 : n + 2 * reach] = gaussian_kernel(sigma)
    # Row i begins i places further to the left.
    first, step = (n - 1 + reach) * diagonals.itemsize, diagonals.itemsize
    rows = np.ndarray((n, n), np.float32, diagonals.data, first, (-step, step))
    return torch.from_numpy(rows.copy())


def _multiply(matrix: torch.Tensor, x: torch.Tensor, axis: int) -> torch.Tensor:
    """Multiply a matrix [n, n] with every line of `x` along `axis`."""
    behind = x.ndim - 1 - axis
    if behind == 0:
        return torch.matmul(x, matrix.T)
    if behind == 1:
        return torch.matmul(matrix, x)
    return torch.matmul(matrix, x.flatten(axis + 1)).view_as(x)


def _by_waves(field: torch.Tensor, sigmas: tuple[float, ...]) -> torch.Tensor:
    sizes, axes = field.shape[1:], list(range(1, field.ndim))
    # The filter wraps round: at least as many zeros as it reaches lie between the end and the beginning. Multiples of
    # 16 are quick to transform.
    padded = [-(-(n + kernel_reach(sigma)) // 16) * 16 for n, sigma in zip(sizes, sigmas, strict=True)]
    waves = torch.fft.rfftn(field, s=padded, dim=axes)
    for axis, n, sigma in zip(axes, padded, sigmas, strict=True):
        waves *= _spectrum(sigma, n)[: waves.shape[axis]].view(-1, *(1,) * (field.ndim - 1 - axis))
    smooth = torch.fft.irfftn(waves, s=padded, dim=axes)
    return smooth[(slice(None), *map(slice, sizes))].contiguous()


@lru_cache(maxsize=4)
def _spectrum(sigma: float, n: int) -> torch.Tensor:
    """Fourier coefficients [n] float32 of the kernel around place 0 of a circle of n voxels."""
    reach = kernel_reach(sigma)
    circle = np.bincount(np.arange(-reach, reach + 1) % n, gaussian_kernel(sigma), n)
    return torch.from_numpy(np.fft.fft(circle).real.astype(np.float32))
