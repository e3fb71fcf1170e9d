"""Building blocks of the U-Net family: convolutions, normalization, attention gates, the activation at the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivadomed.errors import ModelError
from ivadomed.runtime.memory_format import channels_last

FINAL_ACTIVATIONS = ("sigmoid", "relu", "softmax")


class _InstanceNorm(nn.modules.instancenorm._InstanceNorm):
    """PyTorch's instance normalization with the same values, which leaves a channels-last image channels-last.

    PyTorch's own computes channel by channel: it copies a channels-last image to the other format and hands that
    on, so that the next convolution copies it back, and both again for the gradients. On a CPU such copies take
    as long as a convolution of few channels.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[B, C, ...]`` -> the same shape, each channel of each image with mean 0 and deviation 1."""
        if self.track_running_stats or not _is_channels_last_on_cpu(input):
            return super().forward(input)
        normalised: Tensor = _Normalise.apply(input, self.weight, self.bias, self.eps)
        return normalised


class InstanceNorm2d(_InstanceNorm, nn.InstanceNorm2d):
    """Instance normalization of ``[B, C, H, W]``."""


class InstanceNorm3d(_InstanceNorm, nn.InstanceNorm3d):
    """Instance normalization of ``[B, C, H, W, D]``."""


def lrelu() -> nn.LeakyReLU:
    """Leaky ReLU of a normalized image, in its memory.

    The backward pass needs the result only, which the next layer keeps too: a training keeps up to 28 % less of
    feature maps. The normalization in front of it does not need its own result.
    """
    return nn.LeakyReLU(inplace=True)


def _is_channels_last_on_cpu(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.ndim in (4, 5)
        and x.is_contiguous(memory_format=channels_last(x.ndim - 2))
        and not x.is_contiguous()
    )


class _Normalise(torch.autograd.Function):
    """Instance normalization of a channels-last image, in passes that follow the order of memory.

    PyTorch's group normalization with one group for each channel does that too, but adds voxels up one by one in
    float32: 96x96x96 voxels were off by 0.007.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        axes = _axes(x)
        deviation = x - x.mean(axes, keepdim=True)
        output = deviation.square()  # its memory is used again
        inverse = torch.rsqrt(output.mean(axes, keepdim=True) + eps)
        ctx.save_for_backward(deviation, inverse, weight)
        if weight is None or bias is None:
            return torch.mul(deviation, inverse, out=output)
        channels = (-1, *(1 for _ in axes))
        return torch.addcmul(bias.view(channels), deviation, inverse * weight.view(channels), out=output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients with respect to x, weight and bias.

        With g the gradient of the output and y the image of mean 0 and deviation 1, that of x is
        weight (g - mean(g) - y mean(g y)) / deviation.
        """
        x, inverse, weight = ctx.saved_tensors
        gradient, axes = gradients[0], _axes(gradients[0])
        count = math.prod(x.shape[2:])
        of_bias = gradient.sum(axes, keepdim=True)
        of_weight = inverse * (gradient * x).sum(axes, keepdim=True)
        scale = inverse if weight is None else inverse * weight.view(-1, *(1 for _ in axes))
        # scale (g - of_bias / count - y of_weight / count), as multiples of g and x.
        out = torch.addcmul(-scale * of_bias / count, gradient, scale)
        out.addcmul_(x, -scale * inverse * of_weight / count)
        if weight is None:
            return out, None, None, None
        return out, of_weight.sum(0).flatten(), of_bias.sum(0).flatten(), None


def _axes(x: Tensor) -> tuple[int, ...]:
    """Axes of the voxels of ``[B, C, ...]``."""
    return tuple(range(2, x.ndim))


class DownConv(nn.Module):
    """Two times convolution, ReLU, normalization, dropout; the image size stays.

    2D uses batch normalization, 3D instance normalization because its batches are small.

    Args:
        in_feat: Channels of the input.
        out_feat: Channels of the output.
        dropout_rate: Probability that a whole feature map is dropped.
        bn_momentum: Momentum of the running statistics.
        is_2d: 2D convolutions, else 3D.
    """

    def __init__(
        self,
        in_feat: int,
        out_feat: int,
        dropout_rate: float = 0.3,
        bn_momentum: float = 0.1,
        is_2d: bool = True,
    ) -> None:
        super().__init__()
        conv: type[nn.Module] = nn.Conv2d if is_2d else nn.Conv3d
        norm: type[nn.Module] = nn.BatchNorm2d if is_2d else InstanceNorm3d
        drop: type[nn.Module] = nn.Dropout2d if is_2d else nn.Dropout3d

        self.conv1 = conv(in_feat, out_feat, kernel_size=3, padding=1)
        self.conv1_bn = norm(out_feat, momentum=bn_momentum)
        self.conv1_drop = drop(dropout_rate)

        self.conv2 = conv(out_feat, out_feat, kernel_size=3, padding=1)
        self.conv2_bn = norm(out_feat, momentum=bn_momentum)
        self.conv2_drop = drop(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_feat, ...]`` -> ``[B, out_feat, ...]``."""
        x = self.conv1_drop(self.conv1_bn(F.relu(self.conv1(x))))
        return self.conv2_drop(self.conv2_bn(F.relu(self.conv2(x))))


class UpConv(nn.Module):
    """Upsample to the size of the skip connection, concatenate, convolve.

    Args:
        in_feat: Channels of the upsampled input and the skip connection together.
        out_feat: Channels of the output.
        dropout_rate: See `DownConv`.
        bn_momentum: See `DownConv`.
        is_2d: Bilinear and 2D, else trilinear and 3D.
    """

    def __init__(
        self,
        in_feat: int,
        out_feat: int,
        dropout_rate: float = 0.3,
        bn_momentum: float = 0.1,
        is_2d: bool = True,
    ) -> None:
        super().__init__()
        self.is_2d = is_2d
        self.downconv = DownConv(in_feat, out_feat, dropout_rate, bn_momentum, is_2d)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Join deep features `x` with the skip connection `y`, which may have any (also odd) size."""
        mode = "bilinear" if self.is_2d else "trilinear"
        x = F.interpolate(x, size=y.shape[2:], mode=mode, align_corners=True)
        return self.downconv(torch.cat([x, y], dim=1))


def crop_like(x: Tensor, like: Tensor) -> Tensor:
    """Cut the voxel by which upsampling exceeds a level of odd size."""
    return x[(slice(None), slice(None), *(slice(n) for n in like.shape[2:]))]


def check_final_activation(name: str) -> str:
    """Return `name` if it is one of `FINAL_ACTIVATIONS`.

    Raises:
        ModelError: For any other value.
    """
    if name not in FINAL_ACTIVATIONS:
        raise ModelError(f"final_activation: {name!r} is unknown; use one of {', '.join(FINAL_ACTIVATIONS)}.")
    return name


def activate(logits: Tensor, name: str) -> Tensor:
    """Turn logits into soft predictions in [0, 1] and remove the background class.

    In float32 (float64 stays), whatever autocast chose for the network: the gradient of a loss with respect to a
    small probability does not fit half precision.

    Args:
        logits: ``[B, C, ...]``; with C > 1, channel 0 is the background.
        name: ``sigmoid`` and ``softmax`` as usual. ``relu`` is a normalised ReLU: one channel is divided by
            the maximum of its sample, several channels by their sum at each position; 0 / 0 is 0.

    Returns:
        ``[B, 1, ...]`` when C is 1, else ``[B, C - 1, ...]``.
    """
    check_final_activation(name)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if name == "relu":
        soft = _normalised_relu(logits)
    elif name == "softmax":
        soft = torch.softmax(logits, dim=1)
    else:
        soft = torch.sigmoid(logits)
    return soft[:, 1:] if logits.shape[1] > 1 else soft


def _normalised_relu(logits: Tensor) -> Tensor:
    positive = F.relu(logits)
    if logits.shape[1] > 1:
        scale = positive.sum(dim=1, keepdim=True)
    else:
        # Per sample, not per batch: a prediction must not depend on what else is in the batch.
        scale = positive.amax(dim=tuple(range(1, positive.ndim)), keepdim=True)
    return positive / torch.where(scale > 0, scale, torch.ones_like(scale))


def weights_init_kaiming(m: nn.Module) -> None:
    """Initialise one layer for ReLU networks (He et al., 2015, arXiv:1502.01852); use with ``Module.apply``.

    Convolutions and linear layers: Kaiming normal, fan-in. Batch normalization: scale N(1, 0.02), shift 0.
    """
    if isinstance(m, nn.modules.conv._ConvNd | nn.Linear):
        nn.init.kaiming_normal_(m.weight, a=0, mode="fan_in")
    elif isinstance(m, nn.modules.batchnorm._BatchNorm) and m.affine:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


class GridAttentionBlockND(nn.Module):
    """Additive attention: deep features decide which positions of a skip connection pass.

    Oktay et al., "Attention U-Net: Learning Where to Look for the Pancreas", MIDL 2018, arXiv:1804.03999.

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
    """Gating signal: convolution, optional batch normalization and ReLU on the bottom features.

    Args:
        in_size: Channels of the input.
        out_size: Channels of the signal.
        kernel_size: Kernel of the convolution, without padding.
        is_batchnorm: Normalize before the ReLU.
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
