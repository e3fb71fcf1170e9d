"""Residual 3D U-Net with deep supervision."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivadomed.models.base import Activation, Dropout, Filters, ModelBatch, Momentum, Network, Switch, network
from ivadomed.models.blocks import (
    GridAttentionBlockND,
    InstanceNorm3d,
    UnetGridGatingSignal3,
    activate,
    check_final_activation,
    crop_like,
    lrelu,
)
from ivadomed.models.film import (
    Context,
    FiLMlayer,
    SharedWeights,
    film_input,
    film_layer,
    film_switches,
    freeze_shared_weights,
)
from ivadomed.registry.types import Doc, Flag

N_FILM_PLACES = 10


@network
class Modified3DUNet(Network):
    """3D U-Net of Isensee et al. (2017, arXiv:1802.10508), after github.com/pykao/Modified-3D-UNet-Pytorch.

    Differences from the original U-Net: residual context blocks, leaky ReLU, instance normalization (batches
    are small in 3D), strided convolutions instead of pooling, and segmentation layers at two more levels,
    whose outputs are upsampled and summed. Any size of at least 17 voxels per axis works; multiples of 16 are
    best.

    Args:
        in_channel: Channels of the image.
        out_channel: Output classes; above 1 the first is the background, which the prediction leaves out.
        n_filters: Channels of the first level; each of the four levels below doubles them.
        attention: Gate the skip connections of levels 2 to 4 by attention (`GridAttentionBlockND`).
        dropout_rate: Probability that a feature map is dropped.
        bn_momentum: Momentum of the normalization layers.
        final_activation: ``sigmoid``, ``relu`` (normalized) or ``softmax``.
        n_metadata: Length of the metadata vector; only with `film_layers`.
        film_layers: Ten values, 0 or 1: five context levels, four localization levels, output.
        **kwargs: See `Unet`.
    """

    instance_norm: ClassVar[bool] = True

    def __init__(
        self,
        in_channel: int,
        out_channel: int,
        n_filters: Filters = 16,
        attention: Annotated[Flag, Doc("Attention gates in the decoder.")] = False,
        dropout_rate: Dropout = 0.3,
        bn_momentum: Momentum = 0.1,
        final_activation: Activation = "sigmoid",
        n_metadata: int | None = None,
        film_layers: Annotated[
            tuple[Switch, ...] | None,
            Doc(
                "1 where FiLM modulates a layer, else 0; ten entries: five context levels, four localization levels, "
                "output. null: no FiLM.",
                [0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            ),
        ] = None,
        **kwargs: Any,
    ) -> None:
        self.refuse_unknown(kwargs)
        super().__init__()
        self.in_channels = in_channel
        self.n_classes = out_channel
        self.base_n_filter = n_filters
        self.attention = attention
        self.momentum = bn_momentum
        self.final_activation = check_final_activation(final_activation)
        self.film_layers = film_layers

        self.lrelu = nn.LeakyReLU()
        self.dropout3d = nn.Dropout3d(p=dropout_rate)
        self.upscale = nn.Upsample(scale_factor=2, mode="nearest")
        self._build_context()
        self._build_attention()
        self._build_localisation()
        self._build_film(n_metadata)

    def _build_context(self) -> None:
        n = self.base_n_filter
        self.conv3d_c1_1 = _conv3(self.in_channels, n)
        self.conv3d_c1_2 = _conv3(n, n)
        self.lrelu_conv_c1 = self.lrelu_conv(n, n)
        self.inorm3d_c1 = self._norm(n)
        for level in range(2, 6):
            width = n * 2 ** (level - 1)
            self.add_module(f"conv3d_c{level}", _conv3(width // 2, width, stride=2))
            self.add_module(f"norm_lrelu_conv_c{level}", self.norm_lrelu_conv(width, width))
            if level < 5:
                self.add_module(f"inorm3d_c{level}", self._norm(width))

    def _build_attention(self) -> None:
        if not self.attention:
            return
        n = self.base_n_filter
        self.gating = UnetGridGatingSignal3(n * 16, n * 8)
        for level in (2, 3, 4):
            width = n * 2 ** (level - 1)
            self.add_module(
                f"attentionblock{level}", GridAttentionBlockND(width, n * 8, inter_channels=width)
            )

    def _build_localisation(self) -> None:
        n = self.base_n_filter
        self.norm_lrelu_upscale_conv_norm_lrelu_l0 = self.norm_lrelu_upscale_conv_norm_lrelu(n * 16, n * 8)
        self.conv3d_l0 = _conv1(n * 8, n * 8)
        self.inorm3d_l0 = self._norm(n * 8)
        for level in range(1, 4):
            width = n * 2 ** (5 - level)
            self.add_module(f"conv_norm_lrelu_l{level}", self.conv_norm_lrelu(width, width))
            self.add_module(f"conv3d_l{level}", _conv1(width, width // 2))
            self.add_module(
                f"norm_lrelu_upscale_conv_norm_lrelu_l{level}",
                self.norm_lrelu_upscale_conv_norm_lrelu(width // 2, width // 4),
            )
        self.conv_norm_lrelu_l4 = self.conv_norm_lrelu(n * 2, n * 2)
        self.conv3d_l4 = _conv1(n * 2, self.n_classes)
        self.ds2_1x1_conv3d = _conv1(n * 8, self.n_classes)
        self.ds3_1x1_conv3d = _conv1(n * 4, self.n_classes)

    def _build_film(self, n_metadata: int | None) -> None:
        n = self.base_n_filter
        widths = [n, n * 2, n * 4, n * 8, n * 16, n * 8, n * 4, n * 2, n, self.n_classes]
        switches = film_switches(self.film_layers, N_FILM_PLACES)
        for place, (width, on) in enumerate(zip(widths, switches, strict=True), start=1):
            self.add_module(f"film_layer{place}", film_layer(n_metadata, width) if on else None)
        freeze_shared_weights(self)

    def _norm(self, feat_in: int) -> InstanceNorm3d:
        return InstanceNorm3d(feat_in, momentum=self.momentum)

    def conv_norm_lrelu(self, feat_in: int, feat_out: int) -> nn.Sequential:
        """Convolution, normalization, leaky ReLU."""
        return nn.Sequential(_conv3(feat_in, feat_out), self._norm(feat_out), lrelu())

    def norm_lrelu_conv(self, feat_in: int, feat_out: int) -> nn.Sequential:
        """Normalization, leaky ReLU, convolution."""
        return nn.Sequential(self._norm(feat_in), lrelu(), _conv3(feat_in, feat_out))

    def lrelu_conv(self, feat_in: int, feat_out: int) -> nn.Sequential:
        """Leaky ReLU, convolution."""
        return nn.Sequential(nn.LeakyReLU(), _conv3(feat_in, feat_out))

    def norm_lrelu(self, feat_in: int) -> nn.Sequential:
        """Normalization, leaky ReLU."""
        return nn.Sequential(self._norm(feat_in), lrelu())

    def norm_lrelu_upscale_conv_norm_lrelu(self, feat_in: int, feat_out: int) -> nn.Sequential:
        """`norm_lrelu`, then `upscale_conv_norm_lrelu`."""
        return nn.Sequential(*self.norm_lrelu(feat_in), *self.upscale_conv_norm_lrelu(feat_in, feat_out))

    def upscale_conv_norm_lrelu(self, feat_in: int, feat_out: int) -> nn.Sequential:
        """Nearest-neighbor upsampling by 2, convolution, normalization, leaky ReLU."""
        return nn.Sequential(
            nn.Identity(),  # placeholder for the upsampling in published weights; the convolution does both
            UpscalingConv3d(feat_in, feat_out),
            self._norm(feat_out),
            lrelu(),
        )

    def inputs(self, batch: ModelBatch) -> tuple[Tensor, ...]:
        """The image; with FiLM layers also the metadata ``[B, n_metadata]``."""
        if self.film_layers and any(self.film_layers) and batch.condition is not None:
            return batch.image, batch.condition
        return (batch.image,)

    def condition_input(self) -> tuple[str, int] | None:
        """The metadata, see `ivadomed.models.film.film_input`."""
        return film_input(self)

    def forward(
        self, x: Tensor, context: Context | None = None, w_film: SharedWeights | None = None
    ) -> Tensor:
        """``[B, in_channel, H, W, D]`` -> soft prediction ``[B, 1 or out_channel - 1, H, W, D]``."""
        film = _Film(self, context, w_film)
        skips, out = self._context_path(x, film)
        if self.attention:
            out = self.lrelu(F.instance_norm(out))
            gating = self.gating(out)
            skips = [
                skip if level == 1 else getattr(self, f"attentionblock{level}")(skip, gating)[0]
                for level, skip in enumerate(skips, start=1)
            ]
        logits = film(10, self._localisation_path(out, skips, film))
        return activate(logits, self.final_activation)

    def _context_path(self, x: Tensor, film: _Film) -> tuple[list[Tensor], Tensor]:
        """Features of levels 1 to 4 for the skip connections, and of the bottom."""
        residual = self.conv3d_c1_1(x)
        out = self.dropout3d(self.conv3d_c1_2(self.lrelu(residual)))
        out = self.lrelu(self.lrelu_conv_c1(out) + residual)
        skips = [film(1, out)]
        out = self.lrelu(self.inorm3d_c1(skips[0]))
        for level in range(2, 6):
            residual = getattr(self, f"conv3d_c{level}")(out)
            # The same block, with one set of weights, is applied twice.
            block = getattr(self, f"norm_lrelu_conv_c{level}")
            out = block(self.dropout3d(block(residual))) + residual
            if level < 5:
                out = self.lrelu(getattr(self, f"inorm3d_c{level}")(out))
            out = film(level, out)
            if level < 5:
                skips.append(out)
        return skips, out

    def _localisation_path(self, out: Tensor, skips: list[Tensor], film: _Film) -> Tensor:
        """Logits: the last level plus the upsampled segmentation layers of levels 2 and 3."""
        out = self.norm_lrelu_upscale_conv_norm_lrelu_l0(out)
        out = film(6, self.lrelu(self.inorm3d_l0(self.conv3d_l0(out))))
        supervised = []
        for level in range(1, 4):
            out = torch.cat([crop_like(out, skips[4 - level]), skips[4 - level]], dim=1)
            out = getattr(self, f"conv_norm_lrelu_l{level}")(out)
            if level > 1:
                supervised.append(out)
            out = getattr(self, f"conv3d_l{level}")(out)
            out = film(6 + level, getattr(self, f"norm_lrelu_upscale_conv_norm_lrelu_l{level}")(out))
        # The last level concatenates the skip connection first, as published weights expect.
        out = self.conv_norm_lrelu_l4(torch.cat([skips[0], crop_like(out, skips[0])], dim=1))

        coarse = self.upscale(self.ds2_1x1_conv3d(supervised[0]))
        coarse = self.upscale(crop_like(coarse, supervised[1]) + self.ds3_1x1_conv3d(supervised[1]))
        logits = self.conv3d_l4(out)
        return logits + crop_like(coarse, logits)


@network
class UNet3D(Modified3DUNet):
    """`Modified3DUNet` under its name in configurations and model files of older versions."""


class UpscalingConv3d(nn.Conv3d):
    """Nearest-neighbor upsampling by 2 and a 3x3x3 convolution, in one step.

    Upsampling repeats each voxel, so the convolution multiplies most voxels by several of its weights.
    Here the weights are summed first: a transposed convolution with stride 2 and 4 taps per axis gives the same
    sum with 8 instead of 27 products per output voxel and channel, without the upsampled image in memory.

    Args:
        feat_in: Channels of the input.
        feat_out: Channels of the output.
    """

    def __init__(self, feat_in: int, feat_out: int) -> None:
        super().__init__(feat_in, feat_out, kernel_size=3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, feat_in, H, W, D]`` -> ``[B, feat_out, 2H, 2W, 2D]``."""
        return F.conv_transpose3d(x, self._transposed_weight(), stride=2, padding=1)

    def as_transposed(self) -> nn.ConvTranspose3d:
        """Equivalent transposed convolution with the current weights summed once."""
        layer = nn.ConvTranspose3d(
            self.in_channels, self.out_channels, kernel_size=4, stride=2, padding=1, bias=False
        )
        layer.weight = nn.Parameter(self._transposed_weight().detach())
        return layer

    def _transposed_weight(self) -> Tensor:
        taps = self.weight
        for axis in (2, 3, 4):
            others = [0, 0] * (4 - axis)  # `pad` names the last axis first
            taps = F.pad(taps, [*others, 0, 1]) + F.pad(taps, [*others, 1, 0])
        # A transposed convolution swaps input and output channels and flips the taps.
        return taps.flip(2, 3, 4).transpose(0, 1)


class _Film:
    """FiLM layers of one forward pass, with the same context and shared weights passed from layer to layer."""

    def __init__(self, network: nn.Module, context: Context | None, w_film: SharedWeights | None) -> None:
        self.network, self.context, self.w_film = network, context, w_film

    def __call__(self, place: int, x: Tensor) -> Tensor:
        layer: FiLMlayer | None = getattr(self.network, f"film_layer{place}", None)
        if layer is None:
            return x
        x, self.w_film = layer(x, self.context, self.w_film)
        return x


def _conv3(feat_in: int, feat_out: int, stride: int = 1) -> nn.Conv3d:
    return nn.Conv3d(feat_in, feat_out, kernel_size=3, stride=stride, padding=1, bias=False)


def _conv1(feat_in: int, feat_out: int) -> nn.Conv3d:
    return nn.Conv3d(feat_in, feat_out, kernel_size=1, bias=False)
