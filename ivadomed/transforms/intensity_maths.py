"""Intensity changes as pure functions of batches `[B, C, *spatial]`, arrays or tensors on any device.

Each entry `[*spatial]` is treated on its own. Other arguments are lists with a value per sample; a batch of
one, as a sample is, takes its value as a plain number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ivadomed.transforms.resampling import as_tensor, multiply_lines, thick_matrix
from ivadomed.transforms.smoothing import gaussian_kernel, kernel_reach

Batch: TypeAlias = Any
"""An array or a tensor: what is computed with here, both have under the same names."""

_EPS = float(np.finfo(np.float32).eps)


def normalize(x: Batch) -> Batch:
    """Subtract the mean and divide by the standard deviation; a constant entry becomes zero."""
    flat = _flat(x)
    mean = _mean(flat)
    centred = flat - mean
    return _divided(centred, mean, _mean(centred**2) ** 0.5).reshape(x.shape)


def normalize_foreground(x: Batch) -> Batch:
    """Normalize every entry by mean and deviation of its foreground.

    These are the voxels above the mean, or all where those have one value.
    """
    flat = _flat(x)
    whole = _mean(flat)
    inside = flat > whole
    count = inside.sum(-1, keepdims=True, dtype=flat.dtype)
    count += count == 0
    mean = (flat * inside).sum(-1, keepdims=True) / count
    deviation = (((flat - mean) ** 2 * inside).sum(-1, keepdims=True) / count) ** 0.5
    single = _is_constant(mean, deviation)
    mean = mean * ~single + whole * single
    centred = flat - mean
    deviation = deviation * ~single + _mean(centred**2) ** 0.5 * single
    return _divided(centred, mean, deviation).reshape(x.shape)


def clip_and_standardize(
    x: Batch, low: Sequence[float], high: Sequence[float], mean: Sequence[float], std: Sequence[float]
) -> Batch:
    """Clip to bounds, subtract a mean and divide by a standard deviation; the numbers are the same for all samples."""
    return (x.clip(low[0], high[0]) - mean[0]) / std[0]


def clip_percentiles(x: Batch, low: Sequence[float], high: Sequence[float]) -> Batch:
    """Clip every entry to its own percentiles `low` and `high`, 0..100, linearly interpolated."""
    flat = _flat(x)
    return flat.clip(*_percentiles(flat, low, high)).reshape(x.shape)


def add(x: Batch, offset: Sequence[float]) -> Batch:
    """Add a number."""
    return x + _column(offset, x)


def blank(x: Batch, channels: Sequence[Sequence[int]]) -> Batch:
    """Set some channels to zero."""
    out = x.clone() if isinstance(x, Tensor) else x.copy()
    for entry, blanked in zip(out, channels, strict=True):
        for channel in blanked:
            entry[channel] = 0
    return out


def add_noise(x: Batch, mean: Sequence[float], std: Sequence[float], seed: Sequence[int]) -> Batch:
    """Add Gaussian noise, independent in every voxel and entry; a seed means the same noise on every device."""
    noise = np.stack([np.random.default_rng(s).standard_normal(x.shape[1:], dtype=np.float32) for s in seed])
    noise *= _column(std, noise)
    noise += _column(mean, noise)
    out = _like(noise, x)
    out += x
    return out


def gamma(x: Batch, exponent: Sequence[float], inverted: Sequence[bool] = ()) -> Batch:
    """Scale every entry from its range to [0, 1], raise it to a power, and scale back; a constant entry stays.

    Where `inverted`, the power is taken of the distance from 1, as nnU-Net does with the negative of an image.

    A power of raw intensities leaves float32 (65535 to the fifth is more than it holds), and a power of numbers about
    0 with their signs, which ivadomed 2.9.10 took, bends both sides away from 0.
    """
    flat = _flat(x)
    low, high = _range(flat)
    span = high - low
    out = flat - low
    out /= span + (span == 0)
    turned = _places(np.flatnonzero(inverted), flat)
    out[turned] = 1 - out[turned]
    out **= _column(exponent, flat)
    out[turned] = 1 - out[turned]
    out *= span
    out += low
    return _clip(out, low, high).reshape(x.shape)  # of rounding


def brighten(x: Batch, factor: Sequence[float]) -> Batch:
    """Multiply by a number."""
    return x * _column(factor, x)


def stretch_contrast(x: Batch, factor: Sequence[float], keep_range: Sequence[bool]) -> Batch:
    """Multiply the distance from the entry's mean; clip to the old minimum and maximum if `keep_range`, one for all."""
    flat = _flat(x)
    mean = _mean(flat)
    out = flat - mean
    out *= _column(factor, flat)
    out += mean
    return (_clip(out, *_range(flat)) if keep_range[0] else out).reshape(x.shape)


def lower_resolution(x: Batch, counts: Sequence[Sequence[int]]) -> Batch:
    """Bring every spatial axis to a number of thick voxels, at most as many as there are voxels, and back.

    Args:
        x: [B, C, *spatial].
        counts: Thick voxels per spatial axis, for every sample.
    """
    out = []
    for entry, per_axis in zip(x if isinstance(x, Tensor) else as_tensor(x), counts, strict=True):
        for axis, (n, count) in enumerate(zip(entry.shape[1:], per_axis, strict=True), start=1):
            if count < n:
                matrix = _like(thick_matrix(n, count), entry)
                entry = multiply_lines(matrix, entry, axis)
        out.append(entry)
    together = torch.stack(out) if len(out) > 1 else out[0][None]
    return together if isinstance(x, Tensor) else together.numpy()


def blur(x: Batch, sigmas: Sequence[Sequence[float]]) -> Batch:
    """Gaussian filter, one standard deviation (voxels) per spatial axis, mirrored at the edges, cut at 4 of them."""
    for axis, per_sample in enumerate(zip(*sigmas, strict=True), start=2):
        if x.shape[axis] > 1:
            x = _blur_axis(x, per_sample, axis)
    return x


def monomials(n: int, order: int) -> list[tuple[int, ...]]:
    """Exponents of the monomials of `n` variables up to a total degree, constant first."""
    return [e for e in product(range(order + 1), repeat=n) if sum(e) <= order]


def multiply_bias(x: Batch, order: Sequence[int], coefficients: Sequence[Sequence[float]]) -> Batch:
    """Multiply with exp(polynomial) over coordinates in [-1, 1].

    Van Leemput et al., "Automated model-based bias field correction of MR images of the brain",
    IEEE TMI 18(10), 1999.

    Args:
        x: [B, C, *spatial].
        order: Degree of the polynomial, one for all samples.
        coefficients: One per entry of `monomials`, for every sample.
    """
    shape, degree = x.shape[2:], order[0]
    table: Any = np.zeros((len(x), *(degree + 1,) * len(shape)))
    for exponents, values in zip(monomials(len(shape), degree), np.transpose(coefficients), strict=True):
        table[(slice(None), *exponents)] = values
    field = _like(table, x)
    # Horner by axis: [B, e1, e2, ...] -> [B, n1, e2, ...] -> ... instead of one volume per monomial.
    for axis, n in enumerate(shape, start=1):
        powers = np.vander(np.linspace(-1, 1, n), degree + 1, increasing=True)
        field = (field.swapaxes(axis, -1) @ _like(powers.T, x)).swapaxes(axis, -1)
    field = field.exp() if isinstance(field, Tensor) else np.exp(field, dtype=np.float32, casting="same_kind")
    return x * field[:, None]


def scale_percentiles(x: np.ndarray, low: float, high: float, foreground_only: bool) -> np.ndarray:
    """Scale every entry of `[C, *spatial]` so that two percentiles become 0 and 1, and clip to that range.

    With `foreground_only` they are those of the voxels above the mean.
    """
    x = np.asarray(x, dtype=np.float32)
    out = np.empty_like(x)
    for entry, target in zip(x, out, strict=True):
        above = entry[entry > entry.mean()] if foreground_only else entry
        lower, upper = (float(v) for v in np.percentile(above if above.size else entry, (low, high)))
        if lower == upper:
            lower, upper = float(entry.min()), float(entry.max())
        np.subtract(entry, np.float32(lower), out=target)
        target *= np.float32(1 / (upper - lower)) if upper > lower else np.float32(0)
        np.clip(target, 0, 1, out=target)
    return out


def equalize_adaptive(x: np.ndarray, clip_limit: float, kernel_size: Sequence[int]) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation of `[C, *spatial]` to [0, 1]; a constant entry becomes zero."""
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


def _flat(x: Batch) -> Batch:
    return x.reshape(*x.shape[:2], -1)


def _range(flat: Batch) -> tuple[Batch, Batch]:
    """Minimum and maximum of every entry, [B, C, 1]."""
    if isinstance(flat, Tensor):
        return torch.aminmax(flat, dim=-1, keepdim=True)
    return flat.min(-1, keepdims=True), flat.max(-1, keepdims=True)


def _mean(flat: Batch) -> Batch:
    return flat.sum(-1, keepdims=True) / flat.shape[-1]


def _clip(x: Batch, low: Batch, high: Batch) -> Batch:
    """Clip in place."""
    return x.clamp_(low, high) if isinstance(x, Tensor) else np.clip(x, low, high, out=x)


def _is_constant(mean: Any, deviation: Any) -> Any:
    # Rounding leaves a constant image with a deviation of about eps times its value, not with 0.
    return deviation <= 8 * _EPS * abs(mean)


def _divided(centred: Batch, mean: Batch, deviation: Batch) -> Batch:
    """Divide by the deviation, in place; what is constant becomes zero."""
    constant = _is_constant(mean, deviation)
    if isinstance(deviation, Tensor):
        deviation.masked_fill_(constant, np.inf)
    else:
        deviation[constant] = np.inf
    centred *= 1 / deviation
    return centred


def _percentiles(flat: Batch, *percents: Sequence[float]) -> Sequence[Batch]:
    """Percentiles of [B, C, N], linearly interpolated, each [B, C, 1]."""
    if isinstance(flat, np.ndarray):
        rows = [
            np.percentile(row, p, axis=-1, keepdims=True) for row, *p in zip(flat, *percents, strict=True)
        ]
        return list(np.stack(rows, axis=1).astype(flat.dtype))
    ordered = flat.sort(dim=-1).values
    found = []
    for percent in percents:
        at = np.asarray(percent, np.float64) / 100 * (flat.shape[-1] - 1)
        ends = np.stack([np.floor(at), np.ceil(at)], axis=1).astype(np.int64)
        index = _places(ends, flat)[:, None].expand(-1, flat.shape[1], -1)
        lower, upper = ordered.gather(2, index).split(1, dim=2)
        found.append(lower + (upper - lower) * _column(at - ends[:, 0], flat))
    return found


def _column(values: Any, x: Any) -> Any:
    """One value per sample, shaped to be combined with `x`; a single one as it is."""
    if len(values) == 1:
        return float(values[0])
    return _like(np.asarray(values, np.float32).reshape(-1, *(1,) * (x.ndim - 1)), x)


def _like(values: np.ndarray, x: Batch) -> Batch:
    """An array of the kind of `x`, on its device."""
    if not isinstance(x, Tensor):
        return values
    # A GPU that is behind with its work is not waited for.
    return torch.from_numpy(values).to(x.device, x.dtype, non_blocking=True)


def _places(indices: np.ndarray, x: Batch) -> Batch:
    """Indices into `x`, on its device."""
    if not isinstance(x, Tensor):
        return indices
    return torch.from_numpy(indices).to(x.device, torch.int64, non_blocking=True)


def _blur_axis(x: Batch, sigmas: Sequence[float], axis: int) -> Batch:
    """Sum of shifted copies: no kernel of the backend comes with one set of weights per sample and any axis."""
    n, widest = x.shape[axis], max(map(kernel_reach, sigmas))
    if widest == 0:
        return x
    weights = np.stack([np.pad(w, widest - len(w) // 2) for w in map(gaussian_kernel, sigmas)])
    mirrored = np.pad(np.arange(n), widest, mode="symmetric")
    lead = (slice(None),) * axis
    padded = x[(*lead, _places(mirrored, x))]
    out = padded[(*lead, slice(widest, widest + n))] * _column(weights[:, widest], x)
    for k in range(widest):
        pair = padded[(*lead, slice(k, k + n))] + padded[(*lead, slice(2 * widest - k, 2 * widest - k + n))]
        pair *= _column(weights[:, k], x)
        out += pair
    return out
