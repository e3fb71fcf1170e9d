"""The network that a training starts from, compiled where that works."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import nn

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TransferLearning
from ivadomed.errors import ConfigError, ModelError
from ivadomed.models import Network, build_model, frozen_parameters, set_model_for_retrain
from ivadomed.models.least_batch import least_batch

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


def fewest_samples(
    architecture: Architecture,
    size: Sequence[int],
    batch_size: int,
    separate: int = 1,
    samples: int | None = None,
) -> int:
    """Fewest samples of a batch that the network can be trained with.

    Args:
        architecture: Network and its arguments.
        size: Voxels of a sample along each axis.
        batch_size: Samples of a batch, all processes together.
        separate: Processes that normalise their share of a batch by itself.
        samples: Of the training set; None: not known yet.

    Raises:
        ConfigError: Batches are smaller, or no number suffices.
    """
    least, voxels = least_batch(architecture.name, architecture.arguments, size), "x".join(map(str, size))
    if least == 1:
        return 1
    reason = f"of a sample of {voxels} voxels {architecture.name} is left with one value per channel"
    remedy = "give it larger samples (CenterCrop, length_2D, length_3D) or less depth"
    if least is None:
        raise ConfigError(f"{reason}, which it cannot normalise; {remedy}")
    needed = least if separate == 1 else separate + 1  # then the equal shares have two, see shard_of
    if batch_size < needed:
        raise ConfigError(
            f"training_parameters.batch_size: {batch_size}, but {reason}, so batch normalisation needs {needed} "
            f"samples a batch; raise it, or {remedy}"
        )
    if samples is not None and samples < needed:
        raise ConfigError(
            f"the training set has {samples} sample(s), but {reason}, so batch normalisation needs {needed}; {remedy}"
        )
    return needed


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
