"""Attention gates of the 3D U-Net.

Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, arXiv:1804.03999.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivadomed.errors import ModelError
from ivadomed.models.blocks import weights_init_kaiming


class GridAttentionBlockND(nn.Module):
    """Additive attention: deep features decide which positions of a skip connection pass.

    Args:
        in_channels: Channels of the skip connection.
        gating_channels: Channels of the gating signal.
        inter_channels: Channels of the joint space; None takes half of `in_channels`.
        dimension: 2 or 3.
        sub_sample_factor: Stride by which the skip connection is brought towards the gating signal's size.
    """

    def __init__(
        self,
        in_channels: int,
        gating_channels: int,
        inter_channels: int | None = None,
        dimension: int = 3,
        sub_sample_factor: Sequence[int] = (2, 2, 2),
    ) -> None:
        super().__init__()
        if dimension not in (2, 3):
            raise ModelError(f"dimension: {dimension!r}; an attention gate has dimension 2 or 3.")
        conv: type[nn.Module] = nn.Conv3d if dimension == 3 else nn.Conv2d
        norm: type[nn.Module] = nn.BatchNorm3d if dimension == 3 else nn.BatchNorm2d
        self.upsample_mode = "trilinear" if dimension == 3 else "bilinear"
        factor = tuple(sub_sample_factor)[:dimension]
        inter = inter_channels or max(in_channels // 2, 1)

        self.W = nn.Sequential(conv(in_channels, in_channels, kernel_size=1), norm(in_channels))
        self.theta = conv(in_channels, inter, kernel_size=factor, stride=factor, bias=False)
        self.phi = conv(gating_channels, inter, kernel_size=1)
        self.psi = conv(inter, 1, kernel_size=1)
        self.apply(weights_init_kaiming)

    def forward(self, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """Gate the skip connection `x` ``[B, C, ...]`` by `g` ``[B, gating_channels, ...]``.

        Returns:
            The gated features, shape of `x`, and the attention in (0, 1), ``[B, 1, ...]``.
        """
        query = self.theta(x)
        gate = F.interpolate(self.phi(g), size=query.shape[2:], mode=self.upsample_mode, align_corners=True)
        attention = torch.sigmoid(self.psi(F.relu(query + gate)))
        attention = F.interpolate(attention, size=x.shape[2:], mode=self.upsample_mode, align_corners=True)
        return self.W(attention * x), attention


class UnetGridGatingSignal3(nn.Module):
    """Gating signal: convolution, optional batch normalisation and ReLU on the bottom features.

    Args:
        in_size: Channels of the input.
        out_size: Channels of the signal.
        kernel_size: Kernel of the convolution, without padding.
        is_batchnorm: Normalise before the ReLU.
    """

    def __init__(
        self, in_size: int, out_size: int, kernel_size: Sequence[int] = (1, 1, 1), is_batchnorm: bool = True
    ) -> None:
        super().__init__()
        size = tuple(kernel_size)
        layers: list[nn.Module] = [nn.Conv3d(in_size, out_size, size)]  # type: ignore[arg-type]
        if is_batchnorm:
            layers.append(nn.BatchNorm3d(out_size))
        self.conv1 = nn.Sequential(*layers, nn.ReLU())
        self.apply(weights_init_kaiming)

    def forward(self, inputs: Tensor) -> Tensor:
        """``[B, in_size, H, W, D]`` -> ``[B, out_size, H, W, D]`` for a kernel of one voxel."""
        return self.conv1(inputs)
