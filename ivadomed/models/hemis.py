"""U-Net for missing contrasts: one encoder per contrast, and a shared decoder on their statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ivadomed.errors import ModelError
from ivadomed.models.base import (
    Activation,
    Depth,
    Dropout,
    Filters,
    ModelBatch,
    Momentum,
    PoolingNetwork,
    network,
)
from ivadomed.models.unet import Decoder, Encoder

PRESENT = "present_contrasts"
"""Name of the second input of exported files: 1 for each available contrast, else 0."""


@network
class HeMISUnet(PoolingNetwork):
    """Hetero-modal U-Net (Havaei et al., 2016, arXiv:1607.05194; Dorent et al., 2019, arXiv:1907.11150).

    Each contrast has its own encoder. At each level, the decoder receives the mean and variance of the features of
    the available contrasts, so any subset gives a prediction.

    Args:
        contrasts: Names of all contrasts, in the order of the input.
        out_channel: See `Unet`, also for the arguments below.
        depth: Number of poolings.
        dropout_rate: Probability that a feature map is dropped.
        bn_momentum: Momentum of the normalization layers.
        final_activation: ``sigmoid``, ``relu`` (normalized) or ``softmax``.
        is_2d: 2D, else 3D.
        n_filters: Channels of the first level.
        **kwargs: See `Unet`.

    Attributes:
        Encoder_mod: Encoder ``Encoder_<contrast>`` of each contrast.
        decoder: The shared decoder.
    """

    def __init__(
        self,
        contrasts: Sequence[str],
        out_channel: int = 1,
        depth: Depth = 3,
        dropout_rate: Dropout = 0.3,
        bn_momentum: Momentum = 0.1,
        final_activation: Activation = "sigmoid",
        is_2d: bool = True,
        n_filters: Filters = 64,
        **kwargs: Any,
    ) -> None:
        self.refuse_unknown(kwargs)
        super().__init__()
        self.depth = depth
        self.contrasts = list(contrasts)
        shared = (depth, dropout_rate, bn_momentum)
        self.Encoder_mod = nn.ModuleDict(
            {
                f"Encoder_{contrast}": Encoder(1, *shared, is_2d=is_2d, n_filters=n_filters)
                for contrast in self.contrasts
            }
        )
        self.decoder = Decoder(
            out_channel,
            *shared,
            hemis=True,
            final_activation=final_activation,
            is_2d=is_2d,
            n_filters=n_filters,
        )

    def inputs(self, batch: ModelBatch) -> tuple[list[Tensor], Tensor]:
        """One ``[B, 1, ...]`` tensor per contrast, and flags of those available, ``[B, n_contrasts]``."""
        if batch.condition is None:
            present = torch.ones(batch.image.shape[:2], dtype=torch.bool, device=batch.image.device)
        else:
            present = batch.condition.bool()
        return list(batch.image.split(1, dim=1)), present

    def condition_input(self) -> tuple[str, int]:
        """Flags of the available contrasts, one number each."""
        return PRESENT, len(self.contrasts)

    def forward(self, x_mods: Sequence[Tensor], indexes_mod: Any) -> Tensor:
        """Segment from the available contrasts.

        Args:
            x_mods: One ``[B, 1, ...]`` tensor per contrast; the content of a missing one is ignored.
            indexes_mod: ``[B, n_contrasts]``, interpreted as in tensor indexing. Bool (or float): nonzero for
                available contrasts. Integer: per sample the indices of the contrasts to pool, with repetitions, as
                2.9.10 interpreted its 0/1 rows.

        Returns:
            Soft prediction ``[B, 1 or out_channel - 1, ...]``.

        Raises:
            ModelError: The number of tensors differs from the number of contrasts.
        """
        if len(x_mods) != len(self.contrasts):
            raise ModelError(
                f"HeMISUnet: {len(x_mods)} images given, {len(self.contrasts)} expected ({self.contrasts}); "
                "pass an image of zeros for a missing contrast."
            )
        selection = indexes_mod if isinstance(indexes_mod, Tensor) else torch.as_tensor(indexes_mod)
        selection = selection.to(x_mods[0].device)
        per_contrast = [
            self.Encoder_mod[f"Encoder_{contrast}"](x)[0]
            for contrast, x in zip(self.contrasts, x_mods, strict=True)
        ]
        features = [
            pool_contrasts(torch.stack(level, dim=1), selection) for level in zip(*per_contrast, strict=True)
        ]
        return self.decoder(features)[0]


def pool_contrasts(features: Tensor, selection: Tensor) -> Tensor:
    """Mean and unbiased variance over the selected contrasts.

    The variance of a single contrast is 0 (Havaei et al., section 2.2); without any contrast both are 0.

    Args:
        features: ``[B, M, C, ...]``.
        selection: ``[B, M]`` bool or float: present or not; ``[B, K]`` integer: positions along M.

    Returns:
        ``[B, 2 * C, ...]``, means first.
    """
    if selection.dtype != torch.bool and not selection.is_floating_point():
        rows = torch.arange(features.shape[0], device=features.device).unsqueeze(1)
        features = features[rows, selection]
        present = torch.ones_like(selection, dtype=torch.bool)
    else:
        present = selection.bool()
    present = present.reshape(present.shape + (1,) * (features.ndim - 2))
    count = present.sum(dim=1).to(features.dtype)
    zero = features.new_zeros(())
    # `where`, not a product: a missing contrast may hold NaN.
    mean = torch.where(present, features, zero).sum(dim=1) / count.clamp(min=1)
    deviation = torch.where(present, features - mean.unsqueeze(1), zero)
    variance = deviation.square().sum(dim=1) / (count - 1).clamp(min=1)
    return torch.cat([mean, variance], dim=1)
