"""Properties every network shares, and the ones of each."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models import (
    Countception,
    DenseNet,
    FiLMedUnet,
    GridAttentionBlockND,
    HeMISUnet,
    Modified3DUNet,
    ResidualEncoderUnet,
    ResNet,
    SimpleBlock,
    Unet,
    UNet3D,
    build_model,
    densenet121,
    residual_unet,
    resnet18,
    unet,
    unet3d,
)
from ivadomed.models.base import example_inputs
from ivadomed.models.blocks import activate
from ivadomed.models.classifiers import BasicBlock
from ivadomed.models.hemis import pool_contrasts

MASK = torch.tensor([[True, False], [True, True]])
NETWORKS = {
    "Unet": (lambda: Unet(depth=2, n_filters=4), (1, 32, 32), None),
    "Unet 3D": (lambda: Unet(depth=1, n_filters=2, is_2d=False), (1, 8, 8, 8), None),
    "FiLMedUnet": (
        lambda: FiLMedUnet(depth=2, n_filters=4, n_metadata=3, film_layers=[1, 0, 1, 0, 1, 1]),
        (1, 32, 32),
        torch.eye(3)[:2],
    ),
    "HeMISUnet": (lambda: HeMISUnet(["T1w", "T2w"], depth=2, n_filters=4), (2, 32, 32), MASK),
    "Modified3DUNet": (lambda: Modified3DUNet(1, 1, n_filters=2, attention=True), (1, 32, 32, 32), None),
    "Modified3DUNet with FiLM": (
        lambda: Modified3DUNet(1, 1, n_filters=2, n_metadata=3, film_layers=[1] * 10),
        (1, 32, 32, 32),
        torch.eye(3)[:2],
    ),
    "ResidualEncoderUnet": (
        lambda: ResidualEncoderUnet(depth=2, n_filters=4, deep_supervision=False),
        (1, 32, 32),
        None,
    ),
    "ResidualEncoderUnet 3D": (
        lambda: ResidualEncoderUnet(
            depth=2, n_filters=2, n_blocks=[1, 1, 1], is_2d=False, deep_supervision=False
        ),
        (1, 16, 16, 16),
        None,
    ),
    "DenseNet": (
        lambda: DenseNet(growth_rate=4, block_config=(2, 2), num_init_features=8, memory_efficient=True),
        (1, 32, 32),
        None,
    ),
    "ResNet": (lambda: ResNet(BasicBlock, [1, 1, 1, 1]), (1, 32, 32), None),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def case(request):
    torch.manual_seed(0)
    make, shape, condition = request.param
    return make(), SimpleNamespace(image=torch.rand(2, *shape), condition=condition)


def test_every_trained_parameter_gets_a_gradient(case):
    model, batch = case
    model.train()(*model.inputs(batch)).sum().backward()
    without = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_evaluation_is_deterministic_and_keeps_samples_apart(case):
    model, batch = case
    model.eval()
    with torch.no_grad():
        both = model(*model.inputs(batch))
        single = [
            model(*model.inputs(SimpleNamespace(image=batch.image[i : i + 1], condition=condition)))
            for i in range(2)
            for condition in [None if batch.condition is None else batch.condition[i : i + 1]]
        ]
    torch.testing.assert_close(both, torch.cat(single), rtol=1e-4, atol=1e-5)


def test_bfloat16_and_channels_last_stay_finite(case):
    model, batch = case
    layout = torch.channels_last if batch.image.ndim == 4 else torch.channels_last_3d
    model = model.to(memory_format=layout).eval()
    image = batch.image.contiguous(memory_format=layout)
    with torch.no_grad():
        expected = model(*model.inputs(batch))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = model(*model.inputs(SimpleNamespace(image=image, condition=batch.condition)))
    assert actual.dtype == torch.float32  # what half precision a loss could not bear
    assert actual.isfinite().all()
    assert (actual - expected).abs().mean() < 0.05


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
def test_export_keeps_the_condition_as_an_input(case):
    model, batch = case
    model.eval()
    with torch.no_grad():
        traced = torch.jit.trace(model, model.inputs(batch), check_trace=False)
        flipped = None if batch.condition is None else batch.condition.flip(0)
        other = SimpleNamespace(image=batch.image.flip(0), condition=flipped)
        torch.testing.assert_close(traced(*model.inputs(other)), model(*model.inputs(other)))


@given(
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    depth=st.integers(1, 3),
    out_channel=st.integers(1, 3),
)
@settings(max_examples=15, deadline=None)
def test_unet_keeps_any_size(height, width, depth, out_channel):
    model = Unet(depth=depth, n_filters=2, out_channel=out_channel).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 1, height, width)).shape == (1, max(out_channel - 1, 1), height, width)


@given(size=st.tuples(*[st.integers(17, 36)] * 3), attention=st.booleans())
@settings(max_examples=8, deadline=None)
def test_modified_3d_unet_keeps_any_size(size, attention):
    model = Modified3DUNet(1, 3, n_filters=1, attention=attention).eval()
    with torch.no_grad():
        assert model(torch.rand(1, 1, *size)).shape == (1, 2, *size)


def test_unet_widths_double_per_level():
    model = Unet(in_channel=2, out_channel=3, depth=3, n_filters=8)
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    widths = [8, 16, 32, 32, 32, 16, 8]
    assert [c.out_channels for c in convs] == [w for w in widths for _ in range(2)] + [3]
    assert convs[0].in_channels == 2


DEPTH, FILTERS = 2, 4
UNETS = {
    "Unet": (True, {}),
    "Unet 3D": (False, {}),
    "FiLMedUnet": (True, {"n_metadata": 2, "film_layers": [1] * 6}),
    "HeMISUnet": (True, {"contrasts": ["T1w"]}),
    "Modified3DUNet": (False, {"attention": True, "n_metadata": 2, "film_layers": [1] * 10}),
    "UNet3D": (False, {}),
    "ResidualEncoderUnet": (True, {"n_blocks": [1, 1, 1]}),
    "ResidualEncoderUnet 3D": (False, {"n_blocks": [1, 1, 1]}),
}
ACTIVATIONS = {
    "sigmoid": lambda x: torch.sigmoid(x),
    "softmax": lambda x: torch.softmax(x, 1),
    "relu": lambda x: torch.relu(x) / torch.relu(x).sum(1, keepdim=True).clamp(min=1e-30),
}


@pytest.fixture(params=UNETS, ids=UNETS)
def build(request):
    """A function that builds one of the segmentation networks from the keys of a configuration."""
    is_2d, own = UNETS[request.param]
    name = request.param.split()[0]
    shared = {
        "is_2d": is_2d,
        "in_channel": 1,
        "out_channel": 1,
        "depth": DEPTH,
        "n_filters": FILTERS,
        "bn_momentum": 0.4,
    }

    def build(**arguments):
        torch.manual_seed(0)
        return build_model(name, {**shared, "dropout_rate": 0.15, **own, **arguments}).eval()

    return build


def example(model):
    size = (18,) * (3 if any(isinstance(m, nn.Conv3d) for m in model.modules()) else 2)
    batch = example_inputs(model, (2, 1, *size))
    with torch.no_grad():
        return model(*model.inputs(batch))


def test_filters_depth_dropout_and_momentum_arrive(build):
    model = build()
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    depth = 4 if isinstance(model, Modified3DUNet) else DEPTH  # a fixed topology
    widest = FILTERS * 2 ** (depth if isinstance(model, Modified3DUNet | ResidualEncoderUnet) else depth - 1)
    assert convs[0].out_channels == FILTERS
    assert max(conv.out_channels for conv in convs) == widest
    drops = [m for m in model.modules() if isinstance(m, nn.Dropout2d | nn.Dropout3d)]
    assert {drop.p for drop in drops} == {0.15}
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} <= {0.4}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_final_activation_and_background(build, activation, monkeypatch):
    """Several classes: channel 0 is the background, which takes part in softmax and relu and is left out."""
    model = build(out_channel=3, final_activation=activation)
    logits = []
    for module in (unet, unet3d, residual_unet):
        monkeypatch.setattr(module, "activate", lambda x, name: logits.append(x) or activate(x, name))
    prediction = example(model)
    assert prediction.shape[:2] == (2, 2)
    torch.testing.assert_close(prediction, ACTIVATIONS[activation](logits[0])[:, 1:])
    assert example(build(out_channel=1, final_activation=activation)).shape[1] == 1


def test_an_unknown_activation_is_refused(build):
    with pytest.raises(ModelError, match="final_activation: 'tanh' is unknown"):
        build(final_activation="tanh")


def test_dropout_rate_and_momentum_reach_every_layer():
    model = Unet(depth=2, n_filters=2, dropout_rate=0.15, bn_momentum=0.42)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout2d)} == {0.15}
    assert {m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {0.42}


def test_unet_needs_a_level():
    with pytest.raises(ModelError, match="depth"):
        Unet(depth=0)


def test_film_changes_the_prediction():
    torch.manual_seed(0)
    model = FiLMedUnet(depth=1, n_filters=2, n_metadata=2, film_layers=[1, 1, 1, 1]).eval()
    x = torch.rand(1, 1, 8, 8)
    with torch.no_grad():
        assert not torch.equal(model(x, [[5.0, 0.0]]), model(x, [[0.0, 5.0]]))


def test_hemis_ignores_the_content_of_missing_contrasts():
    model = HeMISUnet(["T1w", "T2w"], depth=1, n_filters=2).eval()
    first, second = torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8)
    only_first = torch.tensor([[True, False]])
    with torch.no_grad():
        expected = model([first, second], only_first)
        torch.testing.assert_close(model([first, torch.full_like(second, torch.nan)], only_first), expected)
    assert expected.isfinite().all()


def test_hemis_without_a_condition_takes_all_contrasts():
    batch = SimpleNamespace(image=torch.rand(2, 3, 8, 8), condition=None)
    images, present = HeMISUnet(["a", "b", "c"], depth=1, n_filters=1).inputs(batch)
    assert [image.shape for image in images] == [(2, 1, 8, 8)] * 3
    assert present.all()


def test_hemis_counts_its_images():
    with pytest.raises(ModelError, match="1 images given, 2 expected"):
        HeMISUnet(["a", "b"], depth=1, n_filters=1)([torch.rand(1, 1, 8, 8)], [[True, True]])


def test_pooling_by_hand():
    # Contrasts 1, 3 and 8 of one channel and one pixel.
    features = torch.tensor([1.0, 3.0, 8.0]).reshape(1, 3, 1, 1, 1).expand(3, -1, -1, -1, -1)
    present = torch.tensor([[True, True, True], [True, True, False], [False, False, True]])
    expected = torch.tensor([[4.0, 13.0], [2.0, 2.0], [8.0, 0.0]])
    torch.testing.assert_close(pool_contrasts(features, present).flatten(1), expected)
    positions = torch.tensor([[0, 1, 2], [0, 1, 0], [2, 2, 2]])
    # 1, 3, 1: mean 5/3, squared deviations 4/9, 16/9, 4/9 sum to 8/3, over 2.
    expected = torch.tensor([[4.0, 13.0], [5 / 3, 4 / 3], [8.0, 0.0]])
    torch.testing.assert_close(pool_contrasts(features, positions).flatten(1), expected)


def test_no_contrast_at_all_gives_zeros():
    pooled = pool_contrasts(torch.rand(1, 2, 1, 2, 2), torch.zeros(1, 2, dtype=torch.bool))
    assert torch.equal(pooled, torch.zeros(1, 2, 2, 2))


def test_attention_is_in_unit_range_and_has_the_shape_of_the_skip_connection():
    for dimension, size in ((2, (9, 12)), (3, (9, 12, 8))):
        gate = GridAttentionBlockND(4, 6, dimension=dimension).eval()
        out, attention = gate(torch.rand(2, 4, *size), torch.rand(2, 6, *[s // 4 for s in size]))
        assert out.shape == (2, 4, *size)
        assert attention.shape == (2, 1, *size)
        assert attention.min() > 0
        assert attention.max() < 1


def test_unet3d_is_the_old_name():
    assert isinstance(UNet3D(1, 1, n_filters=1), Modified3DUNet)
    assert (
        UNet3D(1, 1, n_filters=1).state_dict().keys() == Modified3DUNet(1, 1, n_filters=1).state_dict().keys()
    )


def test_simple_block_concatenates_and_shrinks_by_two():
    assert SimpleBlock(2, 3, 4)(torch.rand(1, 2, 10, 12)).shape == (1, 11, 8, 10)


def test_countception_keeps_the_size_and_multiplies_its_logits():
    image = torch.rand(1, 1, 12, 9)
    with torch.no_grad():
        assert Countception(in_channel=1, out_channel=1).eval()(image).shape == (1, 1, 12, 9)
        several = Countception(in_channel=1, out_channel=2, use_logits=True, logits_per_output=3).eval()
        assert several(image).shape == (1, 6, 12, 9)


@pytest.mark.parametrize("make", [resnet18, densenet121])
def test_classifiers_return_probabilities_without_background(make):
    model = make(num_classes=3, in_channel=2).eval()
    with torch.no_grad():
        out = model(torch.rand(2, 2, 64, 64))
    assert out.shape == (2, 2)
    assert ((out >= 0) & (out.sum(1, keepdim=True) <= 1)).all()


def test_resnet_refuses_what_basic_blocks_cannot():
    with pytest.raises(ModelError, match="groups=2"):
        resnet18(groups=2)
