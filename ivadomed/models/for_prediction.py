"""The form of a network for prediction: the same values from fewer and faster operations.

- In evaluation mode, batch normalization multiplies each channel by a constant and adds another, which the weights and
  the bias of the convolution before it can do as well (Jacob et al., 2018, arXiv:1712.05877, section 3.2).
- For a single sample, PyTorch computes small 3D convolutions without oneDNN (``use_mkldnn`` in its Convolution.cpp),
  which took up to 22 times as long on a CPU: 63 ms rather than 2.8 ms for 8 channels of 48x48x48 voxels. It also loses
  the channels-last format.
- Weights that `UpscalingConv3d` derives in each call are derived once.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeGuard, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ivadomed.models.blocks import DownConv
from ivadomed.models.countception import ConvBlock
from ivadomed.models.unet3d import UpscalingConv3d

M = TypeVar("M", bound=nn.Module)

_HAS_ONEDNN = torch.backends.mkldnn.is_available()


def for_prediction(model: M) -> M:
    """A copy of a network with the same predictions, up to rounding.

    Args:
        model: Network in evaluation mode; it is not changed. A network without anything to replace is returned
            itself.
    """
    if not any(_is_fixed(module) or isinstance(module, nn.Conv3d) for module in model.modules()):
        return model
    model = copy.deepcopy(model)
    _replace(model)
    return model


def _replace(model: nn.Module) -> None:
    for name, child in [*model.named_children()]:
        replacement = _replacement(child)
        if replacement is not None:
            setattr(model, name, replacement)
        else:
            _replace(child)


def _replacement(module: nn.Module) -> nn.Module | None:
    """Replacement of a module; None: the module stays, perhaps with other children."""
    if type(module) is UpscalingConv3d:
        return module.as_transposed()
    if type(module) is nn.Conv3d and _HAS_ONEDNN and _OneDnnConv3d.takes(module):
        module.__class__ = _OneDnnConv3d  # with all attributes that a network may read
    elif type(module) is nn.ConvTranspose3d and _HAS_ONEDNN:
        module.__class__ = _OneDnnTransposed3d
    elif type(module) is DownConv and _is_fixed(module.conv1_bn):
        return _FoldedDownConv(module)
    elif type(module) is ConvBlock and _is_fixed(module.batch_norm):
        module.conv1 = fuse_conv_bn_eval(module.conv1, module.batch_norm)
        module.batch_norm = nn.Identity()  # type: ignore[assignment]
    elif type(module) is nn.Sequential:
        for index, (first, second) in enumerate(pairwise(module)):
            if isinstance(first, _ConvNd) and _is_fixed(second):
                module[index], module[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return None


def _is_fixed(norm: nn.Module) -> TypeGuard[_BatchNorm]:
    return isinstance(norm, _BatchNorm) and norm.running_mean is not None and not norm.training


class _OneDnnConv3d(nn.Conv3d):
    """A 3D convolution that oneDNN computes for a single sample too."""

    @staticmethod
    def takes(conv: nn.Conv3d) -> bool:
        """True for convolutions that oneDNN knows."""
        return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)

    def forward(self, input: Tensor) -> Tensor:
        """``[B, in, H, W, D]`` -> ``[B, out, H', W', D']``."""
        if not _is_single(input):
            return super().forward(input)
        padding = cast(tuple[int, ...], self.padding)  # see `takes`
        sizes = (padding, self.stride, self.dilation, self.groups)
        return torch.mkldnn_convolution(input, self.weight, self.bias, *sizes)


class _OneDnnTransposed3d(nn.ConvTranspose3d):
    """The same of a transposed convolution; PyTorch calls oneDNN's for two samples, which take no longer than one."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """``[B, in, H, W, D]`` -> ``[B, out, H', W', D']``."""
        if not _is_single(input):
            return super().forward(input, output_size)
        return super().forward(torch.cat((input, input)), output_size)[:1]


def _is_single(x: Tensor) -> bool:
    """True for one sample in float32 on a CPU."""
    return len(x) == 1 and x.device.type == "cpu" and x.dtype == torch.float32


class _BoundedConv(nn.Module):
    """Convolution, ReLU and batch normalization, in this order.

    With factor a and shift b of the normalization, a relu(z) + b is max(a z + b, b) where a is positive and
    min(a z + b, b) where it is not.

    Args:
        conv: Convolution.
        norm: Batch normalization in evaluation mode.
    """

    low: Tensor
    high: Tensor

    def __init__(self, conv: _ConvNd, norm: _BatchNorm) -> None:
        super().__init__()
        self.conv = fuse_conv_bn_eval(conv, norm)
        with torch.no_grad():
            shift = norm(conv.weight.new_zeros(1, norm.num_features, *(1 for _ in conv.kernel_size)))
        factor = shift.new_ones(norm.num_features) if norm.weight is None else norm.weight.detach()
        rises = factor.view(shift.shape) > 0
        self.register_buffer("low", torch.where(rises, shift, -torch.inf))
        self.register_buffer("high", torch.where(rises, torch.inf, shift))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in, ...]`` -> ``[B, out, ...]``."""
        z: Tensor = self.conv(x)
        return z.clamp_(self.low.to(z.dtype), self.high.to(z.dtype))


class _FoldedDownConv(nn.Module):
    """`DownConv` with its batch normalizations folded; dropout, which may be on for Monte Carlo samples, stays."""

    def __init__(self, block: DownConv) -> None:
        super().__init__()
        convs, norms = (block.conv1, block.conv2), (block.conv1_bn, block.conv2_bn)
        self.conv1, self.conv2 = (
            _BoundedConv(cast(_ConvNd, conv), cast(_BatchNorm, norm))
            for conv, norm in zip(convs, norms, strict=True)
        )
        self.conv1_drop, self.conv2_drop = block.conv1_drop, block.conv2_drop

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_feat, ...]`` -> ``[B, out_feat, ...]``."""
        x = self.conv1_drop(self.conv1(x))
        return self.conv2_drop(self.conv2(x))
