"""``--train``: data, training, packaging."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from filecmp import cmp
from pathlib import Path

import torch

from ivadomed.commands.records import MANIFEST, add_to_manifest, was_trained_on, write_manifest
from ivadomed.commands.screen import (
    show_data,
    show_left_out,
    show_network,
    show_samples,
    show_split,
    show_training,
)
from ivadomed.commands.steps import (
    announce,
    keep_model_newer,
    labelled_cases,
    threshold_picture,
    with_best_threshold,
)
from ivadomed.config import RunConfig
from ivadomed.config.run_files import BEST, CHECKPOINT, CONFIG, FINAL
from ivadomed.config.schema.run import Architecture
from ivadomed.errors import ModelError
from ivadomed.jobs import Workers
from ivadomed.loader.build import (
    draw_split,
    fit_conditioner,
    index_data,
    sample_dataset,
    saved_split,
    worker_count,
)
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.loader.samples import SampleDataset
from ivadomed.metrics import get_metric_fns
from ivadomed.models import load_model
from ivadomed.runtime.device import training_devices
from ivadomed.runtime.ranks import World, current_world
from ivadomed.runtime.terminal import say, shell_word
from ivadomed.runtime.working import working
from ivadomed.training import read_checkpoint
from ivadomed.training.budget import planned_epochs
from ivadomed.training.checkpoint import changes
from ivadomed.training.film import save_modulation
from ivadomed.training.gifs import FOLDER as GIFS
from ivadomed.training.loop import EpochEnd, TrainingResult, train
from ivadomed.training.memory_format import memory_format_text
from ivadomed.training.monitor import Watch
from ivadomed.training.number_format import precision_text
from ivadomed.training.outputs import package_model, remove_training
from ivadomed.training.processes import explained, other_processes
from ivadomed.training.resolve import resolve_parameters
from ivadomed.training.schedule import EarlyStopping

log = logging.getLogger(__name__)

# A longer training may continue a shorter one; location of files and reading speed do not affect results.
FREE_TO_CHANGE = (
    "command",
    "gpu_ids",
    "path_output",
    "log_file",
    "debugging",
    "evaluation_parameters",
    "loader_parameters.path_data",
    "loader_parameters.cache",
    "loader_parameters.cache_dir",
    "training_parameters.num_workers",
    "training_parameters.training_time.num_epochs",
    "training_parameters.training_time.max_minutes",
)


def train_command(
    config: RunConfig,
    folder: Path,
    resume: bool = False,
    thr_increment: float | None = None,
    overwrite: bool = False,
    n_gif: int = 0,
    workers: Workers | None = None,
    on_epoch: EpochEnd | None = None,
) -> TrainingResult:
    """Train, and package the best model. If several processes train together, each runs this function."""
    started = time.monotonic()
    world = current_world()
    announce(config)
    devices = training_devices(config.gpu_ids, world)
    device = devices[world.local_rank]
    split, training, valid = _data(config, folder, device, resume, workers)
    log.info("Creating model directory: %s", folder / config.model_name)
    model = config.architecture
    if config.metadata_type is not None:
        n_metadata = FilmEncoder.load(folder).n_metadata
        model = replace(model, arguments={**model.arguments, "n_metadata": n_metadata})
    if world.is_first:
        show_samples(config, training, valid)
        with working("Sizing the network"):
            show_network(config, model, training.sample_size)
    given = config.training_parameters
    params = resolve_parameters(given, device, model, training.sample_size, folder if resume else None)
    if world.is_first:
        text = precision_text(params.precision, given.precision)
        memory_format = memory_format_text(params.channels_last, given.channels_last)
        write_manifest(config, folder, split, text, memory_format)
        show_training(config, devices, text, folder)
    if overwrite and world.is_first:
        remove_training(folder, folder / config.model_name)  # only now, when nothing but training can fail
    workers_of_loader = worker_count(config, len(devices))
    with _all_processes(folder, len(devices), resume) as world, explained(config.memory_keys, world):
        best = train(
            model,
            training,
            valid,
            params.model_copy(update={"num_workers": workers_of_loader}),
            folder,
            devices[world.local_rank],
            get_metric_fns(config.task),
            resume,
            config.relevant(FREE_TO_CHANGE),
            world,
            Watch(n_gif, config.slice_axis_index, config.debugging, config.wandb),
            on_epoch,
            lambda epochs: add_to_manifest(folder, {"epochs": epochs}),
            started=started,
        )
    if world.is_first:
        with working("Packaging the model"):
            _package(config, folder, valid, model, thr_increment)
        model_folder = folder / config.model_name
        say("Done", f"best validation loss {best.validation_loss:.4f}; the model is {model_folder}")
        say("Next", f"ivadomed --test -c {shell_word(folder / CONFIG)}")
    return best


def _data(
    config: RunConfig, folder: Path, device: torch.device, resume: bool, workers: Workers | None
) -> tuple[dict[str, list[str]], SampleDataset, SampleDataset]:
    """Split, training and validation set."""
    bids_df = index_data(config, folder)
    split = (saved_split if resume else draw_split)(config, bids_df, folder)
    show_data(config, bids_df)
    sides = labelled_cases(config, bids_df, split, folder, device)
    cases, valid_cases = (side.cases for side in sides)
    show_split(config, {"training": cases, "validation": valid_cases})
    left_out = [*bids_df.dropped, *(item for side in sides for item in side.dropped)]
    show_left_out(left_out, folder / config.log_file)
    conditioner = fit_conditioner(config, cases, folder)
    with working("Preparing images"):
        valid = sample_dataset(config, valid_cases, "validation", folder, conditioner, workers)
        training = sample_dataset(config, cases, "training", folder, conditioner, workers)
    return split, training, valid


def finished_training(
    config: RunConfig, thr_increment: float | None = None, n_gif: int = 0
) -> TrainingResult | None:
    """Result of the training in the output folder, if it belongs to this configuration and is complete.

    Args:
        config: Configuration of the run.
        thr_increment: Step of a threshold search that must be done too.
        n_gif: Number of animations that must exist too.

    Returns:
        Losses of the best epoch; None if there is no such training.
    """
    folder, package = Path(config.path_output), config.model_folder
    packaged = [package / f"{package.name}{suffix}" for suffix in (".pt", ".json")]
    files = [folder / CHECKPOINT, folder / BEST, folder / FINAL, folder / MANIFEST, *packaged]
    if not all(file.is_file() for file in files) or not cmp(folder / BEST, packaged[0], shallow=False):
        return None
    if thr_increment is not None and not threshold_picture(config, folder).is_file():
        return None
    if len(list((folder / GIFS).glob("*.gif"))) < n_gif:
        return None
    try:
        state = read_checkpoint(folder / CHECKPOINT)
    except ModelError:
        return None
    length = config.training_parameters.training_time
    stopping = EarlyStopping(length)
    stopping.load_state_dict(state["stopping"])
    epochs = planned_epochs(length, state.get("budget", {}))
    is_over = epochs is not None and (
        state["epoch"] == epochs or (state["epoch"] < epochs and stopping.stalled)
    )
    same = not changes(state["configuration"], json.loads(json.dumps(config.relevant(FREE_TO_CHANGE))))
    if not (is_over and same and was_trained_on(folder, config.loader_parameters.path_data)):
        return None
    return TrainingResult(**state["best"])


def _all_processes(folder: Path, count: int, resume: bool) -> AbstractContextManager[World]:
    """Start one process per GPU unless started externally."""
    world = current_world()
    if world.size > 1 or count == 1:
        return nullcontext(world)
    command = [sys.executable, "-m", "ivadomed", "--train", str(folder / CONFIG)]
    return other_processes([*command, "--resume-training"] if resume else command, count)


def _package(
    config: RunConfig,
    folder: Path,
    valid: SampleDataset,
    model: Architecture,
    thr_increment: float | None,
) -> None:
    """Package the best model of a training, after an optional threshold search."""
    if thr_increment is not None:
        config = with_best_threshold(config, folder, thr_increment)
    package_model(config, folder / BEST, folder / config.model_name)
    keep_model_newer(folder)
    if config.metadata_type is not None:
        save_modulation(
            load_model(folder / BEST),
            valid,
            FilmEncoder.load(folder),
            model.arguments["film_layers"],
            config.training_parameters.batch_size,
            folder,
        )
