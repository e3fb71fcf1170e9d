"""Loss computations: pure functions of predictions and targets.

A ``mask`` [B, 1, ...] is True at the voxels that count. The others are excluded from sums and means, and affect
neither values nor gradients; None counts all voxels.

All compute in float32 (float64 is kept), whatever autocast chose for the network: logarithms and sums over many
voxels exceed half precision.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

EPS = 1e-7
"""Margin by which probabilities are clamped away from 0 and 1."""


def as_float(*tensors: Tensor | np.ndarray) -> tuple[Tensor, ...]:
    """Convert tensors or arrays to float32 tensors; float64 is kept."""
    given = (torch.from_numpy(x.copy()) if isinstance(x, np.ndarray) else x for x in tensors)
    return tuple(x if x.dtype == torch.float64 else x.float() for x in given)


def without_ignored(prediction: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Prediction and target as floats, 0 at ignored voxels, which then have no overlap, volume or gradient."""
    prediction, target = as_float(prediction, target)
    if mask is None:
        return prediction, target
    return prediction.masked_fill(~mask, 0), target.masked_fill(~mask, 0)


def sum_of(terms: Tensor, mask: Tensor | None) -> Tensor:
    """Sum of the elements that count."""
    return terms.sum() if mask is None else terms.masked_fill(~mask, 0).sum()


def mean_of(terms: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the elements that count; 0 if there are none."""
    if mask is None:
        return terms.mean()
    return sum_of(terms, mask) / mask.expand_as(terms).sum().clamp(min=1)


def unless_all_ignored(value: Tensor, mask: Tensor | None) -> Tensor:
    """Value of a loss; 0, with zero gradient, if all voxels are ignored."""
    return value if mask is None else torch.where(mask.any(), value, torch.zeros_like(value))


def dice_score(prediction: Tensor, target: Tensor, smooth: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Soft Dice over all elements, ``(2 sum(pt) + s) / (sum(p) + sum(t) + s)`` (arXiv:1606.04797)."""
    prediction, target = without_ignored(prediction, target, mask)
    overlap = (prediction * target).sum()
    # Without `smooth` an empty target and prediction would be 0 / 0.
    return (2.0 * overlap + smooth) / (prediction.sum() + target.sum() + smooth).clamp(min=EPS)


def cross_entropy(prediction: Tensor, target: Tensor, eps: float = EPS) -> Tensor:
    """Element-wise binary cross-entropy; predictions are clamped `eps` away from 0 and 1."""
    prediction, target = as_float(prediction, target)
    # A smaller margin would be rounded away near 1.
    prediction = prediction.clamp(eps, 1.0 - max(eps, torch.finfo(prediction.dtype).eps))
    return -(target * torch.log(prediction) + (1.0 - target) * torch.log1p(-prediction))


def focal_terms(prediction: Tensor, target: Tensor, gamma: float, alpha: float, eps: float) -> Tensor:
    """Element-wise focal loss ``-a_t (1 - p_t)^gamma log(p_t)`` (arXiv:1708.02002, equation 5)."""
    entropy = cross_entropy(prediction, target, eps)
    (target,) = as_float(target)
    balance = alpha * target + (1.0 - alpha) * (1.0 - target)
    # expm1 keeps 1 - p_t above 0, where the slope is infinite for gamma < 1.
    return balance * (-torch.expm1(-entropy)) ** gamma * entropy


def tversky_index(
    prediction: Tensor,
    target: Tensor,
    alpha: float,
    beta: float,
    smooth: float,
    mask: Tensor | None = None,
) -> Tensor:
    """``(TP + s) / (TP + alpha FP + beta FN + s)`` (arXiv:1706.05721, equation 3)."""
    prediction, target = without_ignored(prediction, target, mask)
    true_positive = (target * prediction).sum()
    false_negative = (target * (1.0 - prediction)).sum()
    false_positive = ((1.0 - target) * prediction).sum()
    denominator = true_positive + alpha * false_positive + beta * false_negative + smooth
    return (true_positive + smooth) / denominator.clamp(min=EPS)


def generalized_dice(
    prediction: Tensor, target: Tensor, epsilon: float, include_background: bool, mask: Tensor | None = None
) -> Tensor:
    """Dice with classes weighted by their inverse squared volume (arXiv:1707.03237, section 2.1).

    Each class of each sample has its own weight. The background is where all classes are exactly 0. Samples with all
    voxels ignored are skipped.
    """
    prediction, target = without_ignored(prediction, target, mask)
    if include_background:
        prediction, target = _with_background(prediction, mask), _with_background(target, mask)
    prediction, target = prediction.flatten(2), target.flatten(2)
    weight = 1.0 / target.sum(-1).square().clamp(min=epsilon)
    overlap = ((prediction * target).sum(-1) * weight).sum()
    volume = ((prediction + target).sum(-1) * weight).clamp(min=epsilon)
    if mask is not None:
        volume = volume * mask.flatten(1).any(dim=1, keepdim=True)
    return 2.0 * overlap / volume.sum().clamp(min=epsilon)


def _with_background(x: Tensor, mask: Tensor | None) -> Tensor:
    background = x.sum(dim=1, keepdim=True) == 0
    if mask is not None:
        background = background & mask
    return torch.cat([x, background.to(x.dtype)], dim=1)


def adaptive_wing(
    prediction: Tensor, target: Tensor, theta: float, alpha: float, omega: float, epsilon: float
) -> Tensor:
    """Element-wise adaptive wing loss (Wang et al., ICCV 2019, arXiv:1904.07399, equation 3)."""
    prediction, target = as_float(prediction, target)
    difference = (target - prediction).abs()
    exponent = alpha - target
    ratio = theta / epsilon
    slope = omega / (1.0 + ratio**exponent) * exponent * ratio ** (exponent - 1.0) / epsilon
    offset = theta * slope - omega * torch.log1p(ratio**exponent)
    # The branch not selected by `where` must stay finite, including its gradient.
    near = difference.clamp(max=theta)
    curved = omega * torch.log1p((near / epsilon) ** exponent)
    return torch.where(difference < theta, curved, slope * difference - offset)
