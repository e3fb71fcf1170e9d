"""Losses for networks that segment at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Predictions = Tensor | Sequence[Tensor]
"""One prediction, or predictions at several resolutions, full resolution first."""


class DeepSupervisionLoss(nn.Module):
    """Weighted mean of a loss over resolutions (Lee et al., 2015, arXiv:1409.5185; nnU-Net, 2021).

    Each resolution has half the weight of the next finer one. Targets are averaged over the voxels that a coarse
    voxel covers: they become soft, and small lesions do not vanish.

    Args:
        loss: Loss of a prediction and a target of the same size.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, prediction: Predictions, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar; for a single tensor, the loss itself.

        Args:
            prediction: ``[B, C, ...]``, or a sequence of them, full resolution first.
            target: ``[B, C, ...]`` at full resolution.
            mask: ``[B, 1, ...]``, True at the voxels that count; None for all.
        """
        if mask is not None and bool(mask.all()):
            mask = None  # without ignored voxels, the loss must not change even by rounding
        if isinstance(prediction, Tensor):
            return self._of_level(prediction, target, mask)
        weights = level_weights(len(prediction))
        return torch.stack(
            [
                weight * self._of_level(level, target, mask)
                for weight, level in zip(weights, prediction, strict=True)
            ]
        ).sum()

    def _of_level(self, prediction: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        size = prediction.shape[2:]
        if mask is None:  # a loss need not accept a mask
            return self.loss(prediction, coarsened(target, size))
        target, mask = coarsened_where(mask, target, size)
        return self.loss(prediction, target, mask=mask)


def full_resolution(prediction: Predictions) -> Tensor:
    """The prediction at full resolution."""
    return prediction if isinstance(prediction, Tensor) else prediction[0]


def level_weights(n_levels: int) -> list[float]:
    """Weights 1, 1/2, 1/4, ... divided by their sum."""
    weights = [2.0**-level for level in range(n_levels)]
    return [weight / sum(weights) for weight in weights]


def coarsened(target: Tensor, size: Sequence[int]) -> Tensor:
    """Mean of the target over each voxel of a coarser grid, ``[B, C, *size]``."""
    if target.shape[2:] == tuple(size):
        return target
    return F.interpolate(target.float(), size=tuple(size), mode="area")


def coarsened_where(mask: Tensor, target: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean of the target over the voxels that count in each voxel of a coarser grid, and a mask of coarse voxels.

    Args:
        mask: ``[B, 1, ...]``, True at the voxels that count.
        target: ``[B, C, ...]``.
        size: Spatial shape of the coarser grid.

    Returns:
        ``[B, C, *size]``, and ``[B, 1, *size]``: True where at least half of a coarse voxel counts.
    """
    if target.shape[2:] == tuple(size):
        return target, mask
    share = coarsened(mask, size)
    mean = coarsened(target.float().masked_fill(~mask, 0), size)
    return mean / share.clamp(min=torch.finfo(share.dtype).tiny), share >= 0.5
