"""Losses by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ivadomed.registry import Registry

LOSSES: Registry[type[nn.Module]] = Registry(
    nn.Module,
    place="loss.name: {name!r}",
    unknown="loss.name: {name!r} is unknown",
    no_argument="loss.{key}: {name} has no such argument{hint} Accepted: {known}.",
    expected="loss; expected a subclass of torch.nn.Module",
)
loss = LOSSES.register


def build_loss(params: Mapping[str, Any]) -> nn.Module:
    """Make the loss a configuration describes.

    Args:
        params: ``{"name": ..., <its arguments>}``; the name is one of `LOSSES`, or ``package.module:Class``.

    Raises:
        ConfigError: For an unknown name or argument.
    """
    arguments = {key: value for key, value in params.items() if key != "name"}
    return LOSSES.build(params.get("name"), arguments)
