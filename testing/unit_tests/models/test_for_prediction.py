"""A network in its form for prediction predicts the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ivadomed.models import (
    Countception,
    FiLMedUnet,
    HeMISUnet,
    Modified3DUNet,
    ResidualEncoderUnet,
    Unet,
)
from ivadomed.models.base import example_inputs
from ivadomed.models.blocks import DownConv
from ivadomed.models.for_prediction import for_prediction
from ivadomed.models.unet3d import UpscalingConv3d


def trained(model, seed=0):
    """The network in evaluation mode, with statistics, factors (also negative ones and zeros) and shifts drawn."""
    draw = torch.Generator().manual_seed(seed)
    for norm in norms(model):
        with torch.no_grad():
            norm.weight.normal_(generator=draw)
            norm.weight[0] = 0
            norm.bias.normal_(generator=draw)
            norm.running_mean.normal_(generator=draw)
            norm.running_var.uniform_(0.5, 2, generator=draw)
    return model.eval()


def norms(model):
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


CASES = {
    "Unet": (lambda: Unet(in_channel=2, out_channel=3, depth=2, n_filters=4), (2, 2, 37, 44)),
    "FiLMedUnet": (lambda: FiLMedUnet(depth=2, n_filters=4, n_metadata=3), (2, 1, 32, 32)),
    "HeMISUnet": (lambda: HeMISUnet(["T1w", "T2w"], depth=2, n_filters=4), (2, 2, 32, 32)),
    "attention": (lambda: Modified3DUNet(1, 1, n_filters=2, attention=True), (1, 1, 32, 32, 32)),
    "Countception": (lambda: Countception(in_channel=1), (1, 1, 8, 8)),
}


@pytest.mark.parametrize("name", CASES)
def test_the_prediction_stays_and_no_batch_normalization_does(name):
    make, shape = CASES[name]
    torch.manual_seed(0)
    model = trained(make())
    before = {key: value.clone() for key, value in model.state_dict().items()}
    folded = for_prediction(model)
    inputs = example_inputs(model, shape)
    with torch.no_grad():
        expected, prediction = model(*model.inputs(inputs)), folded(*folded.inputs(inputs))
    assert norms(model)
    assert not norms(folded)
    torch.testing.assert_close(prediction, expected, atol=2e-5, rtol=1e-4)
    # The network that was given is as it was.
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@given(seed=st.integers(0, 1000), is_2d=st.booleans(), size=st.integers(1, 9))
def test_a_block_keeps_its_values_also_at_the_border(seed, is_2d, size):
    torch.manual_seed(seed)
    block = trained(DownConv(2, 3, is_2d=is_2d), seed)
    model = nn.ModuleList([block]).eval()
    [folded] = for_prediction(model)
    image = torch.randn(2, 2, *(size + 1,) * (2 if is_2d else 3))
    with torch.no_grad():
        torch.testing.assert_close(folded(image), block(image), atol=1e-5, rtol=1e-4)


def test_one_channel_by_hand():
    block = DownConv(1, 1).eval()
    with torch.no_grad():
        for conv in (block.conv1, block.conv2):
            nn.init.dirac_(conv.weight)
            conv.bias.zero_()
        block.conv1_bn.weight.fill_(-2)
        block.conv1_bn.bias.fill_(5)
        block.conv1_bn.eps = block.conv2_bn.eps = 0.0
        [folded] = for_prediction(nn.ModuleList([block]))
        # relu, then -2 x + 5, then relu: -1 -> 0 -> 5; 1 -> 1 -> 3; 4 -> 4 -> -3 -> 0
        assert folded(torch.tensor([[[[-1.0, 1.0, 4.0]]]])).tolist() == [[[[5.0, 3.0, 0.0]]]]


def test_a_network_with_nothing_to_replace_is_returned_itself():
    model = ResidualEncoderUnet(is_2d=True, n_filters=2).eval()
    assert for_prediction(model) is model


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["Modified3DUNet", "ResidualEncoderUnet", "Unet"])
def test_single_3d_samples_have_the_values_of_pytorch(name, last, samples):
    torch.manual_seed(0)
    networks = {
        "Modified3DUNet": lambda: Modified3DUNet(1, 2, n_filters=4),
        "ResidualEncoderUnet": lambda: ResidualEncoderUnet(is_2d=False, n_filters=4, depth=2),
        "Unet": lambda: Unet(is_2d=False, depth=2, n_filters=4),
    }
    model = networks[name]().eval()
    memory_format = torch.channels_last_3d if last else torch.contiguous_format
    image = torch.rand(samples, 1, 32, 32, 48).contiguous(memory_format=memory_format)
    with torch.no_grad():
        expected = model(image)
        prediction = for_prediction(model).to(memory_format=memory_format)(image)
    assert not any(isinstance(module, UpscalingConv3d) for module in for_prediction(model).modules())
    torch.testing.assert_close(prediction, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding": "same"},
        {"padding": 1, "padding_mode": "reflect"},
        {"groups": 2},
        {"dilation": 2},
    ],
)
def test_convolutions_of_any_kind(options):
    torch.manual_seed(0)
    convs, image = [nn.Conv3d(2, 4, 3, **options)], torch.rand(1, 2, 9, 8, 7)
    if not isinstance(options.get("padding"), str) and "padding_mode" not in options:
        convs.append(nn.ConvTranspose3d(2, 4, 3, **options))
    for conv, other in zip(convs, for_prediction(nn.ModuleList(convs).eval()), strict=True):
        with torch.no_grad():
            torch.testing.assert_close(other(image), conv(image), atol=1e-5, rtol=1e-4)


def test_statistics_of_the_batch_cannot_be_folded():
    model = Unet(depth=1, n_filters=2).train()
    assert for_prediction(model) is model


def test_dropout_stays_for_monte_carlo_samples():
    folded = for_prediction(Unet(depth=1, n_filters=2, dropout_rate=0.3).eval())
    assert sum(isinstance(module, nn.Dropout2d) for module in folded.modules()) == 6
