"""Initial network of a training, compiled if possible."""

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
    """Build a new model, or load a trained one with its first layers frozen.

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
            f"{path}: does not match the {architecture.name} of the configuration (layers or sizes differ); use the "
            "arguments it was trained with"
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
    """Minimum number of samples per batch with which the network can be trained.

    Args:
        architecture: Network and its arguments.
        size: Voxels of a sample along each axis.
        batch_size: Samples per batch, over all processes.
        separate: Number of processes that normalize their share of a batch separately.
        samples: Number of samples of the training set; None: not known yet.

    Raises:
        ConfigError: Batches are smaller, or no number suffices.
    """
    least, voxels = least_batch(architecture.name, architecture.arguments, size), "x".join(map(str, size))
    if least == 1:
        return 1
    reason = f"a sample of {voxels} voxels leaves {architecture.name} with one value per channel"
    remedy = "use larger samples (CenterCrop, length_2D, length_3D) or less depth"
    if least is None:
        raise ConfigError(f"{reason}, which it cannot normalize; {remedy}")
    needed = least if separate == 1 else separate + 1  # so equal shares have two each, see shard_of
    if batch_size < needed:
        raise ConfigError(
            f"training_parameters.batch_size: {batch_size}, but {reason}, so batch normalization needs {needed} "
            f"samples a batch; raise it, or {remedy}"
        )
    if samples is not None and samples < needed:
        raise ConfigError(
            f"the training set has {samples} sample(s), but {reason}, so batch normalization needs {needed}; {remedy}"
        )
    return needed


def compile_network(model: nn.Module, device: torch.device) -> bool:
    """Compile a network with torch; names and weights do not change.

    A small function is compiled first. If that fails (no C++ compiler, or hardware without code generation in torch),
    the network is left unchanged, with a warning.

    Args:
        model: The network, changed in place.
        device: Device of the network.

    Returns:
        True if it will be compiled, which happens at its first call.
    """
    try:
        torch.compile(lambda x: torch.sin(x) + x.square())(torch.ones(8, device=device))
    except Exception as error:  # compilers, drivers and torch have no common error type
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        log.warning(
            "training_parameters.compile: torch.compile does not work here (%s); it is left out.", reason
        )
        return False
    model.compile()
    return True
