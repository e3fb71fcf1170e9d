"""Instance normalisation in the channels-last format."""

import pytest
import torch
from torch import nn

from ivadomed.models.blocks import InstanceNorm3d

LAST = torch.channels_last_3d


def _image(offset: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    image = 3 * torch.randn(2, 4, 5, 6, 7, generator=generator) + offset
    return image.contiguous(memory_format=LAST).requires_grad_()


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_values_and_gradients_are_those_of_pytorch(affine: bool, offset: float) -> None:
    ours, theirs = InstanceNorm3d(4, affine=affine), nn.InstanceNorm3d(4, affine=affine).double()
    if affine:
        with torch.no_grad():
            ours.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
            ours.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0]))
        theirs.load_state_dict(ours.state_dict())
    image, gradient = _image(offset), torch.randn(2, 4, 5, 6, 7).contiguous(memory_format=LAST)
    reference = image.detach().double().requires_grad_()

    output, expected = ours(image), theirs(reference)
    inputs = torch.autograd.grad(output, [image, *ours.parameters()], gradient)
    expected_inputs = torch.autograd.grad(expected, [reference, *theirs.parameters()], gradient.double())

    torch.testing.assert_close(output.double(), expected, atol=5e-5, rtol=1e-5)
    for ours_of, theirs_of in zip(inputs, expected_inputs, strict=True):
        torch.testing.assert_close(ours_of.double(), theirs_of, atol=1e-5, rtol=1e-4)


def test_memory_format_stays_for_output_and_gradient() -> None:
    image = _image(0)
    output = InstanceNorm3d(4)(image)
    (gradient,) = torch.autograd.grad(output.square().sum(), image)

    for tensor in (output, gradient):
        assert tensor.is_contiguous(memory_format=LAST)
        assert not tensor.is_contiguous()


def test_other_formats_types_and_running_statistics_are_left_to_pytorch() -> None:
    image = _image(0).detach()
    cases = [image.contiguous(), image.double(), image.bfloat16()]
    for case in cases:
        torch.testing.assert_close(InstanceNorm3d(4)(case), nn.InstanceNorm3d(4)(case), atol=0, rtol=0)
    running = InstanceNorm3d(4, track_running_stats=True)
    running(image)
    torch.testing.assert_close(running.running_mean, 0.1 * image.mean((0, 2, 3, 4)))
