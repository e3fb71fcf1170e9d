"""Count-ception: a fully convolutional network for keypoints."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from ivadomed.models.base import Network, network
from ivadomed.registry.types import Doc, Flag, Positive


class ConvBlock(nn.Module):
    """Convolution, batch normalization, activation.

    Args:
        in_chan: Channels of the input.
        out_chan: Channels of the output.
        ksize: Kernel size.
        stride: Stride.
        pad: Zeros added on every side.
        activation: None takes a leaky ReLU of slope 0.01.
    """

    def __init__(
        self,
        in_chan: int,
        out_chan: int,
        ksize: int = 3,
        stride: int = 1,
        pad: int = 0,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_chan, out_chan, kernel_size=ksize, stride=stride, padding=pad)
        self.activation = nn.LeakyReLU(0.01) if activation is None else activation
        self.batch_norm = nn.BatchNorm2d(out_chan)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_chan, H, W]`` -> ``[B, out_chan, H', W']``."""
        return self.activation(self.batch_norm(self.conv1(x)))


class SimpleBlock(nn.Module):
    """Inception block: parallel convolutions of size 3, 5 and 9; the output is two pixels smaller per axis.

    Args:
        in_chan: Channels of the input.
        out_chan_1x1: Channels of the smallest convolution (of size 3, despite the name).
        out_chan_3x3: Channels of each of the two larger ones.
        activation: See `ConvBlock`.
    """

    def __init__(
        self, in_chan: int, out_chan_1x1: int, out_chan_3x3: int, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = ConvBlock(in_chan, out_chan_1x1, ksize=3, pad=0, activation=activation)
        self.conv2 = ConvBlock(in_chan, out_chan_3x3, ksize=5, pad=1, activation=activation)
        self.conv3 = ConvBlock(in_chan, out_chan_3x3, ksize=9, pad=3, activation=activation)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_chan, H, W]`` -> ``[B, out_chan_1x1 + 2 * out_chan_3x3, H - 2, W - 2]``."""
        return torch.cat([self.conv1(x), self.conv2(x), self.conv3(x)], dim=1)


@network
class Countception(Network):
    """Count-ception (Cohen et al., 2017, arXiv:1703.08710).

    Each pixel passes through the network several times as part of overlapping windows; averaging the redundant
    predictions avoids misses. Zero padding gives input and output the same size.

    Args:
        in_channel: Channels of the image.
        out_channel: Number of keypoint maps.
        use_logits: Return `logits_per_output` maps for each output instead of one.
        logits_per_output: Number of those maps.
        name: Name of the model.
        **kwargs: See `Unet`.
    """

    # In this format, the backward pass of 20 x 20 kernels took 18 times as long on a CPU.
    channels_last: ClassVar[bool] = False

    def __init__(
        self,
        in_channel: int = 3,
        out_channel: int = 1,
        use_logits: Annotated[Flag, Doc("Return logits per output value.")] = False,
        logits_per_output: Annotated[Positive, Doc("Number of logits per output.", 8)] = 12,
        name: str = "CC",
        **kwargs: Any,
    ) -> None:
        self.refuse_unknown(kwargs)
        super().__init__()
        self.in_channel = in_channel
        self.out_channel = out_channel
        self.use_logits = use_logits
        self.logits_per_output = logits_per_output
        self.name = name
        self.activation = nn.LeakyReLU(0.01)
        self.final_activation = nn.LeakyReLU(0.3)
        self.patch_size = 40

        act = self.activation
        n_maps = out_channel * logits_per_output if use_logits else out_channel
        self.conv1 = ConvBlock(in_channel, 64, ksize=3, pad=self.patch_size, activation=act)
        self.simple1 = SimpleBlock(64, 16, 16, activation=act)
        self.simple2 = SimpleBlock(48, 16, 32, activation=act)
        self.conv2 = ConvBlock(80, 16, ksize=14, activation=act)
        self.simple3 = SimpleBlock(16, 112, 48, activation=act)
        self.simple4 = SimpleBlock(208, 64, 32, activation=act)
        self.simple5 = SimpleBlock(128, 40, 40, activation=act)
        self.simple6 = SimpleBlock(120, 32, 96, activation=act)
        self.conv3 = ConvBlock(224, 32, ksize=20, activation=act)
        self.conv4 = ConvBlock(32, 64, ksize=10, activation=act)
        self.conv5 = ConvBlock(64, 32, ksize=9, activation=act)
        self.conv6 = ConvBlock(32, n_maps, ksize=20, pad=1, activation=self.final_activation)
        self._initialise()

    def _initialise(self) -> None:
        gain = nn.init.calculate_gain("leaky_relu", self.activation.negative_slope)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight, gain=gain)

    def example_size(self, n_axes: int) -> tuple[int, ...]:
        """8: the zero padding makes any size sufficient."""
        return (8,) * n_axes

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channel, H, W]`` -> keypoint maps ``[B, out_channel, H, W]``, unbounded."""
        x = self.conv2(self.simple2(self.simple1(self.conv1(x))))
        x = self.simple6(self.simple5(self.simple4(self.simple3(x))))
        return self.conv6(self.conv5(self.conv4(self.conv3(x))))
