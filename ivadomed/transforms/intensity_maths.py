"""Intensity changes as pure functions; each leading entry of [C, *spatial] is treated on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.ndimage import gaussian_filter1d

_EPS = float(np.finfo(np.float32).eps)


def normalize(x: np.ndarray) -> np.ndarray:
    """Subtract the mean and divide by the standard deviation; a constant entry becomes zero."""
    x = np.asarray(x, dtype=np.float32)
    out = np.empty_like(x)
    for entry, target in zip(x, out, strict=True):
        mean = entry.sum() / np.float32(entry.size)
        np.subtract(entry, mean, out=target)
        deviation = math.sqrt(np.square(target).sum() / entry.size)
        # Rounding leaves a constant image with a deviation of about eps times its value, not with 0.
        target *= np.float32(0 if deviation <= 8 * _EPS * abs(float(mean)) else 1 / deviation)
    return out


def normalize_foreground(x: np.ndarray) -> np.ndarray:
    """Normalize every entry by mean and deviation of its foreground, see `foreground`."""
    x = np.asarray(x, dtype=np.float32)
    out = np.empty_like(x)
    for entry, target in zip(x, out, strict=True):
        voxels = foreground(entry)
        mean, deviation = float(voxels.mean()), float(voxels.std())
        if deviation <= 8 * _EPS * abs(mean):
            target[...] = normalize(entry[None])[0]
        else:
            np.subtract(entry, np.float32(mean), out=target)
            target *= np.float32(1 / deviation)
    return out


def foreground(entry: np.ndarray) -> np.ndarray:
    """The voxels above the mean; all of them where none is above it."""
    above = entry[entry > entry.mean()]
    return above if above.size else entry.ravel()


def scale_percentiles(x: np.ndarray, low: float, high: float, foreground_only: bool) -> np.ndarray:
    """Scale every entry so that its percentiles `low` and `high` become 0 and 1, and clip to that range."""
    x = np.asarray(x, dtype=np.float32)
    out = np.empty_like(x)
    for entry, target in zip(x, out, strict=True):
        voxels = foreground(entry) if foreground_only else entry
        lower, upper = (float(v) for v in np.percentile(voxels, (low, high)))
        if lower == upper:
            lower, upper = float(entry.min()), float(entry.max())
        np.subtract(entry, np.float32(lower), out=target)
        target *= np.float32(1 / (upper - lower)) if upper > lower else np.float32(0)
        np.clip(target, 0, 1, out=target)
    return out


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
    """Scale every entry from its range to [0, 1], raise it to a power, and scale back; a constant entry stays.

    A power of raw intensities leaves float32 (65535 to the fifth is more than it holds), and a power of numbers about
    0 with their signs, which ivadomed 2.9.10 took, bends both sides away from 0.
    """
    x = np.asarray(x, dtype=np.float32)
    out = np.empty_like(x)
    for entry, target in zip(x, out, strict=True):
        low, high = entry.min(), entry.max()
        np.subtract(entry, low, out=target)
        if high > low:
            target /= high - low
            np.power(target, np.float32(exponent), out=target)
            target *= high - low
        target += low
        np.clip(target, low, high, out=target)  # of rounding
    return out


def brighten(x: np.ndarray, factor: float) -> np.ndarray:
    """Multiply by a number."""
    return np.asarray(x, dtype=np.float32) * np.float32(factor)


def stretch_contrast(x: np.ndarray, factor: float, keep_range: bool) -> np.ndarray:
    """Multiply the distance from the entry's mean; clip to the entry's old minimum and maximum if `keep_range`."""
    x = np.asarray(x, dtype=np.float32)
    axes = tuple(range(1, x.ndim))
    mean = x.mean(axis=axes, keepdims=True)
    out = x - mean
    out *= np.float32(factor)
    out += mean
    if keep_range:
        np.clip(out, x.min(axis=axes, keepdims=True), x.max(axis=axes, keepdims=True), out=out)
    return out


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
