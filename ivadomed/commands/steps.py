"""Steps shared by several commands."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from glob import escape as glob_escape
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ivadomed.config import RunConfig
from ivadomed.config.run_files import BEST, CONFIG
from ivadomed.config.tree import expand, merged, read_json, section
from ivadomed.detection.cascade import add_boxes
from ivadomed.errors import DataError
from ivadomed.evaluation.classification import ALL, EVALUATION, SLICES, classify, evaluate_slices
from ivadomed.evaluation.threshold import best_threshold
from ivadomed.images.files import write_csv, write_json
from ivadomed.inference.backends import open_model
from ivadomed.inference.engine import Forward
from ivadomed.inference.outputs import PREDICTIONS
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.build import (
    cases_of,
    fit_conditioner,
    index_data,
    sample_dataset,
    saved_split,
)
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import CaseList
from ivadomed.loader.conditions import FILM_ENCODER, FilmEncoder
from ivadomed.loader.recipe import MODEL_OF_2, conditioner_of
from ivadomed.runtime.device import define_device
from ivadomed.runtime.ranks import is_first_process
from ivadomed.runtime.terminal import say
from ivadomed.training.outputs import trained_by_2

log = logging.getLogger(__name__)

_CONTRASTS = "loader_parameters.contrast_params"


def announce(config: RunConfig) -> torch.device:
    """Log the device and the architecture; return the device."""
    cuda, device = define_device(config.gpu_ids)
    if not cuda:
        log.info("Cuda is not available.")
    log.info("Working on %s.", device)
    log.info("\nSelected architecture: %s, with the following parameters:", config.architecture.name)
    shown = {**config.architecture.arguments, "is_2d": config.is_2d, "folder_name": config.model_name}
    for key, value in shown.items():
        log.info("%s: %s", key, value)
    return device


def changed(config: RunConfig, changes: Mapping[str, Any], keep_in: Path | None = None) -> RunConfig:
    """Configuration with other values at dotted paths, also written to the run's configuration file on request."""
    new = RunConfig.model_validate(merged(config.to_json(), expand(changes)))
    if keep_in is not None and is_first_process():
        write_json(keep_in / CONFIG, new.to_json(hide_secrets=True))
    return new


def with_contrasts(config: RunConfig, folder: Path) -> RunConfig:
    """Configuration with its contrasts; if it names none, those of the trained model, else of the data set.

    They are shown and written to the run's configuration file: the channels of a network are contrasts.
    """
    if config.contrasts_for("training"):
        return config
    found = _contrasts_of_model(config.model_folder) if config.command != "train" else []
    found = found or sorted({image.suffix for image in index_data(config, folder).images.values()})
    say("Contrasts", f"all, as the configuration names none: {', '.join(found)}")
    return changed(config, {f"{_CONTRASTS}.training_validation": found}, keep_in=folder)


def _contrasts_of_model(folder: Path) -> list[str]:
    file = folder / f"{folder.name}.json"
    contrasts = section(read_json(file), _CONTRASTS).get("training_validation") if file.is_file() else None
    return contrasts if isinstance(contrasts, list) else []


def as_trained(config: RunConfig, folder: Path) -> RunConfig:
    """Configuration, with the behavior of ivadomed 2 for unset keys if that trained the model in the folder."""
    if not trained_by_2(folder):
        return config
    detection = config.object_detection_params
    anchored = detection.model_copy(update={"anchor": detection.anchor or MODEL_OF_2.anchor})
    blend = config.blend or MODEL_OF_2.blend
    return config.model_copy(update={"blend": blend, "object_detection_params": anchored})


def fit_missing_encoder(config: RunConfig, folder: Path) -> None:
    """Refit the metadata encoder of a FiLM network trained by ivadomed 2, on the training set of that run.

    ivadomed 2 saved the encoder as scikit-learn pickles, which are not opened. The fit is deterministic and thus
    gives the same encoder; it is also saved for the packaged model.

    Raises:
        DataError: The training images are missing.
    """
    if config.metadata_type is None or (folder / FILM_ENCODER).is_file() or not trained_by_2(folder):
        return
    bids_df = index_data(config, folder)
    cases = cases_of(config, bids_df, saved_split(config, bids_df, folder)["train"], "training").cases
    fit_conditioner(config, cases, folder)
    if (package := folder / config.model_name).is_dir():
        FilmEncoder.load(folder).save(package)
    log.info("Encoder of %s: fitted on the %d training images of this run.", config.metadata_type, len(cases))


def labelled_cases(
    config: RunConfig,
    bids_df: BidsDataframe,
    split: Mapping[str, Sequence[str]],
    folder: Path,
    device: torch.device,
) -> tuple[CaseList, CaseList]:
    """Training and validation set; cases of a cascade have bounding boxes."""
    validation = cases_of(config, bids_df, split["valid"], "validation")
    training = cases_of(config, bids_df, split["train"], "training")
    cases = [*training.cases, *validation.cases]
    boxed = add_boxes(cases, config.object_detection_params, folder, config.slice_axis_index, device)
    n_training = len(training.cases)
    return replace(training, cases=boxed[:n_training]), replace(validation, cases=boxed[n_training:])


def with_best_threshold(config: RunConfig, folder: Path, increment: float) -> RunConfig:
    """Configuration with the best threshold for the trained model, also written to the run's configuration file.

    The threshold is searched on the training and validation sets, preprocessed as for testing.
    """
    device = define_device(config.gpu_ids)[1]
    bids_df = index_data(config, folder)
    sides = labelled_cases(config, bids_df, saved_split(config, bids_df, folder), folder, device)
    conditioner = conditioner_of(config, folder)
    threshold = best_threshold(
        folder / BEST,
        [sample_dataset(config, side.cases, "testing", folder, conditioner) for side in sides],
        config.training_parameters.batch_size,
        device,
        "recall_specificity" if config.task == "classification" else "dice",
        increment,
        threshold_picture(config, folder),
        config.training_parameters.precision,
    )
    say("Threshold", f"{threshold:g} is best, and postprocessing.binarize_prediction.thr now")
    return changed(config, {"postprocessing.binarize_prediction.thr": threshold}, keep_in=folder)


def threshold_picture(config: RunConfig, folder: Path) -> Path:
    """Path of the figure of a threshold search."""
    return folder / ("roc.png" if config.task == "classification" else "thr.png")


def postprocessing_of(config: RunConfig, folder: Path) -> dict[str, Any]:
    """Steps by name, in order of application.

    Raises:
        DataError: A step reads uncertainty maps, but those in the folder are from an earlier model.
    """
    steps = config.postprocessing.arguments
    step = steps.get("uncertainty")
    if step and step["thr"] >= 0 and not config.uncertainty.applied:  # otherwise the maps are recomputed
        refuse_outdated(
            folder, f"*{glob_escape(step['suffix'])}", "set uncertainty.n_it above 0 to create it again"
        )
    return steps


def keep_model_older(folder: Path) -> None:
    """Set the file time of the trained model to now if it is in the future, so that new predictions are newer.

    If the clock was wrong during training, or is wrong now, ``refuse_outdated`` would refuse every prediction.
    """
    model, written = folder / BEST, folder / CONFIG
    if not (model.is_file() and written.is_file()):
        return
    now = written.stat().st_mtime_ns  # clock of the file system: every run writes this file first
    if model.stat().st_mtime_ns > now:
        log.warning("%s is dated in the future; its time is set to now", model)
        os.utime(model, ns=(now, now))


def keep_model_newer(folder: Path) -> None:
    """Set the file time of a newly trained model after that of every prediction in its folder.

    If the clock was set back since, old predictions would pass for its own, see ``refuse_outdated``.
    """
    model = folder / BEST
    times = [path.stat().st_mtime_ns for path in (folder / PREDICTIONS).glob("*")]
    if times and model.stat().st_mtime_ns <= max(times):
        os.utime(model, ns=(max(times) + 1, max(times) + 1))


def refuse_outdated(folder: Path, pattern: str, remedy: str, model: Path | None = None) -> None:
    """Raise if a model was trained after a prediction in the folder was made.

    File times are meaningless in folders of ivadomed 2 that have been copied since.

    Args:
        folder: Output folder of the run.
        pattern: Names of the files in ``pred_masks``.
        remedy: Advice at the end of the message.
        model: File of the model; None: the one in the folder.

    Raises:
        DataError: Another model made the prediction.
    """
    model = model or folder / BEST
    if not model.is_file() or trained_by_2(folder):
        return
    trained = model.stat().st_mtime_ns
    old = [path for path in sorted((folder / PREDICTIONS).glob(pattern)) if path.stat().st_mtime_ns < trained]
    if old:
        others = f" (and {len(old) - 1} more)" if len(old) > 1 else ""
        raise DataError(f"{old[0]}{others}: is older than {model.name}, so another model made it; {remedy}")


def classify_cases(
    config: RunConfig, cases: Sequence[Case], folder: Path, forward: Forward
) -> tuple[pd.DataFrame, Path]:
    """Classify the slices of cases, into ``classified_slices.csv``."""
    data = sample_dataset(config, cases, "testing", folder)
    table = classify(data, forward, config.class_names, config.training_parameters.batch_size)
    write_csv(folder / SLICES, table, index=False)
    say("Done", f"classified {len(data)} slices of {len(cases)} images: {folder / SLICES}")
    return table, folder / SLICES


def test_classifier(
    config: RunConfig, cases: Sequence[Case], folder: Path, device: torch.device
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Classify the slices of cases with the trained network, and evaluate the result.

    Args:
        config: Configuration of the run.
        cases: Cases of the test set.
        folder: Folder of the run, with the best model.
        device: Device of the network.

    Returns:
        Table of `evaluate_classifier`, and the mean of each metric over all slices.
    """
    forward = open_model(folder / BEST, device, config.training_parameters.precision)
    table, _ = classify_cases(config, cases, folder, forward)
    evaluation = evaluate_classifier(config, table, folder)
    metrics = evaluation[evaluation["image_id"] == ALL].select_dtypes("number").mean()
    return evaluation, {str(name): float(value) for name, value in metrics.items()}


def evaluate_classifier(config: RunConfig, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Evaluate slice classes and write the metrics to ``results_eval``.

    Args:
        config: Configuration of the run; the threshold is that of its postprocessing (default 0.5).
        table: Probability and label of each slice, see `classify_cases`.
        folder: Folder of the run.

    Returns:
        Metrics by image and class, see `evaluate_slices`.
    """
    threshold = config.postprocessing.threshold
    evaluation = evaluate_slices(table, 0.5 if threshold is None else threshold)
    write_csv(folder / "results_eval" / EVALUATION, evaluation, index=False)
    say("Results", f"{folder / 'results_eval' / EVALUATION}\n{evaluation.head().to_string(index=False)}")
    return evaluation
