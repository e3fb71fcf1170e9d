import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from ivadomed.errors import ModelError
from ivadomed.models import build_model
from ivadomed.models.blocks import FINAL_ACTIVATIONS, DownConv, UpConv, activate, weights_init_kaiming


@given(
    name=st.sampled_from(FINAL_ACTIVATIONS),
    batch=st.integers(1, 3),
    channels=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_predictions_are_in_unit_range_and_have_no_background(name, batch, channels, seed):
    logits = torch.randn(batch, channels, 5, 6, generator=torch.Generator().manual_seed(seed)) * 10
    soft = activate(logits, name)
    assert soft.shape == (batch, max(channels - 1, 1), 5, 6)
    assert soft.min() >= 0
    assert soft.max() <= 1 + 1e-6


@given(name=st.sampled_from(FINAL_ACTIVATIONS), channels=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_sample_does_not_depend_on_its_batch(name, channels):
    logits = torch.randn(4, channels, 5, 6, generator=torch.Generator().manual_seed(channels))
    alone = torch.cat([activate(sample, name) for sample in logits.split(1)])
    torch.testing.assert_close(activate(logits, name), alone)


def test_normalised_relu_of_one_class_by_hand():
    logits = torch.tensor([[-1.0, 0.0, 2.0, 4.0], [-1.0, -2.0, -3.0, 0.0]]).reshape(2, 1, 2, 2)
    expected = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0]]).reshape(2, 1, 2, 2)
    torch.testing.assert_close(activate(logits, "relu"), expected)


def test_normalised_relu_of_several_classes_by_hand():
    # Positions: shares 1/4, 1/4, 2/4; nothing positive.
    logits = torch.tensor([[1.0, -1.0], [1.0, -1.0], [2.0, -5.0]]).reshape(1, 3, 1, 2)
    expected = torch.tensor([[0.25, 0.0], [0.5, 0.0]]).reshape(1, 2, 1, 2)
    torch.testing.assert_close(activate(logits, "relu"), expected)


def test_unknown_activation_names_the_known_ones():
    with pytest.raises(ModelError, match=r"tanh.*sigmoid, relu, softmax"):
        activate(torch.zeros(1, 1, 2, 2), "tanh")


@pytest.mark.parametrize(("is_2d", "size"), [(True, (7, 10)), (False, (7, 9, 10))])
def test_upconv_takes_the_size_of_the_skip_connection(is_2d, size):
    deep = torch.rand(2, 3, *[s // 2 for s in size])
    skip = torch.rand(2, 5, *size)
    assert UpConv(8, 4, is_2d=is_2d)(deep, skip).shape == (2, 4, *size)


def test_downconv_in_evaluation_is_conv_relu_norm():
    block = DownConv(1, 1, dropout_rate=0.5).eval()
    with torch.no_grad():
        for conv in (block.conv1, block.conv2):
            nn.init.dirac_(conv.weight)
            conv.bias.zero_()
        for norm in (block.conv1_bn, block.conv2_bn):
            norm.running_var.fill_(1.0 - norm.eps)
        # First stage: relu(x) - 1, second: relu of that - 1.
        block.conv1_bn.running_mean.fill_(1.0)
        block.conv2_bn.running_mean.fill_(1.0)
        x = torch.tensor([-3.0, 0.5, 3.0, 5.0]).reshape(1, 1, 2, 2)
        torch.testing.assert_close(block(x).flatten(), torch.tensor([-1.0, -1.0, 1.0, 3.0]))


def test_kaiming_initialisation_has_the_variance_of_the_fan_in():
    layer = nn.Conv2d(64, 64, 3)
    layer.apply(weights_init_kaiming)
    assert layer.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", ["ResidualEncoderUnet", "Modified3DUNet"])
def test_activations_in_place_change_no_gradient_and_save_memory(name):
    arguments = {"n_filters": 4, "depth": 2, "is_2d": False, "in_channel": 1, "out_channel": 3}

    def gradients(in_place):
        torch.manual_seed(0)
        model = build_model(name, arguments).train()
        for module in model.modules():
            if isinstance(module, nn.LeakyReLU) and not in_place:
                module.inplace = False
        kept = {}
        with saved_tensors_hooks(
            lambda t: kept.update({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()}) or t,
            lambda t: t,
        ):
            outputs = model(torch.rand(2, 1, 32, 32, 32))
        several = outputs if isinstance(outputs, list | tuple) else [outputs]
        sum((output**2).mean() for output in several).backward()
        return [p.grad for p in model.parameters() if p.grad is not None], sum(kept.values())

    (apart, more), (together, less) = gradients(False), gradients(True)
    assert all(torch.equal(a, b) for a, b in zip(apart, together, strict=True))
    assert less < 0.9 * more
