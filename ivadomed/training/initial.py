"""The network that a training starts from."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from ivadomed.errors import ModelError
from ivadomed.models import Network, build_model, frozen_parameters, set_model_for_retrain

log = logging.getLogger(__name__)


def initial_model(name: str, arguments: Mapping[str, Any], transfer: Mapping[str, Any]) -> Network:
    """A new model, or a trained one with its first layers frozen.

    Args:
        name: Of the architecture.
        arguments: Of its constructor.
        transfer: ``training_parameters.transfer_learning``.

    Raises:
        ModelError: The trained model cannot be read, or is of another architecture.
    """
    model = cast(Network, build_model(name, arguments))
    path = transfer["retrain_model"]
    if path is None:
        log.info("\nInitialising model's weights from scratch.")
        return model
    log.info("\nInitialising model's weights from %s.", path)
    fraction, reset = transfer["retrain_fraction"], transfer["reset"]
    trained = set_model_for_retrain(path, fraction, map_location="cpu", reset=reset)
    wanted, there = ({key: tuple(v.shape) for key, v in m.state_dict().items()} for m in (model, trained))
    if type(trained) is not type(model) or wanted != there:
        raise ModelError(
            f"{path}: is not the {name} of the configuration (other layers or sizes); give the configuration the "
            "arguments it was trained with"
        )
    for parameter in frozen_parameters(trained):
        log.info("Frozen: %s", parameter)
    return trained
