"""Instance normalization in the channels-last format."""

import pytest
import torch
from torch import nn

from ivadomed.models.blocks import InstanceNorm2d, InstanceNorm3d
from ivadomed.runtime.memory_format import channels_last

KINDS = {
    "2d": (InstanceNorm2d, nn.InstanceNorm2d, (2, 4, 6, 7)),
    "3d": (InstanceNorm3d, nn.InstanceNorm3d, (2, 4, 5, 6, 7)),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def _last(x):
    return x.contiguous(memory_format=channels_last(x.ndim - 2))


def _image(shape, offset=0.0):
    generator = torch.Generator().manual_seed(1)
    return _last(3 * torch.randn(shape, generator=generator) + offset).requires_grad_()


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_values_and_gradients_are_those_of_pytorch(kind, affine, offset):
    norm, plain, shape = kind
    ours, theirs = norm(4, affine=affine), plain(4, affine=affine).double()
    if affine:
        with torch.no_grad():
            ours.weight.copy_(torch.tensor([1.0, -2.0, 0.5, 3.0]))
            ours.bias.copy_(torch.tensor([0.0, 1.0, -1.0, 2.0]))
        theirs.load_state_dict(ours.state_dict())
    image, gradient = _image(shape, offset), _last(torch.randn(shape))
    reference = image.detach().double().requires_grad_()

    output, expected = ours(image), theirs(reference)
    inputs = torch.autograd.grad(output, [image, *ours.parameters()], gradient)
    expected_inputs = torch.autograd.grad(expected, [reference, *theirs.parameters()], gradient.double())

    torch.testing.assert_close(output.double(), expected, atol=2e-5, rtol=1e-5)
    for ours_of, theirs_of in zip(inputs, expected_inputs, strict=True):
        torch.testing.assert_close(ours_of.double(), theirs_of, atol=1e-5, rtol=1e-4)


def test_large_images_are_as_exact_as_small_ones():
    generator = torch.Generator().manual_seed(1)
    image = _last(torch.randn(1, 3, 96, 96, 64, generator=generator).relu())
    torch.testing.assert_close(
        InstanceNorm3d(3)(image).double(), nn.InstanceNorm3d(3)(image.double()), atol=1e-5, rtol=1e-5
    )


def test_memory_format_stays_for_output_and_gradient(kind):
    norm, _, shape = kind
    image = _image(shape)
    output = norm(4)(image)
    (gradient,) = torch.autograd.grad(output.square().sum(), image)

    for tensor in (output, gradient):
        assert tensor.is_contiguous(memory_format=channels_last(len(shape) - 2))
        assert not tensor.is_contiguous()


def test_other_formats_types_and_running_statistics_are_left_to_pytorch(kind):
    norm, plain, shape = kind
    image = _image(shape).detach()
    for case in (image.contiguous(), image.double(), image.bfloat16(), image[0]):
        torch.testing.assert_close(norm(4)(case), plain(4)(case), atol=0, rtol=0)
    running = norm(4, track_running_stats=True)
    running(image)
    torch.testing.assert_close(running.running_mean, 0.1 * image.mean((0, *range(2, image.ndim))))
