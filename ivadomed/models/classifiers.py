"""Image classifiers: ResNet-18 and DenseNet-121 for single-channel images.

Layer and attribute names are those of torchvision, from which 2.9.10 took its blocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ivadomed.errors import ModelError
from ivadomed.models.base import Dropout, Network, network
from ivadomed.models.blocks import activate

NormLayer = Callable[[int], nn.Module]


def _foreground(logits: Tensor) -> Tensor:
    """Softmax without the background class: ``[B, C]`` -> ``[B, C - 1]``."""
    return activate(logits, "softmax")


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions (He et al., 2016, figure 2).

    Args:
        inplanes: Channels of the input.
        planes: Channels of the output.
        stride: Stride of the first convolution.
        downsample: Maps the input to the shape of the output; None if they agree.
        norm_layer: Makes the normalization layer of a number of channels.
    """

    expansion = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        norm_layer: NormLayer = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inplanes, H, W]`` -> ``[B, planes, H / stride, W / stride]``."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + identity)


class ResNet(Network):
    """Residual network (He et al., 2016, arXiv:1512.03385) with four stages.

    Args:
        block: Class of the blocks, see `BasicBlock`.
        layers: Blocks per stage.
        num_classes: Number of classes; the first is the background.
        zero_init_residual: Start every residual branch at zero.
        groups: Groups of the convolutions; `BasicBlock` has 1.
        width_per_group: Width of a group; `BasicBlock` has 64.
        replace_stride_with_dilation: Dilate stages 2 to 4 instead of striding; `BasicBlock` cannot.
        norm_layer: Makes the normalization layer of a number of channels.
        in_channel: Channels of the image.
        **kwargs: See `Unet`.
    """

    def __init__(
        self,
        block: type[BasicBlock],
        layers: Sequence[int],
        num_classes: int = 2,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: NormLayer | None = None,
        in_channel: int = 1,
        **kwargs: Any,
    ) -> None:
        self.refuse_unknown(kwargs)
        super().__init__()
        if groups != 1 or width_per_group != 64 or any(replace_stride_with_dilation or ()):
            raise ModelError(
                f"ResNet: groups={groups}, width_per_group={width_per_group}, "
                f"replace_stride_with_dilation={replace_stride_with_dilation}: basic blocks have one group "
                "of width 64 and no dilation; leave these arguments out."
            )
        self._norm_layer: NormLayer = norm_layer or nn.BatchNorm2d
        self.inplanes = 64
        self.conv1 = nn.Conv2d(in_channel, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._stage(block, 64, layers[0], stride=1)
        self.layer2 = self._stage(block, 128, layers[1], stride=2)
        self.layer3 = self._stage(block, 256, layers[2], stride=2)
        self.layer4 = self._stage(block, 512, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)
        self._initialise(zero_init_residual)

    def _stage(self, block: type[BasicBlock], planes: int, n_blocks: int, stride: int) -> nn.Sequential:
        width = planes * block.expansion
        downsample = None
        if stride != 1 or self.inplanes != width:
            conv = nn.Conv2d(self.inplanes, width, kernel_size=1, stride=stride, bias=False)
            downsample = nn.Sequential(conv, self._norm_layer(width))
        first = block(self.inplanes, planes, stride, downsample, norm_layer=self._norm_layer)
        self.inplanes = width
        rest = [block(width, planes, norm_layer=self._norm_layer) for _ in range(n_blocks - 1)]
        return nn.Sequential(first, *rest)

    def _initialise(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_residual and isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channel, H, W]`` -> probabilities of the classes but the background, ``[B, C - 1]``."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return _foreground(self.fc(self.avgpool(x).flatten(1)))


@network
class resnet18(ResNet):
    """ResNet with two basic blocks per stage; keyword arguments as `ResNet`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2], **kwargs)


class _DenseLayer(nn.Module):
    """Bottleneck (1x1) and 3x3 convolution on the outputs of all previous layers."""

    def __init__(
        self,
        in_features: int,
        growth_rate: int,
        bn_size: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_features)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_features, bn_size * growth_rate, kernel_size=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, kernel_size=3, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def _bottleneck(self, *features: Tensor) -> Tensor:
        return self.conv1(self.relu1(self.norm1(torch.cat(features, dim=1))))

    def forward(self, features: list[Tensor]) -> Tensor:
        if self.memory_efficient and any(x.requires_grad for x in features):
            x = checkpoint(self._bottleneck, *features, use_reentrant=False)
        else:
            x = self._bottleneck(*features)
        x = self.conv2(self.relu2(self.norm2(x)))
        return F.dropout(x, p=self.drop_rate, training=self.training) if self.drop_rate > 0 else x


class _DenseBlock(nn.ModuleDict):
    """Dense layers, each on the outputs of all previous ones."""

    def __init__(self, n_layers: int, in_features: int, growth_rate: int, **kwargs: Any) -> None:
        super().__init__()
        for i in range(n_layers):
            self[f"denselayer{i + 1}"] = _DenseLayer(in_features + i * growth_rate, growth_rate, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, dim=1)


class _Transition(nn.Sequential):
    """Normalization, ReLU, 1x1 convolution, average pooling by 2."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(
            OrderedDict(
                norm=nn.BatchNorm2d(in_features),
                relu=nn.ReLU(inplace=True),
                conv=nn.Conv2d(in_features, out_features, kernel_size=1, bias=False),
                pool=nn.AvgPool2d(kernel_size=2, stride=2),
            )
        )


class DenseNet(Network):
    """Densely connected network (Huang et al., 2017, arXiv:1608.06993).

    Args:
        growth_rate: Feature maps added by each layer.
        block_config: Layers per block.
        num_init_features: Channels of the first convolution.
        bn_size: Width of a bottleneck in multiples of `growth_rate`.
        dropout_rate: Probability of dropout after each layer.
        num_classes: Number of classes; the first is the background.
        memory_efficient: Recompute bottlenecks in the backward pass instead of storing them.
        in_channel: Channels of the image.
        **kwargs: See `Unet`.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        dropout_rate: Dropout = 0.3,
        num_classes: int = 2,
        memory_efficient: bool = False,
        in_channel: int = 1,
        **kwargs: Any,
    ) -> None:
        self.refuse_unknown(kwargs)
        super().__init__()
        width = num_init_features
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(in_channel, width, kernel_size=7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(width),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        )
        for i, n_layers in enumerate(block_config, start=1):
            parts[f"denseblock{i}"] = _DenseBlock(
                n_layers,
                width,
                growth_rate,
                bn_size=bn_size,
                drop_rate=dropout_rate,
                memory_efficient=memory_efficient,
            )
            width += n_layers * growth_rate
            if i < len(block_config):
                parts[f"transition{i}"] = _Transition(width, width // 2)
                width //= 2
        parts["norm5"] = nn.BatchNorm2d(width)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(width, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channel, H, W]`` -> probabilities of the classes but the background, ``[B, C - 1]``."""
        x = F.relu(self.features(x))
        x = F.adaptive_avg_pool2d(x, (1, 1)).flatten(1)
        return _foreground(self.classifier(x))


@network
class densenet121(DenseNet):
    """DenseNet with blocks of 6, 12, 24 and 16 layers; keyword arguments as `DenseNet`."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(growth_rate=32, block_config=(6, 12, 24, 16), num_init_features=64, **kwargs)
