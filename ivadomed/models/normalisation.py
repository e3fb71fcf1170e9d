"""Instance normalisation that keeps the channels-last memory format on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_SPACE = (2, 3, 4)


class InstanceNorm3d(nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d` with the same values, which leaves a channels-last image channels-last.

    PyTorch's own computes channel by channel: it copies a channels-last image to the other format and hands that
    on, so that the next convolution copies it back, and both again for the gradients. On a CPU such copies take
    as long as a convolution of few channels.
    """

    def forward(self, input: Tensor) -> Tensor:
        """``[B, C, H, W, D]`` -> the same shape, each channel of each image with mean 0 and deviation 1."""
        if self.track_running_stats or not _is_channels_last_on_cpu(input):
            return super().forward(input)
        normalised: Tensor = _Normalise.apply(input, self.eps)
        if not self.affine:
            return normalised
        return torch.addcmul(self.bias.view(-1, 1, 1, 1), normalised, self.weight.view(-1, 1, 1, 1))


def _is_channels_last_on_cpu(x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and x.ndim == 5
        and x.is_contiguous(memory_format=torch.channels_last_3d)
        and not x.is_contiguous()
    )


class _Normalise(torch.autograd.Function):
    """Subtract the mean over space and divide by the deviation, in passes that follow the order of memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> Tensor:
        centred = x - x.mean(_SPACE, keepdim=True)
        inverse = centred.square().mean(_SPACE, keepdim=True).add_(eps).rsqrt_()
        normalised = centred.mul_(inverse)
        ctx.save_for_backward(normalised, inverse)
        return normalised

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """With y the output and g its gradient: (g - mean(g) - y mean(g y)) / deviation."""
        normalised, inverse = ctx.saved_tensors
        gradient = gradients[0]
        out = gradient - gradient.mean(_SPACE, keepdim=True)
        out.addcmul_(normalised, (gradient * normalised).mean(_SPACE, keepdim=True), value=-1)
        return out.mul_(inverse), None
