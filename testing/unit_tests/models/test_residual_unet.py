"""The residual-encoder U-Net; what all networks share is in test_networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.losses import DeepSupervisionLoss, DiceLoss
from ivadomed.models import ResidualEncoderUnet, load_model, save_model
from ivadomed.models.residual_unet import ResidualBlock

FLAT = {"strides": [[1, 2, 2], [2, 2, 2]], "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]]}


def small(**changes):
    return ResidualEncoderUnet(**{"depth": 2, "n_filters": 2, **changes})


def test_stages_are_as_wide_and_long_as_they_should_be():
    model = ResidualEncoderUnet(in_channel=2, depth=4, n_filters=4, max_filters=20)
    assert [len([m for m in stage if isinstance(m, ResidualBlock)]) for stage in model.encoder] == [
        1,
        3,
        4,
        6,
        6,
    ]
    assert [stage[-1].conv2[0].out_channels for stage in model.encoder] == [4, 8, 16, 20, 20]
    assert model.encoder[0][0][0].in_channels == 2
    # One convolution per stage of the decoder.
    assert [sum(isinstance(m, nn.Conv2d) for m in stage.modules()) for stage in model.decoder] == [1] * 4


def test_kernels_and_strides_of_a_flat_patch():
    model = small(is_2d=False, n_blocks=[1, 2, 1], **FLAT)
    first = [stage[-1].conv2[0].kernel_size for stage in model.encoder]
    assert first == [(1, 3, 3), (3, 3, 3), (3, 3, 3)]
    assert [up.stride for up in model.upsampling] == [(2, 2, 2), (1, 2, 2)]
    features = []
    for stage in model.encoder:
        stage.register_forward_hook(lambda module, args, output: features.append(tuple(output.shape[2:])))
    model.eval()(torch.rand(1, 1, 5, 16, 12))
    assert features == [(5, 16, 12), (5, 8, 6), (3, 4, 3)]


@given(size=st.tuples(*[st.integers(5, 40)] * 2), out_channel=st.integers(1, 3), depth=st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_any_2d_size(size, out_channel, depth):
    model = small(depth=depth, out_channel=out_channel).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 1, *size)).shape == (1, max(out_channel - 1, 1), *size)


@given(size=st.tuples(*[st.integers(5, 20)] * 3))
@settings(max_examples=8, deadline=None)
def test_any_3d_size(size):
    model = small(is_2d=False, n_blocks=[1, 1, 1], **FLAT).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 1, *size)).shape == (1, 1, *size)


def test_training_gives_every_resolution_but_the_lowest_and_evaluation_one():
    model = small(depth=3, out_channel=3)
    predictions = model.train()(torch.rand(2, 1, 30, 25))
    assert [tuple(p.shape) for p in predictions] == [(2, 2, 30, 25), (2, 2, 15, 13)]
    torch.manual_seed(0)
    image = torch.rand(2, 1, 30, 25)
    with torch.no_grad():
        # Without dropout, and instance normalization has no running statistics: nothing else differs.
        torch.testing.assert_close(model.eval()(image), model.train()(image)[0])


def test_one_level_still_has_a_head():
    [only] = small(depth=1).train()(torch.rand(1, 1, 16, 16))
    assert only.shape == (1, 1, 16, 16)


def test_without_deep_supervision_training_gives_a_tensor():
    model = small(depth=3, deep_supervision=False)
    assert len(model.heads) == 1
    assert model.train()(torch.rand(1, 1, 16, 16)).shape == (1, 1, 16, 16)


def test_deep_supervision_reaches_every_parameter_and_learns():
    torch.manual_seed(0)
    model = small(depth=3, n_filters=4, n_blocks=[1, 1, 1, 1]).train()
    target = torch.zeros(1, 1, 24, 24)
    target[..., 6:18, 4:15] = 1
    image = target + 0.1 * torch.rand(1, 1, 24, 24)
    loss, optimizer = DeepSupervisionLoss(DiceLoss()), torch.optim.Adam(model.parameters(), 0.01)
    values = []
    for _ in range(10):
        optimizer.zero_grad()
        value = loss(model(image), target)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert values[-1] < values[0] - 0.1


def test_a_block_starts_as_its_shortcut():
    block = small().encoder[1][1]
    x = torch.rand(1, 4, 6, 6)  # not negative, so that the last activation changes nothing
    assert isinstance(block, ResidualBlock)
    torch.testing.assert_close(block(x), x)


def test_pooling_beside_a_stride_rounds_up_and_ignores_what_is_beyond_the_edge():
    block = ResidualBlock(1, 1, (3, 3), (2, 2))
    nn.init.zeros_(block.conv2[-1].weight)
    x = torch.tensor([[1.0, 3.0, 5.0], [1.0, 3.0, 7.0], [8.0, 4.0, 9.0]]).reshape(1, 1, 3, 3)
    assert block(x).flatten().tolist() == [2.0, 6.0, 6.0, 9.0]


@pytest.mark.parametrize("is_2d", [True, False])
def test_dropout_is_in_every_block_and_the_decoder(is_2d):
    kind = nn.Dropout2d if is_2d else nn.Dropout3d
    model = small(dropout_rate=0.2, is_2d=is_2d)
    assert [m.p for m in model.modules() if isinstance(m, kind)] == [0.2] * (1 + 1 + 3 + 4 + 2)
    assert not [m for m in small(is_2d=is_2d).modules() if isinstance(m, kind)]


def test_the_example_has_two_voxels_at_the_bottom():
    assert small(depth=5).example_size(2) == (64, 64)
    assert small(is_2d=False, **FLAT).example_size(3) == (32, 32, 32)


def test_a_saved_model_needs_no_plan(tmp_path):
    arguments = {"depth": 2, "n_filters": 2, "is_2d": False, "n_blocks": [1, 1, 1], **FLAT}
    model = ResidualEncoderUnet(**arguments).eval()
    save_model(tmp_path / "m.pt", model, "ResidualEncoderUnet", arguments)
    image = torch.rand(1, 1, 8, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "m.pt")(image), model(image), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, "depth: 0"),
        ({"n_blocks": [1, 2]}, r"n_blocks: \[1, 2\]; expected 3 numbers"),
        ({"n_blocks": [1, 0, 1]}, "of at least 1"),
        ({"strides": [[2, 2]]}, r"strides: \[\[2, 2\]\]; expected 2 lists of 2 numbers"),
        ({"kernel_sizes": [[3, 3, 3]] * 3}, "kernel_sizes.*expected 3 lists of 2 numbers"),
        ({"final_activation": "tanh"}, "final_activation"),
    ],
)
def test_wrong_arguments(changes, message):
    with pytest.raises(ModelError, match=message):
        small(**changes)
