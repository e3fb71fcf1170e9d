"""Number format of a training, and a check that the machine computes correctly in it.

On CPUs, torch 2.13 reads the bfloat16 weight gradient of a 3D convolution from uninitialized memory if the feature map
is as small as 2 x 2 x 2 voxels: values differ in every run, up to 1e37. "auto" selects float32 for such networks, and
wherever the gradient of a small convolution is wrong or not reproducible. A minimal example is in
``docs/performance.md``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ivadomed.config.schema.run import Architecture
from ivadomed.errors import ConfigError
from ivadomed.models.base import Network, example_inputs
from ivadomed.models.registry import build_model
from ivadomed.runtime.device import fabric_precision
from ivadomed.runtime.terminal import say

log = logging.getLogger(__name__)

_SMALL = 2
"""Feature maps of at most this many voxels along every axis are never computed in bfloat16 on a CPU."""
_TESTED_VOXELS = 64
"""Convolutions on feature maps of at most this many voxels are tested, which takes milliseconds."""
_WORDS = {"32": "32 bits", "bf16": "bf16 mixed with 32 bits", "16": "fp16 mixed with 32 bits"}
_TOLERANCE = 0.05
"""Tolerance relative to the largest gradient value; bfloat16 has 8 bits, and sums are computed in float32."""


@dataclass(frozen=True)
class Convolution:
    """A 3D convolution of a network and its input size.

    Args:
        channels: Input and output channels.
        groups: Groups of channels.
        kernel: Voxels along each axis.
        stride: Stride along each axis.
        padding: Padding along each axis.
        size: Voxels of its input along each axis.
    """

    channels: tuple[int, int]
    groups: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    size: tuple[int, ...]


def resolve_precision(
    precision: str,
    device: torch.device,
    architecture: Architecture,
    size: Sequence[int],
    batch_size: int,
) -> str:
    """Resolve precision "auto" to "32" or "bf16"; others are returned unchanged.

    Args:
        precision: ``training_parameters.precision``.
        device: Device of the training.
        architecture: Network and its arguments.
        size: Voxels of a sample along each axis.
        batch_size: Samples of a batch.

    Raises:
        ConfigError: "bf16" was requested, and gives wrong gradients here.
    """
    chosen = fabric_precision(precision, device)
    if chosen != "bf16-mixed" or device.type != "cpu" or len(size) < 3:
        return precision if precision != "auto" else {"bf16-mixed": "bf16", "32-true": "32"}[chosen]
    fault = _fault(architecture, size, batch_size)
    if fault is None:
        return "bf16"
    if precision == "bf16":
        raise ConfigError(
            f'training_parameters.precision: "bf16", but {fault}; use "auto" or "32", or larger patches'
        )
    say("Precision", f"32 bits: {fault}")
    return "32"


def precision_text(precision: str, wanted: str) -> str:
    """Describe the number format of a training; "auto" differs between machines, and so do the results.

    Args:
        precision: See ``resolve_precision``.
        wanted: ``training_parameters.precision``.
    """
    return f"{_WORDS[precision]} (auto)" if wanted == "auto" else _WORDS[precision]


def _fault(architecture: Architecture, size: Sequence[int], batch_size: int) -> str | None:
    """Reason why a 3D network must not be trained in bfloat16 on this CPU; None if it may."""
    try:
        found = convolutions(architecture, size)
    except Exception as error:  # a custom network may do anything with its input
        log.debug("The feature maps of %s are not known: %s", architecture.name, error)
        return "the feature maps of this network are unknown, and small ones have wrong gradients in bfloat16"
    for convolution in sorted(found, key=lambda each: math.prod(each.size)):
        text = "x".join(map(str, convolution.size))
        if max(convolution.size) <= _SMALL:
            return f"feature maps as small as {text} have wrong gradients in bfloat16 on CPUs"
        if math.prod(convolution.size) <= _TESTED_VOXELS and not has_right_gradient(convolution, batch_size):
            return f"feature maps of {text} have a wrong gradient in bfloat16 on this CPU"
    return None


def convolutions(architecture: Architecture, size: Sequence[int]) -> set[Convolution]:
    """List the 3D convolutions of a network for a sample, without computing them.

    Args:
        architecture: Network and its arguments.
        size: Voxels of the sample along each axis.
    """
    found: set[Convolution] = set()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(module, nn.Conv3d)
        padding = (
            module.padding if isinstance(module.padding, tuple) else tuple(k // 2 for k in module.kernel_size)
        )
        found.add(
            Convolution(
                (module.in_channels, module.out_channels),
                module.groups,
                tuple(module.kernel_size),
                tuple(module.stride),
                tuple(padding),
                tuple(inputs[0].shape[2:]),
            )
        )

    with torch.device("meta"), torch.no_grad():
        model = build_model(architecture.name, architecture.arguments).train()
        assert isinstance(model, Network)
        for module in model.modules():
            if isinstance(module, nn.Conv3d):
                module.register_forward_hook(note)
        batch = example_inputs(model, (2, architecture.arguments.get("in_channel", 1), *size))
        model(*model.inputs(batch))
    return found


def has_right_gradient(convolution: Convolution, batch_size: int) -> bool:
    """True if the bfloat16 weight gradient matches float32 and is reproducible, on memory filled with noise.

    Args:
        convolution: Convolution to compute.
        batch_size: Samples.
    """
    draw = torch.Generator().manual_seed(0)
    image = torch.randn(batch_size, convolution.channels[0], *convolution.size, generator=draw).bfloat16()
    shape = (convolution.channels[1], convolution.channels[0] // convolution.groups, *convolution.kernel)
    weight = torch.randn(shape, generator=draw).bfloat16()
    wanted = _gradient(convolution, image.float(), weight.float())
    first, second = (_gradient(convolution, image, weight).float() for _ in range(2))
    right = bool(torch.isfinite(first).all()) and float((first - wanted).abs().max()) <= _TOLERANCE * float(
        wanted.abs().max()
    )
    return right and torch.equal(first, second)


def _gradient(convolution: Convolution, image: Tensor, weight: Tensor) -> Tensor:
    """Gradient of a weighted sum of the convolution's output with respect to its weights."""
    layout = torch.channels_last_3d
    weight = weight.contiguous(memory_format=layout).requires_grad_()
    output = torch.nn.functional.conv3d(
        image.contiguous(memory_format=layout),
        weight,
        stride=convolution.stride,
        padding=convolution.padding,
        groups=convolution.groups,
    )
    upstream = torch.linspace(-1, 1, output.numel()).reshape(output.shape).to(output)
    noise = [torch.full_like(weight, 1e30, requires_grad=False) for _ in range(4)]
    del noise  # the gradient is likely to be allocated in this memory
    (gradient,) = torch.autograd.grad(output, weight, upstream.contiguous(memory_format=layout))
    return gradient
