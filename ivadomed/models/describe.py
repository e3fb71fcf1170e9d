"""Infer the name and constructor arguments of a network from its layers.

Whole-module files of older versions contain a network but not its arguments. Sizes are read from the weights:
attributes vary between versions, and a weight of another size would not fit anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models.classifiers import densenet121, resnet18
from ivadomed.models.countception import Countception
from ivadomed.models.film import film_input
from ivadomed.models.hemis import HeMISUnet
from ivadomed.models.unet import Decoder, Encoder, FiLMedUnet, Unet
from ivadomed.models.unet3d import N_FILM_PLACES, Modified3DUNet


@dataclass(frozen=True)
class Description:
    """Name and arguments from which ``build_model`` builds a network, and the images it accepts.

    Args:
        name: Name of the class.
        arguments: Constructor arguments.
        in_channel: Channels of the image.
        out_channel: Output classes, including the background if there are several.
        is_2d: True if the images are [B, C, H, W].
    """

    name: str
    arguments: dict[str, Any]
    in_channel: int
    out_channel: int
    is_2d: bool = True


@singledispatch
def describe(model: nn.Module) -> Description:
    """Describe a network of ivadomed 2.9.10 or older.

    Raises:
        ModelError: The network was assembled by hand, or is of another class.
    """
    raise ModelError(
        f"{type(model).__name__}: its arguments cannot be inferred from its layers; expected Unet, FiLMedUnet, "
        "HeMISUnet, Modified3DUNet, Countception, resnet18 or densenet121"
    )


@describe.register
def _(model: Unet) -> Description:
    in_channel = _channels(model.encoder.down_path[0].conv1)[0]
    arguments = {"in_channel": in_channel, **_shared(model.encoder, model.decoder)}
    return Description("Unet", arguments, in_channel, arguments["out_channel"], arguments["is_2d"])


@describe.register
def _(model: FiLMedUnet) -> Description:
    plain = describe.dispatch(Unet)(model)
    # Encoder levels and bottom, then decoder levels and output.
    bottom, last = getattr(model.encoder, "film_bottom", None), getattr(model.decoder, "last_film", None)
    layers = [*model.encoder.down_path[1::_PER_LEVEL], bottom, *model.decoder.up_path[1::2], last]
    film = _film(model, layers)
    return Description("FiLMedUnet", plain.arguments | film, plain.in_channel, plain.out_channel, plain.is_2d)


@describe.register
def _(model: HeMISUnet) -> Description:
    contrasts = [name.removeprefix("Encoder_") for name in model.Encoder_mod]
    encoder = next(iter(model.Encoder_mod.values()))
    assert isinstance(encoder, Encoder)
    arguments = {"contrasts": contrasts, **_shared(encoder, model.decoder)}
    return Description("HeMISUnet", arguments, len(contrasts), arguments["out_channel"], arguments["is_2d"])


def _channels(conv: Any) -> tuple[int, int]:
    """Input and output channels of a convolution."""
    return conv.weight.shape[1], conv.weight.shape[0]


def _shared(encoder: Encoder, decoder: Decoder) -> dict[str, Any]:
    block: Any = encoder.down_path[0]
    out_channel = _channels(decoder.last_conv)[1]
    return {
        "out_channel": out_channel,
        "depth": len(encoder.down_path) // _PER_LEVEL,
        "dropout_rate": block.conv1_drop.p,
        "bn_momentum": block.conv1_bn.momentum,
        "final_activation": _activation(decoder, out_channel),
        "is_2d": block.conv1.weight.ndim == 4,
        "n_filters": _channels(block.conv1)[1],
    }


_PER_LEVEL = 3
"""Entries of a level in `Encoder.down_path`: convolutions, FiLM or None, pooling."""


def _activation(model: nn.Module, out_channel: int) -> str:
    """Final activation; older versions had a switch for ReLU, and before that several classes implied softmax."""
    name = getattr(model, "final_activation", None)
    if name is None and (getattr(model, "relu", False) is True or getattr(model, "relu_activation", False)):
        name = "relu"
    return name or ("softmax" if out_channel > 1 else "sigmoid")


def _film(model: nn.Module, layers: Sequence[nn.Module | None]) -> dict[str, Any]:
    condition = film_input(model)
    if condition is None:
        return {}
    return {"n_metadata": condition[1], "film_layers": [int(layer is not None) for layer in layers]}


@describe.register
def _(model: Modified3DUNet) -> Description:
    layers = [getattr(model, f"film_layer{place + 1}", None) for place in range(N_FILM_PLACES)]
    in_channel, n_filters = _channels(model.conv3d_c1_1)
    out_channel = _channels(model.conv3d_l4)[1]
    arguments = {
        "in_channel": in_channel,
        "out_channel": out_channel,
        "n_filters": n_filters,
        "attention": hasattr(model, "gating"),
        "dropout_rate": model.dropout3d.p,
        "bn_momentum": model.inorm3d_c1.momentum,
        "final_activation": _activation(model, out_channel),
        **_film(model, layers),
    }
    return Description("Modified3DUNet", arguments, in_channel, out_channel, is_2d=False)


@describe.register
def _(model: Countception) -> Description:
    in_channel, n_maps = _channels(model.conv1.conv1)[0], _channels(model.conv6.conv1)[1]
    logits: dict[str, Any] = {}
    if getattr(model, "use_logits", False):
        logits = {"use_logits": True, "logits_per_output": model.logits_per_output}
    out_channel = n_maps // logits.get("logits_per_output", 1)
    arguments = {"in_channel": in_channel, "out_channel": out_channel, **logits}
    return Description("Countception", arguments, in_channel, out_channel)


@describe.register
def _(model: resnet18) -> Description:
    return _classifier("resnet18", {}, model.conv1, model.fc)


@describe.register
def _(model: densenet121) -> Description:
    layers: Any = model.features
    dropout = {"dropout_rate": layers.denseblock1.denselayer1.drop_rate}
    return _classifier("densenet121", dropout, layers.conv0, model.classifier)


def _classifier(name: str, arguments: dict[str, Any], first: nn.Conv2d, last: nn.Linear) -> Description:
    # One number per class except the background, as from a segmentation network with as many classes.
    num_classes, in_channel = last.weight.shape[0], _channels(first)[0]
    arguments = arguments | {"num_classes": num_classes, "in_channel": in_channel}
    return Description(name, arguments, in_channel, num_classes if num_classes > 2 else 1)
