"""The network that a training starts from, compiled where that works."""

from __future__ import annotations

import logging

import torch
from torch import nn

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TransferLearning
from ivadomed.errors import ModelError
from ivadomed.models import Network, build_model, frozen_parameters, set_model_for_retrain

log = logging.getLogger(__name__)


def initial_model(architecture: Architecture, transfer: TransferLearning) -> Network:
    """A new model, or a trained one with its first layers frozen.

    Args:
        architecture: Network and its arguments.
        transfer: ``training_parameters.transfer_learning``.

    Raises:
        ModelError: The trained model cannot be read, or is of another architecture.
    """
    model = build_model(architecture.name, architecture.arguments)
    path = transfer.retrain_model
    if path is None:
        log.info("\nInitialising model's weights from scratch.")
        return model
    log.info("\nInitialising model's weights from %s.", path)
    trained = set_model_for_retrain(path, transfer.retrain_fraction, map_location="cpu", reset=transfer.reset)
    wanted, there = ({key: tuple(v.shape) for key, v in m.state_dict().items()} for m in (model, trained))
    if type(trained) is not type(model) or wanted != there:
        raise ModelError(
            f"{path}: is not the {architecture.name} of the configuration (other layers or sizes); give the "
            "configuration the arguments it was trained with"
        )
    for parameter in frozen_parameters(trained):
        log.info("Frozen: %s", parameter)
    return trained


def compile_network(model: nn.Module, device: torch.device) -> bool:
    """Let torch compile a network; names and weights stay as they are.

    A small function is compiled first. Where that fails (no C++ compiler, or hardware that torch generates no code
    for), the network stays as it is, with a warning.

    Args:
        model: The network, changed in place.
        device: That it computes on.

    Returns:
        Whether it is compiled, namely at its first call.
    """
    try:
        torch.compile(lambda x: torch.sin(x) + x.square())(torch.ones(8, device=device))
    except Exception as error:  # compilers, their drivers and torch have no common error
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        log.warning(
            "training_parameters.compile: torch.compile does not work here (%s); it is left out.", reason
        )
        return False
    model.compile()
    return True
