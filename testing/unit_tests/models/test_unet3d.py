"""Layers of the residual 3D U-Net."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ivadomed.models.unet3d import Modified3DUNet, UpscalingConv3d

SIZES = st.tuples(*(st.integers(1, 5),) * 3)


@settings(deadline=None, max_examples=25)
@given(size=SIZES, seed=st.integers(0, 1000))
def test_upscaling_convolution_is_upsampling_then_convolution(size: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    layer = UpscalingConv3d(3, 2).double()
    two_steps = nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv3d(3, 2, kernel_size=3, padding=1, bias=False)
    ).double()
    two_steps[1].load_state_dict(layer.state_dict())
    image = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)

    output, expected = layer(image), two_steps(image)
    gradient = torch.randn_like(expected)

    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(layer.as_transposed()(image), expected)
    for ours, theirs in zip(
        torch.autograd.grad(output, [image, layer.weight], gradient),
        torch.autograd.grad(expected, [image, two_steps[1].weight], gradient),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_weights_keep_their_published_names() -> None:
    names = Modified3DUNet(1, 1, n_filters=2).state_dict()

    for level in range(4):
        assert f"norm_lrelu_upscale_conv_norm_lrelu_l{level}.3.weight" in names
