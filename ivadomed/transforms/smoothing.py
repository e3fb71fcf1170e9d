"""Smooth random fields: white noise through a Gaussian filter, zeros outside, as ``scipy.ndimage.gaussian_filter``.

Where sigma is wide one number stands for the noise of several voxels, whose places the filter blurs anyway. Such short
axes are multiplied with matrices: more additions than a sliding kernel needs, but a processor does them ten times as
fast. Fields with a long axis are made of one number per voxel and smoothed in the frequency domain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

CELLS = 2
"""Numbers drawn per sigma along an axis, at most one per voxel. With 2, the deviation of the field at a voxel is that
which one number per voxel gives, to within 0.4% near the border, which cuts the filter off, and to 1e-8 elsewhere."""

LONG = 192
"""Cells along an axis from which on Fourier transforms are quicker than matrix products."""


def smooth_field(
    shape: Sequence[int], sigmas: Sequence[float], amplitudes: Sequence[float], rng: np.random.Generator
) -> torch.Tensor:
    """Independent uniform noise per voxel and component, through a Gaussian filter cut at 4 sigma.

    Args:
        shape: Voxels along every axis, n entries.
        sigmas: Standard deviation in voxels along every axis; below 1/8 an axis is not smoothed.
        amplitudes: The noise of each of n components is in [-amplitude, amplitude].
        rng: Source of the noise.

    Returns:
        [n, *shape] float32
    """
    n = len(shape)
    cells = [cell_count(m, sigma) for m, sigma in zip(shape, sigmas, strict=True)]
    long = max(cells) >= LONG
    field = _noise(shape if long else cells, amplitudes, rng)
    if long:
        for component in field:  # one by one, to hold less at a time
            component.copy_(_by_waves(component, sigmas))
        return field
    for m, k, sigma in zip(shape, cells, sigmas, strict=True):
        field = torch.matmul(field.view(n, k, -1).mT, _spread(sigma, m))  # the first axis becomes the last
    return field.view(n, *shape)


def cell_count(n: int, sigma: float) -> int:
    """Numbers that stand for the noise of n voxels in a line."""
    return min(n, math.ceil(CELLS * n / sigma)) if sigma > CELLS else n


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Weights of a Gaussian at the voxels up to 4 sigma on either side, sum 1."""
    reach = kernel_reach(sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    return weights / weights.sum()


def kernel_reach(sigma: float) -> int:
    """Voxels on either side that a Gaussian takes in."""
    return int(4 * sigma + 0.5)


@lru_cache(maxsize=4)  # the axes of a square share theirs
def _spread(sigma: float, n: int) -> torch.Tensor:
    """Share of each of k cells in n voxels, [k, n] float32."""
    k, reach = cell_count(n, sigma), kernel_reach(sigma)
    width = n / k
    centres = (np.arange(k) + 0.5) * width - 0.5
    distance = (np.arange(n) - centres[:, None]).astype(np.float32)
    weights = np.exp(-0.5 * np.square(distance / np.float32(max(sigma, 1e-9)))) * (np.abs(distance) <= reach)
    # The noise of a cell is the sum of that of its voxels, the deviation of which is the root of their number.
    weights *= np.float32(gaussian_kernel(sigma)[reach] * math.sqrt(width))
    return torch.from_numpy(weights)


def _noise(shape: Sequence[int], amplitudes: Sequence[float], rng: np.random.Generator) -> torch.Tensor:
    """Components of uniform noise, each in [-amplitude, amplitude], [n, *shape] float32."""
    noise = rng.random((len(amplitudes), *shape), dtype=np.float32)
    noise -= 0.5
    for component, amplitude in zip(noise, amplitudes, strict=True):
        component *= np.float32(2 * amplitude)
    return torch.from_numpy(noise)


def _by_waves(field: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    sizes, axes = field.shape, list(range(field.ndim))
    # The filter wraps round: at least as many zeros as it reaches lie between the end and the beginning. Multiples of
    # 16 are quick to transform.
    padded = [-(-(n + kernel_reach(sigma)) // 16) * 16 for n, sigma in zip(sizes, sigmas, strict=True)]
    waves = torch.fft.rfftn(field, s=padded, dim=axes)
    for axis, n, sigma in zip(axes, padded, sigmas, strict=True):
        waves *= _spectrum(sigma, n)[: waves.shape[axis]].view(-1, *(1,) * (field.ndim - 1 - axis))
    return torch.fft.irfftn(waves, s=padded, dim=axes)[tuple(map(slice, sizes))]


@lru_cache(maxsize=4)
def _spectrum(sigma: float, n: int) -> torch.Tensor:
    """Fourier coefficients [n] float32 of the kernel around place 0 of a circle of n voxels."""
    reach = kernel_reach(sigma)
    circle = np.bincount(np.arange(-reach, reach + 1) % n, gaussian_kernel(sigma), n)
    return torch.from_numpy(np.fft.fft(circle).real.astype(np.float32))
