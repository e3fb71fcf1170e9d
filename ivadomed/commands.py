"""One function per command: train, test, eval, segment. The only functions that take the whole configuration."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from ivadomed.device import define_device
from ivadomed.errors import ConfigError
from ivadomed.evaluation import evaluate_predictions, pairs_of_cases, preview, summary_text, write_summary
from ivadomed.evaluation.overlays import paint_overlays, worst_first
from ivadomed.inference.segment import load_packaged_model, packaged_engine
from ivadomed.loader.case import Case
from ivadomed.loader.recipe import recipe_of, steps_of
from ivadomed.metrics import get_metric_fns
from ivadomed.records import run_folder, versions, write_manifest
from ivadomed.report import Report, read_curves, write_report
from ivadomed.testing import PREDICTIONS, CaseSet, read_ahead, test, write_prediction
from ivadomed.training import train
from ivadomed.training.package import package_model

log = logging.getLogger(__name__)

_SEGMENTERS = ("Unet", "Modified3DUNet")
# A longer training may continue a shorter one; where files lie and how fast they are read changes no number.
_FREE_TO_CHANGE = (
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
)


def run_command(
    config: RunConfig,
    resume_training: bool = False,
    no_patch: bool = False,
    overlap_2d: Sequence[int] | None = None,
    debug: bool = False,
) -> Any:
    """Run the configuration's command in its output folder.

    Args:
        config: Of the run.
        resume_training: "train": continue from the checkpoint.
        no_patch: "segment": whole slices instead of 2D patches.
        overlap_2d: "segment": voxels that neighbouring 2D patches share.
        debug: Log details.

    Returns:
        See ``ivadomed.main.run_main``.
    """
    if not config.loader_parameters.path_data:
        raise ConfigError("loader_parameters.path_data: no data set given; add it or pass --path-data FOLDER")
    _refuse_without_effect(config)
    if resume_training and config.command != "train":
        raise ConfigError(f"--resume-training belongs to --train, not to --{config.command}")
    with run_folder(config, debug) as folder:
        if config.command == "train":
            return train_command(config, folder, resume_training)
        if config.command == "test":
            return test_command(config, folder)
        if config.command == "eval":
            return eval_command(config, folder)
        return segment_command(config, folder, {"no_patch": no_patch, "overlap_2D": overlap_2d})


def train_command(config: RunConfig, folder: Path, resume: bool = False) -> tuple[float, float, float, float]:
    """Train, and package the best model.

    Returns:
        Training Dice loss, training loss, validation Dice loss, validation loss of the best epoch.
    """
    device = _announce(config)
    bids_df = index_data(config, folder)
    split = (saved_split if resume else draw_split)(config, bids_df, folder)
    write_manifest(config, folder, split)
    valid = sample_dataset(config, bids_df, split["valid"], "validation", folder)
    training = sample_dataset(config, bids_df, split["train"], "training", folder)
    model_folder = folder / config.model_name
    log.info("Creating model directory: %s", model_folder)
    params = config.training_parameters.model_dump(mode="json")
    params["num_workers"] = worker_count(config)
    best = train(
        {"name": config.architecture.name, **config.architecture.arguments},
        training,
        valid,
        params,
        folder,
        device,
        get_metric_fns(config.task),
        resume,
        config.fingerprint(_FREE_TO_CHANGE),
    )
    package_model(config, folder / "best_model.pt", model_folder)
    return best.training_dice, best.training_loss, best.validation_dice, best.validation_loss


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
    """Evaluate the predictions of the cases, paint them over their images and report."""
    log.info("\nRun Evaluation on %s\n", folder / PREDICTIONS)
    params = config.evaluation_parameters
    pairs = pairs_of_cases(cases, folder / PREDICTIONS, config.loader_parameters.target_suffix)
    table = evaluate_predictions(pairs, folder, params)
    summary = write_summary(table, pairs, folder)
    log.info("%s\n\n%s\n", preview(table), summary_text(summary))
    worst = worst_first(table)
    overlays = paint_overlays(pairs, worst[: params.overlays], folder, config.slice_axis_index)
    if params.report:
        report = Report(
            title=config.model_name,
            folder=folder,
            table=table,
            summary=summary,
            pairs=pairs,
            order=worst,
            class_names=config.class_names,
            overlays=overlays,
            config=config.to_json(hide_secrets=True),
            versions=versions(),
            curves=read_curves(folder),
        )
        log.info("Report: %s", write_report(report))
    return table
