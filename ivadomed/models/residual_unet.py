"""U-Net with a residual encoder, as in nnU-Net's ResEnc presets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from ivadomed.errors import ModelError
from ivadomed.models.base import Activation, Filters, Network, network
from ivadomed.models.blocks import (
    InstanceNorm2d,
    InstanceNorm3d,
    activate,
    check_final_activation,
    crop_like,
    lrelu,
)
from ivadomed.models.sizing import N_FILTERS, stage_blocks, stage_features
from ivadomed.registry.types import Doc, Flag, Ge, Lt, Positive, Real

Sizes = Sequence[int]


class ConvNorm(nn.Sequential):
    """Convolution (same size, except for its stride), dropout, instance normalization.

    Args:
        feat_in: Channels of the input.
        feat_out: Channels of the output.
        kernel: Odd kernel size along each axis.
        stride: Stride along each axis.
        dropout_rate: Probability that a whole feature map is dropped.
    """

    def __init__(
        self, feat_in: int, feat_out: int, kernel: Sizes, stride: Sizes, dropout_rate: float = 0.0
    ) -> None:
        is_2d = len(kernel) == 2
        conv: type[nn.Module] = nn.Conv2d if is_2d else nn.Conv3d
        drop: type[nn.Module] = nn.Dropout2d if is_2d else nn.Dropout3d
        norm: type[nn.Module] = InstanceNorm2d if is_2d else InstanceNorm3d
        padding = tuple(k // 2 for k in kernel)
        # The normalization would remove a bias.
        layers = [conv(feat_in, feat_out, tuple(kernel), tuple(stride), padding, bias=False)]
        layers += [drop(dropout_rate)] if dropout_rate else []
        super().__init__(*layers, norm(feat_out, affine=True))


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut (He et al., 2016) that average-pools if there is a stride.

    Args:
        feat_in: See `ConvNorm`, also for the arguments below.
        feat_out: Channels of the output.
        kernel: Kernel size of both convolutions.
        stride: Stride of the first convolution.
        dropout_rate: Dropout after the first convolution.
    """

    def __init__(
        self, feat_in: int, feat_out: int, kernel: Sizes, stride: Sizes, dropout_rate: float = 0.0
    ) -> None:
        super().__init__()
        ones = (1,) * len(kernel)
        self.conv1 = ConvNorm(feat_in, feat_out, kernel, stride, dropout_rate)
        self.conv2 = ConvNorm(feat_out, feat_out, kernel, ones)
        self.lrelu = lrelu()
        shortcut: list[nn.Module] = []
        if any(s > 1 for s in stride):
            shortcut.append(_average_pool(stride))
        if feat_in != feat_out:
            shortcut.append(ConvNorm(feat_in, feat_out, ones, ones))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, feat_in, ...]`` -> ``[B, feat_out, ...]``, each axis divided by its stride and rounded up."""
        return self.lrelu(self.conv2(self.lrelu(self.conv1(x))) + self.shortcut(x))


@network
class ResidualEncoderUnet(Network):
    """Residual-encoder U-Net (Isensee et al., 2024, arXiv:2404.09556; 2021, Nature Methods), 2D and 3D.

    The encoder consists of residual blocks, the first one of each stage with a stride; the decoder has one
    convolution per stage. Instance normalization, leaky ReLU. `ivadomed.models.sizing.plan_unet` gives the sizes
    that suit a patch. Any image with more than one voxel left at the deepest stage works.

    In training mode with deep supervision, `forward` returns the predictions of several stages, see
    `ivadomed.losses.DeepSupervisionLoss`; in evaluation mode always one tensor.

    Args:
        in_channel: Channels of the image.
        out_channel: Output classes; above 1 the first is the background, which the prediction leaves out.
        depth: Number of downsampling steps; there is one stage more.
        n_filters: Channels of the first stage; each stage doubles them.
        max_filters: Maximum channels of a stage; None for 512 in 2D and 320 in 3D.
        n_blocks: Residual blocks of each stage; None for 1, 3, 4, 6, 6, ...
        strides: Stride of each downsampling along each axis; None for 2 everywhere.
        kernel_sizes: Odd kernel size of each stage along each axis; None for 3 everywhere.
        dropout_rate: Probability that a feature map is dropped.
        final_activation: ``sigmoid``, ``relu`` (normalized) or ``softmax``.
        is_2d: 2D, else 3D.
        deep_supervision: Also predict at the lower resolutions, except the lowest.

    Attributes:
        encoder: The stages, from fine to coarse; the first begins with a convolution of the image.
        upsampling: Transposed convolutions, from coarse to fine, like the rest.
        decoder: Convolutions of the upsampled features and the skip connection.
        heads: Segmentation layers, full resolution first.

    Raises:
        ModelError: A list does not have one entry per stage, or an entry does not have one number per axis.
    """

    instance_norm: ClassVar[bool] = True

    def __init__(
        self,
        in_channel: int = 1,
        out_channel: int = 1,
        depth: Annotated[
            Positive,
            Doc("Number of downsampling steps (> 0). null: as many as patch size and voxel size allow.", 3),
        ] = 5,
        n_filters: Filters = N_FILTERS,
        max_filters: Annotated[
            Positive | None, Doc("Maximum filters of a stage (> 0). null: 512 in 2D, 320 in 3D.", 128)
        ] = None,
        n_blocks: Annotated[
            tuple[Positive, ...] | None,
            Doc(
                "Residual blocks of each stage, depth + 1 numbers (> 0). null: 1, 3, 4, 6, 6, ...",
                [1, 2, 2, 2],
            ),
        ] = None,
        strides: Sequence[Sizes] | None = None,
        kernel_sizes: Sequence[Sizes] | None = None,
        dropout_rate: Annotated[Real, Ge(0), Lt(1), Doc("Probability (0 to < 1) of dropout.", 0.1)] = 0.0,
        final_activation: Activation = "sigmoid",
        is_2d: bool = True,
        deep_supervision: Annotated[
            Flag, Doc("Also train the lower resolutions of the decoder to segment.")
        ] = True,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ModelError(f"depth: {depth} down-samplings; a U-Net needs at least 1.")
        n_axes = 2 if is_2d else 3
        self.features = stage_features(depth + 1, n_filters, max_filters, is_2d)
        self.strides = _per_stage("strides", strides, depth, n_axes, 2)
        self.final_activation = check_final_activation(final_activation)
        self.deep_supervision = deep_supervision
        kernels = _per_stage("kernel_sizes", kernel_sizes, depth + 1, n_axes, 3)
        blocks = stage_blocks(depth + 1) if n_blocks is None else tuple(n_blocks)
        if len(blocks) != depth + 1 or min(blocks) < 1:
            raise ModelError(
                f"n_blocks: {list(blocks)}; expected {depth + 1} numbers of at least 1, one per stage (depth + 1)."
            )
        self._build_encoder(in_channel, kernels, blocks, dropout_rate)
        self._build_decoder(out_channel, kernels, dropout_rate)
        self._initialise()

    def _build_encoder(
        self, in_channel: int, kernels: Sequence[Sizes], blocks: Sequence[int], dropout_rate: float
    ) -> None:
        ones = (1,) * len(kernels[0])
        width = self.features[0]
        self.encoder = nn.ModuleList()
        for stage, kernel in enumerate(kernels):
            layers: list[nn.Module] = []
            if stage == 0:
                layers += [ConvNorm(in_channel, width, kernel, ones, dropout_rate), lrelu()]
            for block in range(blocks[stage]):
                stride = self.strides[stage - 1] if stage and block == 0 else ones
                layers.append(ResidualBlock(width, self.features[stage], kernel, stride, dropout_rate))
                width = self.features[stage]
            self.encoder.append(nn.Sequential(*layers))

    def _build_decoder(self, out_channel: int, kernels: Sequence[Sizes], dropout_rate: float) -> None:
        is_2d = len(kernels[0]) == 2
        transposed: type[nn.Module] = nn.ConvTranspose2d if is_2d else nn.ConvTranspose3d
        conv: type[nn.Module] = nn.Conv2d if is_2d else nn.Conv3d
        ones = (1,) * len(kernels[0])
        depth = len(self.strides)
        self.upsampling, self.decoder = nn.ModuleList(), nn.ModuleList()
        for stage in reversed(range(depth)):
            width, stride = self.features[stage], self.strides[stage]
            self.upsampling.append(transposed(self.features[stage + 1], width, stride, stride))
            joined = ConvNorm(2 * width, width, kernels[stage], ones, dropout_rate)
            self.decoder.append(nn.Sequential(joined, lrelu()))
        # In nnU-Net, the lowest of several resolutions has weight 0.
        n_heads = max(depth - 1, 1) if self.deep_supervision else 1
        self.heads = nn.ModuleList(conv(width, out_channel, 1) for width in self.features[:n_heads])

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.modules.conv._ConvNd):
                nn.init.kaiming_normal_(module.weight, a=lrelu().negative_slope)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, ResidualBlock):
                # Each block starts as the identity shortcut.
                nn.init.zeros_(module.conv2[-1].weight)  # type: ignore[arg-type]

    def example_size(self, n_axes: int) -> tuple[int, ...]:
        """Two voxels at the deepest stage, at least 32."""
        totals = [1] * n_axes
        for stride in self.strides:
            totals = [total * step for total, step in zip(totals, stride, strict=True)]
        return tuple(max(32, 2 * total) for total in totals)

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """``[B, in_channel, ...]`` -> soft prediction ``[B, 1 or out_channel - 1, ...]`` of the same size.

        In training mode with deep supervision, a list: this prediction, then those of decreasing resolution.
        """
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
        skips.pop()
        n_heads = len(self.heads) if self.training else 1
        predictions: list[Tensor] = []
        for level, up, conv in zip(reversed(range(len(skips))), self.upsampling, self.decoder, strict=True):
            x = conv(torch.cat([crop_like(up(x), skips[level]), skips[level]], dim=1))
            if level < n_heads:
                predictions.insert(0, activate(self.heads[level](x), self.final_activation))
        return predictions if self.training and self.deep_supervision else predictions[0]


def _average_pool(stride: Sizes) -> nn.Module:
    pool: type[nn.Module] = nn.AvgPool2d if len(stride) == 2 else nn.AvgPool3d
    # Round up like the parallel convolution; onnxruntime counts voxels beyond the edge unless disabled.
    return pool(tuple(stride), tuple(stride), ceil_mode=True, count_include_pad=False)


def _per_stage(
    name: str, values: Sequence[Sizes] | None, count: int, n_axes: int, default: int
) -> tuple[tuple[int, ...], ...]:
    """`values` as tuples, checked; `default` along each axis if None."""
    if values is None:
        return ((default,) * n_axes,) * count
    if len(values) != count or any(len(entry) != n_axes for entry in values):
        raise ModelError(
            f"{name}: {[list(entry) for entry in values]}; expected {count} lists of {n_axes} numbers."
        )
    return tuple(tuple(entry) for entry in values)
