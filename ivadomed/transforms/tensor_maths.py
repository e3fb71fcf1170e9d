"""The functions of `intensity_maths` and `resolution` on a batch of tensors, on whatever device it lies.

Every argument but the batch [B, C, *spatial] is a list with one entry per sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivadomed.transforms import intensity_maths as maths
from ivadomed.transforms import resolution
from ivadomed.transforms.resolution import thick_matrix


def normalize(x: Tensor) -> Tensor:
    """See `intensity_maths.normalize`."""
    axes = tuple(range(2, x.ndim))
    mean = x.mean(axes, keepdim=True)
    centred = x - mean
    std = centred.square().mean(axes, keepdim=True).sqrt()
    constant = std <= 8 * torch.finfo(x.dtype).eps * mean.abs()
    return (centred / std).masked_fill_(constant, 0)


def clip_percentiles(x: Tensor, low: Sequence[float], high: Sequence[float]) -> Tensor:
    """See `intensity_maths.clip_percentiles`."""
    ordered = x.flatten(2).sort(dim=2).values
    limits = [
        _percentile(ordered, values).reshape(*x.shape[:2], *(1,) * (x.ndim - 2)) for values in (low, high)
    ]
    return x.clamp(*limits)


def add(x: Tensor, offset: Sequence[float]) -> Tensor:
    """See `intensity_maths.add`."""
    return x + _column(offset, x)


def add_noise(x: Tensor, mean: Sequence[float], std: Sequence[float], seed: Sequence[int]) -> Tensor:
    """See `intensity_maths.add_noise`; drawn by the CPU, so that a seed means the same noise everywhere."""
    shape = x.shape[1:]
    noise = np.stack([np.random.default_rng(s).standard_normal(shape, dtype=np.float32) for s in seed])
    return x + (torch.from_numpy(noise).to(x.device) * _column(std, x) + _column(mean, x))


def gamma(x: Tensor, exponent: Sequence[float]) -> Tensor:
    """See `intensity_maths.gamma`."""
    axes = tuple(range(2, x.ndim))
    low, high = x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)
    span = (high - low).masked_fill(high == low, 1)
    powered = ((x - low) / span) ** _column(exponent, x)
    return torch.minimum(torch.maximum(powered * span + low, low), high)


def brighten(x: Tensor, factor: Sequence[float]) -> Tensor:
    """See `intensity_maths.brighten`."""
    return x * _column(factor, x)


def stretch_contrast(x: Tensor, factor: Sequence[float], keep_range: Sequence[bool]) -> Tensor:
    """See `intensity_maths.stretch_contrast`; the range is kept for all samples or for none."""
    axes = tuple(range(2, x.ndim))
    mean = x.mean(axes, keepdim=True)
    out = (x - mean) * _column(factor, x) + mean
    return out.clamp(x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)) if keep_range[0] else out


def normalize_foreground(x: Tensor) -> Tensor:
    """See `intensity_maths.normalize_foreground`."""
    axes = tuple(range(2, x.ndim))
    inside = x > x.mean(axes, keepdim=True)
    count = inside.sum(axes, keepdim=True).clamp(min=1)
    mean = torch.where(inside, x, 0).sum(axes, keepdim=True) / count
    centred = x - mean
    deviation = (torch.where(inside, centred, 0).square().sum(axes, keepdim=True) / count).sqrt()
    single = deviation <= 8 * torch.finfo(x.dtype).eps * mean.abs()
    return torch.where(single, normalize(x), centred / deviation)


def lower_resolution(x: Tensor, counts: Sequence[Sequence[int]]) -> Tensor:
    """See `resolution.lower_resolution`."""
    for axis, per_sample in enumerate(zip(*counts, strict=True), start=2):
        n = x.shape[axis]
        if any(count < n for count in per_sample):
            matrices = torch.from_numpy(np.stack([thick_matrix(n, count) for count in per_sample]))
            lines = x.movedim(axis, -1)
            # [B, ..., n] times the transposed matrix of each sample.
            turned = matrices.to(x.device, x.dtype).mT.reshape(len(x), *(1,) * (lines.ndim - 3), n, n)
            x = (lines @ turned).movedim(-1, axis)
    return x


def blur(x: Tensor, sigmas: Sequence[Sequence[float]]) -> Tensor:
    """See `intensity_maths.blur`."""
    for axis in range(2, x.ndim):
        if x.shape[axis] > 1:
            x = _blur_axis(x, [per_axis[axis - 2] for per_axis in sigmas], axis)
    return x


def multiply_bias(x: Tensor, order: Sequence[int], coefficients: Sequence[Sequence[float]]) -> Tensor:
    """See `intensity_maths.multiply_bias`; the order is one for all samples."""
    shape, degree = x.shape[2:], order[0]
    sides = (degree + 1,) * len(shape)
    places = np.ravel_multi_index(np.transpose(maths.monomials(len(shape), degree)), sides)
    table = np.zeros((len(x), (degree + 1) ** len(shape)), np.float32)
    table[:, places] = coefficients
    field = torch.from_numpy(table.reshape(-1, *sides)).to(x.device)
    for n in shape:
        powers = np.vander(np.linspace(-1, 1, n), degree + 1, increasing=True).T
        field = torch.tensordot(field, torch.tensor(powers, dtype=x.dtype, device=x.device), dims=([1], [0]))
    return x * field.exp()[:, None]


def blank(x: Tensor, channels: Sequence[Sequence[int]]) -> Tensor:
    """See `intensity_maths.blank`."""
    kept = torch.ones(x.shape[:2], dtype=torch.bool)
    for row, places in zip(kept, channels, strict=True):
        row[list(places)] = False
    return torch.where(kept.to(x.device).reshape(*x.shape[:2], *(1,) * (x.ndim - 2)), x, 0)


TENSOR_VERSIONS: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    maths.normalize: normalize,
    maths.clip_percentiles: clip_percentiles,
    maths.add: add,
    maths.add_noise: add_noise,
    maths.gamma: gamma,
    maths.brighten: brighten,
    maths.stretch_contrast: stretch_contrast,
    maths.blur: blur,
    maths.multiply_bias: multiply_bias,
    maths.blank: blank,
    maths.normalize_foreground: normalize_foreground,
    resolution.lower_resolution: lower_resolution,
}
"""Functions on arrays and what does the same on a batch of tensors."""


def _column(values: Sequence[float] | np.ndarray, x: Tensor) -> Tensor:
    """One value per sample, shaped to be combined with `x`."""
    column = torch.tensor(np.asarray(values, np.float32), dtype=x.dtype, device=x.device)
    return column.reshape(-1, *(1,) * (x.ndim - 1))


def _percentile(ordered: Tensor, percent: Sequence[float]) -> Tensor:
    """Percentiles, linearly interpolated, of sorted values [B, C, N]: [B, C]."""
    at = np.asarray(percent, np.float64) / 100 * (ordered.shape[2] - 1)
    below = np.floor(at)
    index = torch.from_numpy(np.stack([below, np.ceil(at)], axis=1).astype(np.int64)).to(ordered.device)
    index = index[:, None].expand(-1, ordered.shape[1], -1)
    lower, upper = ordered.gather(2, index).unbind(2)
    return torch.lerp(lower, upper, _column(at - below, lower).expand_as(lower))


def _blur_axis(x: Tensor, sigmas: Sequence[float], axis: int) -> Tensor:
    """Sum of shifted copies: no kernel of the backend comes with one set of weights per sample and any axis."""
    n, reaches = x.shape[axis], [int(4 * sigma + 0.5) for sigma in sigmas]
    widest = max(reaches)
    weights = np.zeros((len(x), 2 * widest + 1))
    for row, sigma, reach in zip(weights, sigmas, reaches, strict=True):
        window = row[widest - reach : widest + reach + 1]
        window[...] = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2) if reach else 1
        window /= window.sum()
    mirrored = torch.from_numpy(np.pad(np.arange(n), widest, mode="symmetric")).to(x.device)
    padded = x.index_select(axis, mirrored)
    out = torch.zeros_like(x)
    for k, column in enumerate(weights.T):
        out.addcmul_(padded.narrow(axis, k, n), _column(column, x))
    return out
