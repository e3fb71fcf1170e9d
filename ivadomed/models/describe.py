"""Name and constructor arguments of a network, read off its layers.

Whole-module files of older versions hold a network but not what it was built from.
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
    """What ``build_model`` makes a network from, and what it takes.

    Args:
        name: Of the class.
        arguments: Of its constructor.
        in_channel: Channels of the image.
        out_channel: Output classes, with the background when there are several.
        is_2d: Whether the images are [B, C, H, W].
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
        ModelError: The network has been put together by hand, or is of another class.
    """
    raise ModelError(
        f"{type(model).__name__}: its arguments cannot be read off its layers; expected one of Unet, FiLMedUnet, "
        "HeMISUnet, Modified3DUNet, Countception, resnet18, densenet121"
    )


@describe.register
def _(model: Unet) -> Description:
    block: Any = model.encoder.down_path[0]
    in_channel = block.conv1.in_channels
    arguments = {"in_channel": in_channel, **_shared(model.encoder, model.decoder)}
    return Description("Unet", arguments, in_channel, model.decoder.out_channel, arguments["is_2d"])


@describe.register
def _(model: FiLMedUnet) -> Description:
    plain = describe.dispatch(Unet)(model)
    # Levels and bottom, then the decoder's levels and the output.
    layers = [*model.encoder.down_path[1::3], model.encoder.film_bottom]
    layers += [*model.decoder.up_path[1::2], model.decoder.last_film]
    film = _film(model, layers)
    return Description("FiLMedUnet", plain.arguments | film, plain.in_channel, plain.out_channel, plain.is_2d)


@describe.register
def _(model: HeMISUnet) -> Description:
    contrasts = [name.removeprefix("Encoder_") for name in model.Encoder_mod]
    encoder = next(iter(model.Encoder_mod.values()))
    assert isinstance(encoder, Encoder)
    arguments = {"contrasts": contrasts, **_shared(encoder, model.decoder)}
    return Description("HeMISUnet", arguments, len(contrasts), model.decoder.out_channel, arguments["is_2d"])


def _shared(encoder: Encoder, decoder: Decoder) -> dict[str, Any]:
    block: Any = encoder.down_path[0]
    return {
        "out_channel": decoder.out_channel,
        "depth": encoder.depth,
        "dropout_rate": block.conv1_drop.p,
        "bn_momentum": block.conv1_bn.momentum,
        "final_activation": _activation(decoder.final_activation, decoder.out_channel),
        "is_2d": isinstance(block.conv1, nn.Conv2d),
        "n_filters": block.conv1.out_channels,
    }


def _activation(name: str | None, out_channel: int) -> str:
    """Before the choice existed, several classes meant softmax."""
    return name or ("softmax" if out_channel > 1 else "sigmoid")


def _film(model: nn.Module, layers: Sequence[nn.Module | None]) -> dict[str, Any]:
    condition = film_input(model)
    if condition is None:
        return {}
    return {"n_metadata": condition[1], "film_layers": [int(layer is not None) for layer in layers]}


@describe.register
def _(model: Modified3DUNet) -> Description:
    layers = [getattr(model, f"film_layer{place + 1}", None) for place in range(N_FILM_PLACES)]
    arguments = {
        "in_channel": model.in_channels,
        "out_channel": model.n_classes,
        "n_filters": model.base_n_filter,
        "attention": model.attention,
        "dropout_rate": model.dropout3d.p,
        "bn_momentum": model.inorm3d_c1.momentum,
        "final_activation": _activation(model.final_activation, model.n_classes),
        **_film(model, layers),
    }
    return Description("Modified3DUNet", arguments, model.in_channels, model.n_classes, is_2d=False)


@describe.register
def _(model: Countception) -> Description:
    names = ("in_channel", "out_channel", "use_logits", "logits_per_output")
    arguments = {name: getattr(model, name) for name in names}
    return Description("Countception", arguments, model.in_channel, model.out_channel)


@describe.register
def _(model: resnet18) -> Description:
    return _classifier("resnet18", {}, model.conv1, model.fc)


@describe.register
def _(model: densenet121) -> Description:
    layers: Any = model.features
    dropout = {"dropout_rate": layers.denseblock1.denselayer1.drop_rate}
    return _classifier("densenet121", dropout, layers.conv0, model.classifier)


def _classifier(name: str, arguments: dict[str, Any], first: nn.Conv2d, last: nn.Linear) -> Description:
    # One number per class but the background: what a segmentation network with as many classes gives.
    out_channel = last.out_features if last.out_features > 2 else 1
    arguments = arguments | {"num_classes": last.out_features, "in_channel": first.in_channels}
    return Description(name, arguments, first.in_channels, out_channel)
