"""Whole-module files of ivadomed 2.x: read as data, and rebuilt."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models import (
    Countception,
    FiLMedUnet,
    HeMISUnet,
    Modified3DUNet,
    Unet,
    UNet3D,
    densenet121,
    load_model,
    resnet18,
)
from ivadomed.models.base import example_inputs
from ivadomed.models.classifiers import _DenseLayer
from ivadomed.models.describe import describe

# Layers that were those of PyTorch and torchvision.
FOREIGN = (nn.InstanceNorm3d, nn.Conv3d, _DenseLayer)


def as_2_9_10(model: nn.Module, activation: bool = True) -> nn.Module:
    """The attributes that 2.9.10 gave its modules, in place of ours.

    Args:
        model: A new network.
        activation: False for versions that had no choice of the final activation.
    """
    for module in model.modules():
        if isinstance(module, Modified3DUNet):
            module._modules = {
                {"upscale": "upsacle"}.get(name, name): child for name, child in module._modules.items()
            }
        if type(module).__module__.startswith("ivadomed.models") and not isinstance(module, FOREIGN):
            for name in [name for name in vars(module) if not name.startswith("_") and name != "training"]:
                if name not in ("use_logits", "logits_per_output") and (
                    name != "final_activation" or not activation
                ):
                    del module.__dict__[name]
        module._buffers.pop("num_batches_tracked", None)  # not written by the oldest versions of PyTorch
    return model


NETWORKS = {
    "multi-class": lambda: Unet(2, 4, depth=4, n_filters=3, final_activation="softmax"),
    "relu": lambda: Unet(1, 1, depth=1, n_filters=5, final_activation="relu", bn_momentum=0.9),
    "3D": lambda: Unet(1, 3, depth=2, n_filters=2, is_2d=False, final_activation="relu"),
    "film": lambda: FiLMedUnet(1, 2, depth=2, n_filters=2, n_metadata=3, film_layers=[1, 0, 1, 0, 1, 1]),
    "film 3D": lambda: FiLMedUnet(depth=1, n_filters=2, n_metadata=3, film_layers=[0, 1, 0, 0], is_2d=False),
    "hemis": lambda: HeMISUnet(["T1w", "acq-ax_T2w"], 2, depth=2, n_filters=2, final_activation="softmax"),
    "Modified3DUNet": lambda: Modified3DUNet(2, 3, n_filters=3, final_activation="softmax"),
    "attention": lambda: Modified3DUNet(1, 1, n_filters=2, attention=True, final_activation="relu"),
    "3D film": lambda: Modified3DUNet(1, 1, n_filters=2, n_metadata=2, film_layers=[0, 1] * 5),
    "UNet3D": lambda: UNet3D(1, 2, n_filters=2, attention=True),
    "Countception": lambda: Countception(in_channel=1, out_channel=2),
    "Countception logits": lambda: Countception(in_channel=1, use_logits=True, logits_per_output=3),
    "resnet18": lambda: resnet18(num_classes=3),
    "densenet121": lambda: densenet121(dropout_rate=0.1),
}


def randomised(model):
    """Weights and statistics of which each one shows in the output."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in model.state_dict().values():
            if value.is_floating_point():
                value.copy_(
                    torch.rand_like(value) * 0.5 + 0.1 if value.ndim == 1 else torch.randn_like(value) / 8
                )
    return model.eval()


def predicted(model, inputs):
    with torch.no_grad():
        return model(*model.inputs(inputs))


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_a_pickled_network_gives_its_output(make, tmp_path):
    model = randomised(make())
    found = describe(model)
    size = {"densenet121": (32, 36)}.get(found.name, (17, 22)) if found.is_2d else (18, 33, 20)
    inputs = example_inputs(model, (2, found.in_channel, *size))
    expected = predicted(model, inputs)
    torch.save(as_2_9_10(model), tmp_path / "m.pt")
    loaded = load_model(tmp_path / "m.pt")
    assert not loaded.training
    torch.testing.assert_close(predicted(loaded, inputs), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "activation"),
    [
        (lambda name: Unet(1, 3, depth=1, n_filters=2, final_activation=name), "softmax"),
        (lambda name: Unet(1, 1, depth=1, n_filters=2, final_activation=name), "sigmoid"),
        (lambda name: Modified3DUNet(1, 3, n_filters=1, final_activation=name), "softmax"),
    ],
)
def test_before_the_choice_of_an_activation_several_classes_meant_softmax(make, activation, tmp_path):
    model = randomised(make(activation))
    inputs = example_inputs(model, (1, 1, 32, 32, 32)[: 4 if isinstance(model, Unet) else 5])
    expected = predicted(model, inputs)
    torch.save(as_2_9_10(model, activation=False), tmp_path / "m.pt")
    torch.testing.assert_close(predicted(load_model(tmp_path / "m.pt"), inputs), expected)


def test_a_network_wrapped_for_several_gpus_opens(tmp_path):
    model = randomised(Unet(depth=1, n_filters=2))
    torch.save(nn.DataParallel(model), tmp_path / "m.pt")
    inputs = example_inputs(model, (1, 1, 16, 16))
    torch.testing.assert_close(predicted(load_model(tmp_path / "m.pt"), inputs), predicted(model, inputs))


def test_half_precision_and_frozen_weights_open_as_new_networks(tmp_path):
    model = randomised(Unet(depth=1, n_filters=2))
    expected = predicted(model, example_inputs(model, (1, 1, 16, 16)))
    model.half().requires_grad_(False)
    torch.save(model, tmp_path / "m.pt")
    loaded = load_model(tmp_path / "m.pt")
    assert all(p.dtype == torch.float32 and p.requires_grad for p in loaded.parameters())
    torch.testing.assert_close(
        predicted(loaded, example_inputs(loaded, (1, 1, 16, 16))), expected, atol=1e-2, rtol=0
    )


def test_nothing_that_a_file_puts_into_a_module_is_called(tmp_path):
    model = Unet(depth=1, n_filters=1)
    model._forward_pre_hooks[0] = torch.Size
    model._state_dict_hooks[0] = torch.Size
    model.forward = set
    torch.save(model, tmp_path / "m.pt")
    loaded = load_model(tmp_path / "m.pt")
    assert not loaded._forward_pre_hooks
    assert not loaded._state_dict_hooks
    assert predicted(loaded, example_inputs(loaded, (1, 1, 16, 16))).shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    "damage",
    [
        lambda model: model.encoder._modules.pop("conv_bottom"),
        lambda model: model._modules.pop("decoder"),
        lambda model: setattr(model.encoder, "down_path", nn.ModuleList()),
        lambda model: model.decoder._modules.update(last_conv=model),
        lambda model: model.decoder.last_conv.__dict__.update(_parameters=None),
    ],
)
def test_a_network_put_together_by_hand_is_named_with_its_file(damage, tmp_path):
    model = Unet(depth=1, n_filters=1)
    damage(model)
    torch.save(model, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"m\.pt: "):
        load_model(tmp_path / "m.pt")


@pytest.mark.real_data
def test_modules_of_2_9_10():
    folder = os.environ.get("IVADOMED_TEST_DATA")
    modules = Path(folder or ".").parent / "contract" / "modules_of_2.9.10"
    if not folder or not modules.is_dir():
        pytest.skip("the modules of 2.9.10 are not there")
    for path in sorted(modules.glob("*.pt")):
        content = torch.load(path.with_suffix(".io"), weights_only=True)
        model = load_model(path)
        torch.testing.assert_close(dict(model.state_dict()), dict(content["sd"]), rtol=0, atol=0)
        if content["y"] is not None:
            with torch.no_grad():
                torch.testing.assert_close(model(content["x"]), content["y"], rtol=0, atol=1e-5)
