"""The documented call of a training, with the documented data sets."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch

from ivadomed.config.section import training_section, wandb_section
from ivadomed.loader.conditions.conditioner import Curriculum
from ivadomed.loader.samples.documented import DocumentedSamples, as_samples
from ivadomed.models.registry import check_arguments
from ivadomed.training.loop import train as run_training
from ivadomed.training.number_format import resolve_precision
from ivadomed.training.watch import Watch

log = logging.getLogger(__name__)

_OF_THE_DATA = ("csv_path", "film_onehotencoder", "hdf5_path", "path_hdf5", "ram", "roi_lst", "target_lst")
"""Documented keys of ``model_params`` that no network takes."""

_FREE = ("num_workers", "training_time")
"""Parameters under which a run may be resumed that was started under others."""


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
    params = training_section(training_params)
    params["num_workers"] = params["num_workers"] or 0
    training = as_samples(dataset_train, model_params, params["seed"], _curriculum(model_params))
    validation = as_samples(dataset_val, model_params, params["seed"])
    model = _network(model_params, training)
    device = torch.device("cpu" if device is None or not cuda_available else device)
    configuration = {"model": model, **{k: v for k, v in params.items() if k not in _FREE}}
    size, batch_size = training.sample_size, params["batch_size"]
    params["precision"] = resolve_precision(params["precision"], device, model, size, batch_size)
    Path(path_output).mkdir(parents=True, exist_ok=True)
    wandb = None if wandb_params is None else wandb_section(wandb_params)
    best = run_training(
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
    training_dice, training_loss, validation_dice, validation_loss = astuple(best)
    return training_dice, training_loss, validation_dice, validation_loss


def _network(model_params: Mapping[str, Any], training: Any) -> dict[str, Any]:
    """Name and arguments of the network, completed by what the data say."""
    name = model_params.get("name", "Unet")
    given = {key: value for key, value in model_params.items() if key not in _OF_THE_DATA}
    if isinstance(training, DocumentedSamples):
        sample = training[0]
        classes = len(sample.target)
        given.setdefault("in_channel", len(sample.image))
        given.setdefault("out_channel", classes + 1 if classes > 1 else 1)
        given.setdefault("is_2d", training.is_2d)
        if sample.condition is not None and name != "HeMISUnet":
            given.setdefault("n_metadata", len(sample.condition))
        if name == "HeMISUnet" and "contrasts" not in given:
            given["contrasts"] = list(getattr(training.dataset, "cst_lst", range(len(sample.image))))
    given.pop("name", None)
    return {"name": name, **check_arguments(name, given)}


def _curriculum(model_params: Mapping[str, Any]) -> Curriculum | None:
    probability = model_params.get("missing_probability") or 0.0
    if model_params.get("name") != "HeMISUnet" or probability <= 0:
        return None
    return Curriculum(probability, model_params.get("missing_probability_growth", 1.0))
