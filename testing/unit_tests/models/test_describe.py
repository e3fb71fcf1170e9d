"""Networks are rebuilt from what their layers say."""

import pytest
import torch
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models import (
    Countception,
    DenseNet,
    FiLMedUnet,
    HeMISUnet,
    Modified3DUNet,
    Unet,
    UNet3D,
    build_model,
    densenet121,
    resnet18,
)
from ivadomed.models.describe import describe

SHARED = {"dropout_rate": 0.15, "bn_momentum": 0.3, "n_filters": 2, "final_activation": "relu"}
NETWORKS = {
    "Unet": (Unet, {"in_channel": 2, "out_channel": 3, "depth": 2, "is_2d": True, **SHARED}),
    "Unet 3D": (Unet, {"in_channel": 1, "out_channel": 1, "depth": 1, "is_2d": False, **SHARED}),
    "FiLMedUnet": (
        FiLMedUnet,
        {
            "in_channel": 1,
            "out_channel": 1,
            "depth": 2,
            "is_2d": True,
            "n_metadata": 3,
            "film_layers": [1, 0, 0, 1, 0, 1],
            **SHARED,
        },
    ),
    "HeMISUnet": (
        HeMISUnet,
        {"contrasts": ["T1w", "T2w"], "out_channel": 1, "depth": 1, "is_2d": True, **SHARED},
    ),
    "Modified3DUNet": (
        Modified3DUNet,
        {
            "in_channel": 2,
            "out_channel": 3,
            "attention": True,
            "n_metadata": 2,
            "film_layers": [0, 1, 0, 0, 1, 0, 0, 1, 0, 0],
            **SHARED,
        },
    ),
    "Countception": (
        Countception,
        {"in_channel": 1, "out_channel": 2, "use_logits": True, "logits_per_output": 3},
    ),
    "resnet18": (resnet18, {"num_classes": 4, "in_channel": 2}),
    "densenet121": (densenet121, {"num_classes": 2, "in_channel": 1, "dropout_rate": 0.4}),
}


@pytest.mark.parametrize(("network", "arguments"), NETWORKS.values(), ids=NETWORKS)
def test_arguments_are_those_it_was_built_from(network, arguments):
    torch.manual_seed(0)
    model = network(**arguments)
    found = describe(model)
    assert found.name == network.__name__
    assert found.arguments == arguments
    build_model(found.name, found.arguments).load_state_dict(model.state_dict())
    channels = len(arguments["contrasts"]) if network is HeMISUnet else arguments["in_channel"]
    assert found.in_channel == channels
    assert found.is_2d is not any(isinstance(module, nn.Conv3d) for module in model.modules())


def test_unet3d_gets_its_name_of_today():
    assert describe(UNet3D(1, 1, n_filters=1)).name == "Modified3DUNet"


def test_modules_from_before_the_choice_of_an_activation():
    several, one = Unet(out_channel=3, depth=1, n_filters=1), Modified3DUNet(1, 1, n_filters=1)
    del several.decoder.final_activation, one.final_activation
    assert describe(several).arguments["final_activation"] == "softmax"
    assert describe(one).arguments["final_activation"] == "sigmoid"


def test_film_layers_that_are_all_off_are_none():
    assert "film_layers" not in describe(FiLMedUnet(depth=1, n_filters=1)).arguments


@pytest.mark.parametrize("make", [lambda: DenseNet(growth_rate=4, block_config=(1, 1)), lambda: nn.ReLU()])
def test_other_networks_are_refused(make):
    with pytest.raises(ModelError, match="its arguments cannot be inferred from its layers"):
        describe(make())
