"""``ivadomed.training`` of 2.x: training on the documented data sets, metadata of a batch, checkpoints."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from ivadomed.compat.samples import DocumentedSamples, as_samples, takes_contrasts
from ivadomed.config.load import load_section
from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.errors import ModelError
from ivadomed.loader.conditions import Curriculum
from ivadomed.models.files import TorchFile
from ivadomed.models.registry import check_arguments
from ivadomed.training.loop import train as run_training
from ivadomed.training.monitor import Watch
from ivadomed.training.resolve import resolve_parameters

log = logging.getLogger(__name__)

_OF_THE_DATA = ("csv_path", "film_onehotencoder", "hdf5_path", "path_hdf5", "ram", "roi_lst", "target_lst")
"""Documented keys of ``model_params`` that no network accepts."""

_FREE = {"num_workers", "training_time"}
"""Parameters that may change when a run is resumed."""


def _table(factory: type) -> dict[Any, Any]:
    """Stand-in for a ``defaultdict`` of a checkpoint, which PyTorch's safe reader cannot fill."""
    return {}


# A scheduler of 2.x contains its optimizer, which contains its table of states: classes to be filled with data.
_DATA: list[Any] = [
    (_table, "collections.defaultdict"),
    dict,
    *(
        value
        for value in (*vars(lr_scheduler).values(), *vars(torch.optim).values())
        if isinstance(value, type) and issubclass(value, (lr_scheduler.LRScheduler, torch.optim.Optimizer))
    ),
]


def train(
    model_params: Mapping[str, Any],
    dataset_train: Any,
    dataset_val: Any,
    training_params: Mapping[str, Any],
    path_output: str | os.PathLike[str],
    device: torch.device | str | int | None,
    wandb_params: Mapping[str, Any] | None = None,
    cuda_available: bool = True,
    metric_fns: Sequence[Callable[..., float]] | None = None,
    n_gif: int = 0,
    resume_training: bool = False,
    debugging: bool = False,
) -> tuple[float, float, float, float]:
    """Train a network on the documented data sets.

    Writes what ``training.loop.train`` writes: ``checkpoint.pth.tar`` after every epoch, ``best_model.pt`` (lowest
    validation loss), ``final_model.pt`` and TensorBoard events.

    Args:
        model_params: ``name`` and the arguments of the network. Channels, classes and the length of the metadata are
            those of the data where they are not given. ``film_onehotencoder`` for a network with ``film_layers``;
            ``missing_probability`` and ``missing_probability_growth`` for HeMISUnet.
        dataset_train: Training set: `BidsDataset`, `Bids3DDataset`, `HDF5Dataset`, what the functions of
            ``loader.film`` return, or items of your own with ``input`` [C, ...], ``gt`` [K, ...], ``input_metadata``.
        dataset_val: Validation set.
        training_params: The section ``training_parameters``; what it leaves out has the default of the configuration.
        path_output: Folder of the run.
        device: Where to train.
        wandb_params: The section ``wandb``, or None.
        cuda_available: False trains on the CPU whatever ``device`` says.
        metric_fns: Metrics of the validation predictions.
        n_gif: Validation samples whose predictions become an animation.
        resume_training: Continue from the checkpoint in ``path_output``.
        debugging: Save mixed samples, under mixup.

    Returns:
        Dice loss and loss of training, Dice loss and loss of validation, of the epoch with the lowest validation loss.

    Raises:
        ConfigError: A parameter is unknown or out of range, or the run to resume had others.
        DataError: Samples have no label, or cannot make a batch.
        ModelError: The network cannot be built, or the loss is not a number.
    """
    params: TrainingParameters = load_section("training_parameters", training_params)
    training = as_samples(dataset_train, model_params, params.seed, _curriculum(model_params))
    validation = as_samples(dataset_val, model_params, params.seed)
    model = _network(model_params, training)
    device = torch.device("cpu" if device is None or not cuda_available else device)
    named = {"name": model.name, **model.arguments}
    configuration = {"model": named, **json.loads(params.model_dump_json(exclude=_FREE))}
    resumed = Path(path_output) if resume_training else None
    params = resolve_parameters(params, device, model, training.sample_size, resumed)
    Path(path_output).mkdir(parents=True, exist_ok=True)
    wandb = None if wandb_params is None else load_section("wandb", wandb_params)
    return run_training(
        model,
        training,
        validation,
        params,
        path_output,
        device,
        tuple(metric_fns or ()),
        resume_training,
        json.loads(json.dumps(configuration)),
        watch=Watch(n_gif, getattr(dataset_val, "slice_axis", 2), debugging, wandb),
    )


def _network(model_params: Mapping[str, Any], training: Any) -> Architecture:
    """Name and arguments of the network, completed by what the data say."""
    name = model_params.get("name", "Unet")
    given = {key: value for key, value in model_params.items() if key not in ("name", *_OF_THE_DATA)}
    if isinstance(training, DocumentedSamples):
        sample = training[0]
        classes = len(sample.target)
        given.setdefault("in_channel", len(sample.image))
        given.setdefault("out_channel", classes + 1 if classes > 1 else 1)
        given.setdefault("is_2d", training.is_2d)
        if takes_contrasts(model_params):
            contrasts = getattr(training.dataset, "cst_lst", range(len(sample.image)))
            given.setdefault("contrasts", list(contrasts))
        elif sample.condition is not None:
            given.setdefault("n_metadata", len(sample.condition))
    return Architecture(name, check_arguments(name, given))


def _curriculum(model_params: Mapping[str, Any]) -> Curriculum | None:
    probability = model_params.get("missing_probability") or 0.0
    if probability <= 0 or not takes_contrasts(model_params):
        return None
    return Curriculum(probability, model_params.get("missing_probability_growth", 1.0))


def get_metadata(
    metadata: Sequence[Sequence[Any]], model_params: Mapping[str, Any]
) -> list[list[float]] | np.ndarray:
    """Conditions of the samples of a batch.

    Args:
        metadata: Per sample the metadata of its channels, of which the first counts.
        model_params: ``name`` of the network; of a FiLM network ``film_onehotencoder``.

    Returns:
        HeMISUnet: [B, contrasts], 1 where a contrast is there. FiLM: the vector of each sample, of the labels
        ``film_input``.
    """
    if takes_contrasts(model_params):
        return np.array([record[0]["missing_mod"] for record in metadata])
    encoder = model_params["film_onehotencoder"]
    rows = [list(encoder.transform([record[0]["film_input"]])[0]) for record in metadata]
    return [[float(value) for value in row] for row in rows]


def load_checkpoint(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    gif_dict: dict[str, Any],
    scheduler: Any,
    fname: str | os.PathLike[str],
) -> tuple[nn.Module, torch.optim.Optimizer, dict[str, Any], int, float, Any, int]:
    """Continue a custom training loop from ``checkpoint.pth.tar``, of this version or of 2.9.10.

    Args:
        model: Network; its weights are loaded.
        optimizer: Its state is loaded.
        gif_dict: Record of the loop's animations; returned as the checkpoint has it, if it does.
        scheduler: Its state is loaded.
        fname: The checkpoint. Without one the loop starts again, with a warning.

    Returns:
        Model, optimizer, ``gif_dict``, the epoch to continue with (from 1), the best validation loss so far (inf
        without a checkpoint), scheduler, and the epochs without an improvement.

    Raises:
        ModelError: The file is damaged, or of another network.
    """
    if not Path(fname).is_file():
        log.warning("No checkpoint found at %s; the training starts from the beginning.", os.fspath(fname))
        return model, optimizer, gif_dict, 1, math.inf, scheduler, 0
    state = _read(fname)
    try:
        if "format_version" in state:
            parts, best = state["optimization"], state["best"]["validation_loss"]
            weights, optimizer_state, schedule = parts["model"], parts["optimizer"], parts["scheduler"]
            patience, first_epoch = state["stopping"]["count"], state["epoch"] + 1
        else:
            weights, optimizer_state, best = state["state_dict"], state["optimizer"], state["validation_loss"]
            schedule = state["scheduler"].state_dict()
            patience, gif_dict = state["patience_count"], state["gif_dict"]
            first_epoch = state["epoch"]  # 2.x counted on before it saved
        model.load_state_dict(weights)
        optimizer.load_state_dict(optimizer_state)
        scheduler.load_state_dict(schedule)
    except (KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{os.fspath(fname)}: does not fit this network and optimizer ({str(error).splitlines()[0]})"
        ) from error
    return model, optimizer, gif_dict, first_epoch, float(best), scheduler, int(patience)


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Content of a checkpoint; no code in it is run. Checkpoints of 2.x hold their scheduler as an object."""
    try:
        with torch.serialization.safe_globals(_DATA):
            content = TorchFile(path).plain()
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # torch may raise anything for a damaged file
        raise ModelError(f"{os.fspath(path)}: damaged or no checkpoint of a training") from error
    if not isinstance(content, dict) or "epoch" not in content:
        raise ModelError(f"{os.fspath(path)}: is not a checkpoint of a training")
    return content
