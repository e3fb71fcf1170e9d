"""One function per command: train, test, eval, segment. The only functions that take the whole configuration."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ivadomed.config import RunConfig
from ivadomed.datasets import (
    display_transforms,
    draw_split,
    index_data,
    sample_dataset,
    saved_split,
    segment_cases,
    test_cases,
    worker_count,
)
from ivadomed.device import define_device, training_devices
from ivadomed.errors import ConfigError, DataError
from ivadomed.evaluation import PredictionPair, evaluate_predictions, preview
from ivadomed.inference.segment import load_packaged_model, packaged_engine
from ivadomed.io import is_nifti, read_classes
from ivadomed.loader.case import Case
from ivadomed.loader.recipe import recipe_of, steps_of
from ivadomed.loader.volumes import read_volume
from ivadomed.metrics import get_metric_fns
from ivadomed.ranks import World, current_world
from ivadomed.records import run_folder, write_manifest
from ivadomed.testing import PREDICTIONS, CaseSet, read_ahead, test, write_prediction
from ivadomed.training import train
from ivadomed.training.failures import explained
from ivadomed.training.launch import other_processes
from ivadomed.training.outputs import BEST, refuse_to_overwrite, remove_training
from ivadomed.training.package import package_model
from ivadomed.visualize import save_overlays

log = logging.getLogger(__name__)

_SEGMENTERS = ("Unet", "Modified3DUNet")
# A longer training may continue a shorter one; where files lie and how fast they are read changes no number.
_FREE_TO_CHANGE = (
    "command",
    "gpu_ids",
    "path_output",
    "log_file",
    "debugging",
    "loader_parameters.path_data",
    "loader_parameters.cache",
    "loader_parameters.cache_dir",
    "training_parameters.num_workers",
    "training_parameters.training_time.num_epochs",
)


def run_command(
    config: RunConfig,
    resume_training: bool = False,
    no_patch: bool = False,
    overlap_2d: Sequence[int] | None = None,
    debug: bool = False,
    overwrite: bool = False,
) -> Any:
    """Run the configuration's command in its output folder.

    Args:
        config: Of the run.
        resume_training: "train": continue from the checkpoint.
        no_patch: "segment": whole slices instead of 2D patches.
        overlap_2d: "segment": voxels that neighbouring 2D patches share.
        debug: Log details.
        overwrite: "train": replace the training that is in the output folder.

    Returns:
        See ``ivadomed.main.run_main``.
    """
    if not config.loader_parameters.path_data:
        raise ConfigError("loader_parameters.path_data: no data set given; add it or pass --path-data FOLDER")
    _refuse_without_effect(config)
    _refuse_training_options(config, resume_training, overwrite)
    with run_folder(config, debug) as folder:
        if config.command == "train":
            return train_command(config, folder, resume_training, overwrite)
        if config.command == "test":
            return test_command(config, folder)
        if config.command == "eval":
            return eval_command(config, folder)
        return segment_command(config, folder, {"no_patch": no_patch, "overlap_2D": overlap_2d})


def train_command(
    config: RunConfig, folder: Path, resume: bool = False, overwrite: bool = False
) -> tuple[float, float, float, float]:
    """Train, and package the best model. Of several processes that train together, each runs this function.

    Returns:
        Training Dice loss, training loss, validation Dice loss, validation loss of the best epoch.
    """
    world = current_world()
    _announce(config)
    devices = training_devices(config.gpu_ids, world)
    bids_df = index_data(config, folder)
    split = (saved_split if resume else draw_split)(config, bids_df, folder)
    if world.is_first:
        write_manifest(config, folder, split)
    valid = sample_dataset(config, bids_df, split["valid"], "validation", folder)
    training = sample_dataset(config, bids_df, split["train"], "training", folder)
    model_folder = folder / config.model_name
    log.info("Creating model directory: %s", model_folder)
    params = config.training_parameters.model_dump(mode="json")
    params["num_workers"] = worker_count(config, len(devices))
    model = {"name": config.architecture.name, **config.architecture.arguments}
    settled = config.relevant(_FREE_TO_CHANGE)
    if overwrite and world.is_first:
        remove_training(folder, model_folder)  # only now that nothing but the training can fail
    with _all_processes(folder, len(devices), resume) as world, explained(config.memory_keys, world):
        best = train(
            model,
            training,
            valid,
            params,
            folder,
            devices[world.local_rank],
            get_metric_fns(config.task),
            resume,
            settled,
            world,
        )
    if world.is_first:
        package_model(config, folder / BEST, model_folder)
    return best.training_dice, best.training_loss, best.validation_dice, best.validation_loss


def _all_processes(folder: Path, count: int, resume: bool) -> AbstractContextManager[World]:
    """Start a process for every GPU unless that has been done from outside."""
    world = current_world()
    if world.size > 1 or count == 1:
        return nullcontext(world)
    command = [sys.executable, "-m", "ivadomed", "--train", str(folder / "config_file.json")]
    return other_processes([*command, "--resume-training"] if resume else command, count)


def test_command(config: RunConfig, folder: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predict and evaluate the test set.

    Returns:
        The table of 3D metrics and the metrics averaged over slices or patches.
    """
    device = _announce(config)
    cases = test_cases(config, folder)
    data = CaseSet(cases, recipe_of(config, "testing"), steps_of(config, "testing"))
    display_transforms(config, "testing")
    metrics = test(
        {"out_channel": config.out_channel},
        data,
        {
            "batch_size": config.training_parameters.batch_size,
            "n_classes": len(config.loader_parameters.target_suffix),
        },
        folder,
        device,
        get_metric_fns(config.task),
        _postprocessing(config),
    )
    log.info("%s", {name: float(value) for name, value in metrics.items()})
    return _evaluate(config, cases, folder), metrics


def eval_command(config: RunConfig, folder: Path) -> pd.DataFrame:
    """Evaluate the predictions in ``pred_masks``.

    Returns:
        The table of 3D metrics.
    """
    return _evaluate(config, test_cases(config, folder), folder)


def segment_command(config: RunConfig, folder: Path, options: dict[str, Any]) -> list[Path]:
    """Segment every image of a data set, labelled or not, with the packaged model.

    The run's configuration says which images and which postprocessing, the model's how they are prepared.

    Returns:
        The files ``pred_masks/<case>_class-N_pred.nii.gz``.
    """
    _, device = define_device(config.gpu_ids)
    model_config, file_model = load_packaged_model(folder / config.model_name)
    if config.in_channel != model_config.in_channel:
        raise ConfigError(
            f"loader_parameters: {config.in_channel} input channel(s), but {file_model} takes "
            f"{model_config.in_channel}; use the contrasts of {file_model.with_suffix('.json')}"
        )
    engine = packaged_engine(model_config, file_model, device, options)
    cases = segment_cases(config, folder)
    display_transforms(model_config, "testing")
    written: list[Path] = []
    predictions = engine.run(read_ahead(cases, engine.recipe, with_target=False))
    for prediction in tqdm(
        predictions, desc="Segmentation", total=len(cases), unit="case", leave=False, disable=None
    ):
        written += write_prediction(prediction, folder / PREDICTIONS, _postprocessing(config), per_class=True)
    log.info("Segmented %d images into %s.", len(cases), folder / PREDICTIONS)
    return written


def _announce(config: RunConfig) -> torch.device:
    """Say where and what."""
    cuda, device = define_device(config.gpu_ids)
    if not cuda:
        log.info("Cuda is not available.")
    log.info("Working on %s.", device)
    log.info("\nSelected architecture: %s, with the following parameters:", config.architecture.name)
    shown = {**config.architecture.arguments, "is_2d": config.is_2d, "folder_name": config.model_name}
    for key, value in shown.items():
        log.info("%s: %s", key, value)
    return device


def _refuse_training_options(config: RunConfig, resume: bool, overwrite: bool) -> None:
    """Raise for options that contradict each other, the command or what is in the output folder."""
    if config.command != "train":
        for option in ("--resume-training",) * resume + ("--overwrite",) * overwrite:
            raise ConfigError(f"{option} belongs to --train, not to --{config.command}")
        if (size := current_world().size) > 1:
            raise ConfigError(
                f"--{config.command} runs in one process, but {size} were started; start it without torchrun or srun"
            )
    elif resume and overwrite:
        raise ConfigError("--resume-training and --overwrite contradict each other; pass one")
    elif not resume and not overwrite:
        refuse_to_overwrite(Path(config.path_output), config.model_folder)


def _refuse_without_effect(config: RunConfig) -> None:
    """Raise for keys that the schema knows and no command acts on: a silent difference would be worse."""
    loader = config.loader_parameters
    name = config.architecture.name
    asked = {
        f"the architecture {name}": name not in _SEGMENTERS,
        "uncertainty": config.uncertainty.applied,
        "object_detection_params.object_detection_path": bool(
            config.object_detection_params.object_detection_path
        ),
        "wandb": config.wandb is not None,
        "loader_parameters.slice_filter_params.filter_classification": loader.slice_filter_params.filter_classification,
    }
    refused = [key for key, is_asked in asked.items() if is_asked]
    if refused:
        raise ConfigError(
            f"this version cannot do what the configuration asks for with {', '.join(refused)}; remove it"
        )


def _postprocessing(config: RunConfig) -> dict[str, Any]:
    return config.postprocessing.model_dump(mode="json")


def _evaluate(config: RunConfig, cases: Sequence[Case], folder: Path) -> pd.DataFrame:
    """Evaluate the predictions of the cases and paint them over their images."""
    log.info("\nRun Evaluation on %s\n", folder / PREDICTIONS)
    files = {case: folder / PREDICTIONS / f"{case.id}_pred.nii.gz" for case in cases}
    for case, file in files.items():
        if not file.is_file():
            log.warning("%s has no prediction %s and is left out.", case.id, file)
    predicted = {case: file for case, file in files.items() if file.is_file()}
    if not predicted:
        raise DataError(f"{folder / PREDICTIONS}: no prediction of the test set; run --test first")
    pairs = [
        PredictionPair(case.id, file, tuple(raters[0] if raters else None for raters in case.targets))
        for case, file in predicted.items()
    ]
    table = evaluate_predictions(pairs, folder, config.evaluation_parameters.model_dump(mode="json"))
    log.info("%s", preview(table))
    _paint(config, predicted, folder / "results_eval" / "overlays")
    return table


def _paint(config: RunConfig, predicted: Mapping[Case, Path], overlays: Path) -> None:
    """Write ``overlays/<case>.png``: prediction in colour, ground truth as an outline."""
    for case, prediction in predicted.items():
        volume = read_volume(case, config.slice_axis_index, config.loader_parameters.soft_gt)
        classes = read_classes(prediction).data
        masks = np.stack([volume.grid.to_hwd(classes[..., k]) for k in range(classes.shape[-1])])
        assert volume.target is not None
        truth = volume.target[[raters[0] for raters in case.raters]]
        axis = config.slice_axis_index if is_nifti(case.images[0]) else None
        save_overlays(overlays / f"{case.id}.png", volume.image[0], masks, truth, slice_axis=axis)
    log.info("Pictures of the predictions: %s", overlays)
