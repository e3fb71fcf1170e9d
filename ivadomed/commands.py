"""One function per command: train, test, eval, segment. The only functions that take the whole configuration."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ivadomed.classification import (
    ALL,
    EVALUATION,
    SLICES,
    classify,
    evaluate_slices,
    read_slices,
    write_table,
)
from ivadomed.config import RunConfig, load_config
from ivadomed.datasets import (
    boxed_cases,
    display_transforms,
    draw_split,
    fit_conditioner,
    index_data,
    labelled_cases,
    sample_dataset,
    saved_split,
    segment_cases,
    test_cases,
    worker_count,
)
from ivadomed.device import define_device, training_devices
from ivadomed.errors import ConfigError
from ivadomed.evaluation import evaluate_predictions, pairs_of_cases, preview, summary_text, write_summary
from ivadomed.evaluation.overlays import paint_overlays, worst_first
from ivadomed.files import write_json
from ivadomed.inference.backends import open_model
from ivadomed.inference.packaged import load_packaged_model, packaged_engine
from ivadomed.loader.case import Case
from ivadomed.loader.film_encoder import FilmEncoder
from ivadomed.loader.recipe import conditioner_of, recipe_of, steps_of, uncertain_steps_of
from ivadomed.loader.samples import Batch, SampleDataset
from ivadomed.loader.volumes import read_ahead
from ivadomed.metrics import get_metric_fns
from ivadomed.models import Network, load_model
from ivadomed.models.registry import check_arguments
from ivadomed.object_detection.cascade import add_boxes
from ivadomed.ranks import World, current_world
from ivadomed.records import run_folder, versions, write_manifest
from ivadomed.report import Report, read_curves, write_report
from ivadomed.testing import PREDICTIONS, CaseSet, test, write_prediction
from ivadomed.threshold import threshold_analysis
from ivadomed.training import train
from ivadomed.training.failures import explained
from ivadomed.training.film import save_modulation
from ivadomed.training.launch import other_processes
from ivadomed.training.outputs import BEST, refuse_to_overwrite, remove_training
from ivadomed.training.package import TRAINED_BLEND, package_model

log = logging.getLogger(__name__)

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
    thr_increment: float | None = None,
    debug: bool = False,
    overwrite: bool = False,
) -> Any:
    """Run the configuration's command in its output folder.

    Args:
        config: Of the run.
        resume_training: "train": continue from the checkpoint.
        no_patch: "segment": whole slices instead of 2D patches.
        overlap_2d: "segment": voxels that neighbouring 2D patches share.
        thr_increment: "train" and "test": search the best threshold in such steps, between 0 and 1, and use it.
        debug: Log details.
        overwrite: "train": replace the training that is in the output folder.

    Returns:
        See ``ivadomed.main.run_main``.
    """
    if not config.loader_parameters.path_data:
        raise ConfigError("loader_parameters.path_data: no data set given; add it or pass --path-data FOLDER")
    _refuse_without_effect(config)
    _refuse_training_options(config, resume_training, overwrite)
    if thr_increment is not None and config.command not in ("train", "test"):
        raise ConfigError(f"--thr-increment belongs to --train and --test, not to --{config.command}")
    if config.command != "eval":
        # Imports a class of the user's own. Model files may name one only because this configuration does.
        check_arguments(config.architecture.name, config.architecture.arguments)
    with run_folder(config, debug) as folder:
        if config.command == "train":
            return train_command(config, folder, resume_training, thr_increment, overwrite)
        if config.command == "test":
            return test_command(config, folder, thr_increment)
        if config.command == "eval":
            return eval_command(config, folder)
        return segment_command(config, folder, {"no_patch": no_patch, "overlap_2D": overlap_2d})


def train_command(
    config: RunConfig,
    folder: Path,
    resume: bool = False,
    thr_increment: float | None = None,
    overwrite: bool = False,
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
    cases, valid_cases = labelled_cases(config, bids_df, split, folder, devices[world.local_rank])
    conditioner = fit_conditioner(config, cases, folder)
    valid = sample_dataset(config, valid_cases, "validation", folder, conditioner)
    training = sample_dataset(config, cases, "training", folder, conditioner)
    model_folder = folder / config.model_name
    log.info("Creating model directory: %s", model_folder)
    params = config.training_parameters.model_dump(mode="json")
    params["num_workers"] = worker_count(config, len(devices))
    model = {"name": config.architecture.name, **config.architecture.arguments}
    if config.metadata_type is not None:
        model["n_metadata"] = FilmEncoder.load(folder).n_metadata
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
            config.relevant(_FREE_TO_CHANGE),
            world,
        )
    if world.is_first:
        _package(config, folder, valid, model, thr_increment)
    return best.training_dice, best.training_loss, best.validation_dice, best.validation_loss


def _all_processes(folder: Path, count: int, resume: bool) -> AbstractContextManager[World]:
    """Start a process for every GPU unless that has been done from outside."""
    world = current_world()
    if world.size > 1 or count == 1:
        return nullcontext(world)
    command = [sys.executable, "-m", "ivadomed", "--train", str(folder / "config_file.json")]
    return other_processes([*command, "--resume-training"] if resume else command, count)


def _package(
    config: RunConfig,
    folder: Path,
    valid: SampleDataset,
    model: dict[str, Any],
    thr_increment: float | None,
) -> None:
    """Package the best model of a training, of which the threshold may be searched first."""
    if thr_increment is not None:
        config = _with_best_threshold(config, _labelled_sets(config, folder), folder, thr_increment)
    package_model(config, folder / BEST, folder / config.model_name)
    if config.metadata_type is not None:
        save_modulation(
            cast(Network, load_model(folder / BEST)),
            valid,
            FilmEncoder.load(folder),
            model["film_layers"],
            config.training_parameters.batch_size,
            folder,
        )


def test_command(
    config: RunConfig, folder: Path, thr_increment: float | None
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predict and evaluate the test set.

    Returns:
        The table of 3D metrics and the metrics averaged over slices or patches.
    """
    device = _announce(config)
    cases = boxed_cases(config, test_cases(config, folder), folder, device)
    conditioner = conditioner_of(config, folder)
    if thr_increment is not None:
        config = _with_best_threshold(config, _labelled_sets(config, folder), folder, thr_increment)
    if config.task == "classification":
        return _test_classifier(config, cases, folder, device)
    data = CaseSet(
        cases,
        recipe_of(config, "testing", device),
        steps_of(config, "testing"),
        conditioner,
        uncertain_steps_of(config),
        config.blend or TRAINED_BLEND,
    )
    display_transforms(config, "testing")
    metrics = test(
        {"out_channel": config.out_channel},
        data,
        {
            "batch_size": config.training_parameters.batch_size,
            "n_classes": len(config.loader_parameters.target_suffix),
            "uncertainty": config.uncertainty.model_dump(mode="json"),
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
    if config.task == "classification":
        return _evaluate_classifier(config, read_slices(folder), folder)
    return _evaluate(config, test_cases(config, folder), folder)


def segment_command(config: RunConfig, folder: Path, options: dict[str, Any]) -> list[Path]:
    """Segment every image of a data set, labelled or not, with the packaged model.

    The run's configuration says which images and which postprocessing, the model's how they are prepared. Of a
    cascade, the first model is that of the model's configuration unless the run's names one.

    Returns:
        The files ``pred_masks/<case>_class-N_pred.nii.gz``; of a classifier ``classified_slices.csv``.
    """
    _, device = define_device(config.gpu_ids)
    model_config, file_model = load_packaged_model(folder / config.model_name)
    if config.in_channel != model_config.in_channel:
        raise ConfigError(
            f"loader_parameters: {config.in_channel} input channel(s), but {file_model} takes "
            f"{model_config.in_channel}; use the contrasts of {file_model.with_suffix('.json')}"
        )
    cascade = config if config.object_detection_params.object_detection_path else model_config
    slice_axis = model_config.slice_axis_index
    cases = add_boxes(
        segment_cases(config, folder), cascade.object_detection_params, folder, slice_axis, device
    )
    display_transforms(model_config, "testing")
    if model_config.task == "classification":
        return [_classify(model_config, cases, folder, open_model(file_model, device))[1]]
    engine = packaged_engine(model_config, file_model, device, options)
    written: list[Path] = []
    predictions = engine.run(read_ahead(cases, slice_axis, with_target=False))
    for prediction in tqdm(
        predictions, desc="Segmentation", total=len(cases), unit="case", leave=False, disable=None
    ):
        written += write_prediction(prediction, folder / PREDICTIONS, _postprocessing(config), per_class=True)
    log.info("Segmented %d images into %s.", len(cases), folder / PREDICTIONS)
    return written


def _labelled_sets(config: RunConfig, folder: Path) -> list[SampleDataset]:
    """Training and validation sets of the run, prepared as at test time."""
    bids_df = index_data(config, folder)
    split = saved_split(config, bids_df, folder)
    sides = labelled_cases(config, bids_df, split, folder, define_device(config.gpu_ids)[1])
    conditioner = conditioner_of(config, folder)
    return [sample_dataset(config, cases, "testing", folder, conditioner) for cases in sides]


def _with_best_threshold(
    config: RunConfig, datasets: Sequence[SampleDataset], folder: Path, increment: float
) -> RunConfig:
    """The configuration with the threshold that suits the trained model, which the run's file keeps too."""
    is_classifier = config.task == "classification"
    threshold = threshold_analysis(
        folder / "best_model.pt",
        datasets,
        {},
        {"batch_size": config.training_parameters.batch_size},
        "recall_specificity" if is_classifier else "dice",
        increment,
        folder / ("roc.png" if is_classifier else "thr.png"),
        bool(config.gpu_ids),
    )
    log.info("Best threshold: %g; it is postprocessing.binarize_prediction.thr now.", threshold)
    plain = config.to_json()
    plain["postprocessing"] = {**plain["postprocessing"], "binarize_prediction": {"thr": threshold}}
    changed = load_config(plain)
    write_json(folder / "config_file.json", changed.to_json(hide_secrets=True))
    return changed


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
    asked = {"wandb": config.wandb is not None}
    refused = [key for key, is_asked in asked.items() if is_asked]
    if refused:
        raise ConfigError(
            f"this version cannot do what the configuration asks for with {', '.join(refused)}; remove it"
        )


def _classify(
    config: RunConfig, cases: Sequence[Case], folder: Path, forward: Callable[[Batch], np.ndarray]
) -> tuple[pd.DataFrame, Path]:
    """Classify the slices of cases, into ``classified_slices.csv``."""
    data = sample_dataset(config, cases, "testing", folder)
    table = classify(data, forward, config.class_names, config.training_parameters.batch_size)
    write_table(table, folder / SLICES)
    log.info("Classified %d slices of %d images: %s", len(data), len(cases), folder / SLICES)
    return table, folder / SLICES


def _test_classifier(
    config: RunConfig, cases: Sequence[Case], folder: Path, device: torch.device
) -> tuple[pd.DataFrame, dict[str, float]]:
    table, _ = _classify(config, cases, folder, open_model(folder / "best_model.pt", device))
    evaluation = _evaluate_classifier(config, table, folder)
    metrics = evaluation[evaluation["image_id"] == ALL].select_dtypes("number").mean()
    return evaluation, {str(name): float(value) for name, value in metrics.items()}


def _evaluate_classifier(config: RunConfig, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    binarize = config.postprocessing.binarize_prediction
    evaluation = evaluate_slices(table, binarize.thr if binarize and binarize.thr >= 0 else 0.5)
    write_table(evaluation, folder / "results_eval" / EVALUATION)
    log.info("%s", evaluation.head().to_string(index=False))
    return evaluation


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
