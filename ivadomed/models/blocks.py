"""Convolution blocks of the U-Net family and the activation that ends a network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivadomed.errors import ModelError
from ivadomed.models.normalisation import InstanceNorm3d

FINAL_ACTIVATIONS = ("sigmoid", "relu", "softmax")


class DownConv(nn.Module):
    """Two times convolution, ReLU, normalisation, dropout; the image size stays.

    2D uses batch normalisation, 3D instance normalisation because its batches are small.

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

    Convolutions and linear layers: Kaiming normal, fan-in. Batch normalisation: scale N(1, 0.02), shift 0.
    """
    if isinstance(m, nn.modules.conv._ConvNd | nn.Linear):
        nn.init.kaiming_normal_(m.weight, a=0, mode="fan_in")
    elif isinstance(m, nn.modules.batchnorm._BatchNorm) and m.affine:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)
