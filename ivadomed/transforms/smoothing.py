"""Smooth random fields: Gaussian-filtered white noise, zero-padded, as in ``scipy.ndimage.gaussian_filter``.

For a large sigma, one number represents the noise of several voxels, whose positions are blurred by the filter anyway.
Short axes are multiplied with matrices: more additions than with a sliding kernel, but ten times as fast on a
processor. Fields with a long axis use one number per voxel and are smoothed in the frequency domain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

CELLS = 2
"""Numbers drawn per sigma along an axis, at most one per voxel. With 2, the standard deviation of the field at a voxel
equals that with one number per voxel, within 0.4% near the border, which truncates the filter, and 1e-8 elsewhere."""

LONG = 192
"""Cells along an axis from which Fourier transforms are faster than matrix products."""


def smooth_field(
    shape: Sequence[int], sigmas: Sequence[float], amplitudes: Sequence[float], rng: np.random.Generator
) -> torch.Tensor:
    """Filter independent uniform noise per voxel and component with a Gaussian truncated at 4 sigma.

    Args:
        shape: Voxels along every axis, n entries.
        sigmas: Standard deviation in voxels along every axis; below 1/8 an axis is not smoothed.
        amplitudes: The noise of each of n components is in [-amplitude, amplitude].
        rng: Random generator.

    Returns:
        [n, *shape] float32
    """
    n = len(shape)
    cells = [cell_count(m, sigma) for m, sigma in zip(shape, sigmas, strict=True)]
    long = max(cells) >= LONG
    field = _noise(shape if long else cells, amplitudes, rng)
    if long:
        for component in field:  # one by one, to save memory
            component.copy_(_by_waves(component, sigmas))
        return field
    for m, k, sigma in zip(shape, cells, sigmas, strict=True):
        field = torch.matmul(field.view(n, k, -1).mT, _spread(sigma, m))  # moves the first axis to the end
    return field.view(n, *shape)


def cell_count(n: int, sigma: float) -> int:
    """Numbers that represent the noise of n voxels in a line."""
    return min(n, math.ceil(CELLS * n / sigma)) if sigma > CELLS else n


def gaussian_kernel(sigma: float) -> np.ndarray:
    """Weights of a Gaussian at voxels up to 4 sigma on either side, with sum 1."""
    reach = kernel_reach(sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    return weights / weights.sum()


def kernel_reach(sigma: float) -> int:
    """Voxels on either side that a Gaussian covers."""
    return int(4 * sigma + 0.5)


@lru_cache(maxsize=4)  # shared by the axes of a square
def _spread(sigma: float, n: int) -> torch.Tensor:
    """Share of each of k cells in n voxels, [k, n] float32."""
    k, reach = cell_count(n, sigma), kernel_reach(sigma)
    width = n / k
    centres = (np.arange(k) + 0.5) * width - 0.5
    distance = (np.arange(n) - centres[:, None]).astype(np.float32)
    weights = np.exp(-0.5 * np.square(distance / np.float32(max(sigma, 1e-9)))) * (np.abs(distance) <= reach)
    # The noise of a cell is the sum over its voxels; its standard deviation grows with the root of their number.
    weights *= np.float32(gaussian_kernel(sigma)[reach] * math.sqrt(width))
    return torch.from_numpy(weights)


def _noise(shape: Sequence[int], amplitudes: Sequence[float], rng: np.random.Generator) -> torch.Tensor:
    """Components of uniform noise, [n, *shape] float32, each in [-amplitude, amplitude]."""
    noise = rng.random((len(amplitudes), *shape), dtype=np.float32)
    noise -= 0.5
    for component, amplitude in zip(noise, amplitudes, strict=True):
        component *= np.float32(2 * amplitude)
    return torch.from_numpy(noise)


def _by_waves(field: torch.Tensor, sigmas: Sequence[float]) -> torch.Tensor:
    sizes, axes = field.shape, list(range(field.ndim))
    # The filter wraps around: pad with at least as many zeros as it reaches. Multiples of 16 are fast to transform.
    padded = [-(-(n + kernel_reach(sigma)) // 16) * 16 for n, sigma in zip(sizes, sigmas, strict=True)]
    waves = torch.fft.rfftn(field, s=padded, dim=axes)
    for axis, n, sigma in zip(axes, padded, sigmas, strict=True):
        waves *= _spectrum(sigma, n)[: waves.shape[axis]].view(-1, *(1,) * (field.ndim - 1 - axis))
    return torch.fft.irfftn(waves, s=padded, dim=axes)[tuple(map(slice, sizes))]


@lru_cache(maxsize=4)
def _spectrum(sigma: float, n: int) -> torch.Tensor:
    """Fourier coefficients [n] float32 of the kernel around position 0 on a circle of n voxels."""
    reach = kernel_reach(sigma)
    circle = np.bincount(np.arange(-reach, reach + 1) % n, gaussian_kernel(sigma), n)
    return torch.from_numpy(np.fft.fft(circle).real.astype(np.float32))
