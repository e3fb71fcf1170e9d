"""Intensity changes as pure functions; each leading entry of [C, *spatial] is treated on its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.ndimage import gaussian_filter1d


def normalize(x: np.ndarray) -> np.ndarray:
    """Subtract the mean and divide by the standard deviation; a constant entry becomes zero."""
    x = np.asarray(x, dtype=np.float32)
    lines = x.reshape(len(x), -1)
    mean = lines.mean(axis=1, keepdims=True)
    centred = lines - mean
    std = np.sqrt(np.square(centred).mean(axis=1, keepdims=True))
    # Rounding leaves a constant image with a deviation of about eps times its value, not with 0.
    constant = std <= 8 * np.finfo(np.float32).eps * np.abs(mean)
    centred /= np.where(constant, 1, std)
    if constant.any():
        centred[constant[:, 0]] = 0
    return centred.reshape(x.shape)


def clip_percentiles(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Clip every entry to its own percentiles `low` and `high`, 0..100, linearly interpolated."""
    x = np.asarray(x, dtype=np.float32)
    limits = np.percentile(x.reshape(len(x), -1), (low, high), axis=1)
    lower, upper = limits.astype(np.float32).reshape(2, -1, *(1,) * (x.ndim - 1))
    return np.clip(x, lower, upper)


def equalize_adaptive(x: np.ndarray, clip_limit: float, kernel_size: Sequence[int]) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation to [0, 1]; a constant entry becomes zero."""
    from skimage.exposure import equalize_adapthist  # only this transform needs scikit-image

    out = np.zeros(x.shape, np.float32)
    for entry, target in zip(x, out, strict=True):
        low, high = entry.min(), entry.max()
        if low == high:
            continue
        if low < -1 or high > 1 or entry.dtype.kind != "f":  # the range scikit-image takes
            entry = (entry - np.float32(low)) / (np.float32(high) - np.float32(low))
        target[...] = equalize_adapthist(entry, kernel_size=tuple(kernel_size), clip_limit=clip_limit)
    return out


def add(x: np.ndarray, offset: float) -> np.ndarray:
    """Add a number."""
    return np.asarray(x, dtype=np.float32) + np.float32(offset)


def blank(x: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Set some channels to zero."""
    out = np.array(x, dtype=np.float32)
    out[list(channels)] = 0
    return out


def add_noise(x: np.ndarray, mean: float, std: float, seed: int) -> np.ndarray:
    """Add Gaussian noise, independent in every voxel and entry, determined by `seed`."""
    noise = np.random.default_rng(seed).standard_normal(x.shape, dtype=np.float32)
    noise *= np.float32(std)
    noise += np.float32(mean)
    noise += x
    return noise


def gamma(x: np.ndarray, exponent: float) -> np.ndarray:
    """Raise magnitudes to a power and keep the signs."""
    x = np.asarray(x, dtype=np.float32)
    return np.sign(x) * np.abs(x) ** np.float32(exponent)


def blur(x: np.ndarray, sigmas: Sequence[float]) -> np.ndarray:
    """Gaussian filter, one standard deviation (voxels) per spatial axis, mirrored at the edges."""
    x = np.asarray(x, dtype=np.float32)
    for axis, sigma in enumerate(sigmas, start=1):
        if sigma > 0 and x.shape[axis] > 1:
            x = gaussian_filter1d(x, sigma, axis=axis, mode="reflect")
    return x


def monomials(n: int, order: int) -> list[tuple[int, ...]]:
    """Exponents of the monomials of `n` variables up to a total degree, constant first."""
    return [e for e in product(range(order + 1), repeat=n) if sum(e) <= order]


def multiply_bias(x: np.ndarray, order: int, coefficients: Sequence[float]) -> np.ndarray:
    """Multiply with exp(polynomial) over coordinates in [-1, 1].

    Van Leemput et al., "Automated model-based bias field correction of MR images of the brain",
    IEEE TMI 18(10), 1999.

    Args:
        x: [C, *spatial].
        order: Degree of the polynomial.
        coefficients: One per entry of `monomials`.
    """
    shape = x.shape[1:]
    powers = [np.vander(np.linspace(-1, 1, n), order + 1, increasing=True).T for n in shape]
    table = np.zeros((order + 1,) * len(shape))
    for exponents, value in zip(monomials(len(shape), order), coefficients, strict=True):
        table[exponents] = value
    # Horner by axis: [e1, e2, ...] -> [n1, e2, ...] -> ... instead of one volume per monomial.
    for power in powers:
        table = np.tensordot(table, power, axes=(0, 0))
    return np.asarray(x, dtype=np.float32) * np.exp(table, dtype=np.float32, casting="same_kind")
