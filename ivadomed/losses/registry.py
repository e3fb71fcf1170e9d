"""Losses by name, and their sum."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ivadomed.errors import ConfigError
from ivadomed.losses.modules import (
    AdapWingLoss,
    BinaryCrossEntropyLoss,
    DiceLoss,
    FocalDiceLoss,
    FocalLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    L2loss,
    MultiClassDiceLoss,
    TverskyLoss,
)


class LossCombination(nn.Module):
    """Sum of other losses.

    Args:
        losses_list: Names, see `LOSSES`.
        params_list: Arguments of each, None for the defaults; None for the defaults of all.
    """

    def __init__(
        self, losses_list: Sequence[str], params_list: Sequence[Mapping[str, Any] | None] | None = None
    ) -> None:
        super().__init__()
        params = [None] * len(losses_list) if params_list is None else list(params_list)
        if len(params) != len(losses_list):
            raise ConfigError(
                f"loss.params_list: {len(params)} items, {len(losses_list)} losses; give one each, or null."
            )
        self.losses_list = list(losses_list)
        self.params_list = params_list
        self.losses = nn.ModuleList(
            build_loss({**(arguments or {}), "name": name})
            for name, arguments in zip(losses_list, params, strict=True)
        )

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Sum of the losses' scalars."""
        return torch.stack([loss(input, target) for loss in self.losses]).sum()


LOSSES: dict[str, Callable[..., nn.Module]] = {
    "AdapWingLoss": AdapWingLoss,
    "BinaryCrossEntropyLoss": BinaryCrossEntropyLoss,
    "DiceLoss": DiceLoss,
    "FocalDiceLoss": FocalDiceLoss,
    "FocalLoss": FocalLoss,
    "FocalTverskyLoss": FocalTverskyLoss,
    "GeneralizedDiceLoss": GeneralizedDiceLoss,
    "L2loss": L2loss,
    "LossCombination": LossCombination,
    "MultiClassDiceLoss": MultiClassDiceLoss,
    "TverskyLoss": TverskyLoss,
}


def build_loss(params: Mapping[str, Any]) -> nn.Module:
    """Make the loss a configuration describes.

    Args:
        params: ``{"name": ..., <its arguments>}``.

    Raises:
        ConfigError: For an unknown name or argument.
    """
    arguments = {key: value for key, value in params.items() if key != "name"}
    name = params.get("name")
    if name not in LOSSES:
        raise ConfigError(
            f"loss.name: {name!r} is unknown{_nearest(str(name), LOSSES)} Known: {', '.join(LOSSES)}."
        )
    # A loss without a constructor of its own shows the ``*args, **kwargs`` of nn.Module.
    known = [key for key in inspect.signature(LOSSES[name]).parameters if key not in ("args", "kwargs")]
    for key in arguments:
        if key not in known:
            accepted = ", ".join(known) or "none"
            raise ConfigError(
                f"loss.{key}: {name} has no such argument{_nearest(key, known)} Accepted: {accepted}."
            )
    return LOSSES[name](**arguments)


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
