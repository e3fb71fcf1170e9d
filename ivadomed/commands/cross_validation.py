"""Steps after the training of all folds: packaging the ensemble, testing and evaluation.

Each subject of the training set is predicted by the model not trained on it, into ``path_output/cross_validation``;
the test set, which no model has seen, by the ensemble, into ``path_output`` as in a single run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from tqdm import tqdm

from ivadomed.commands.evaluate import evaluate_cases
from ivadomed.commands.folds import is_packaged, saved_splits, trained_folds
from ivadomed.commands.screen import show_cases, show_left_out, show_next
from ivadomed.commands.steps import classify_cases, evaluate_classifier, refuse_outdated
from ivadomed.commands.worker import screen_of_worker, with_own_share
from ivadomed.config import RunConfig
from ivadomed.config.run_files import BEST, CONFIG
from ivadomed.config.tree import read_json
from ivadomed.detection.cascade import add_boxes
from ivadomed.errors import ConfigError, DataError, ModelError
from ivadomed.evaluation.classification import SLICES, read_slices
from ivadomed.evaluation.cross_validation import FOLDER
from ivadomed.evaluation.postprocessing_choice import PostprocessingChoice, PostprocessingSearch
from ivadomed.images.files import write_csv
from ivadomed.images.label_suffix import class_labels
from ivadomed.inference.backends import open_model
from ivadomed.inference.ensemble import join_models
from ivadomed.inference.label_map import LabelMaps
from ivadomed.inference.outputs import PREDICTIONS
from ivadomed.inference.packaged import PackagedModel
from ivadomed.inference.prediction import Prediction
from ivadomed.inference.testing import Truth, predict_labelled, write_predictions
from ivadomed.jobs import Workers, values
from ivadomed.loader.bids.faults import summary
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.build import index_data, list_cases
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.grouping import CaseList
from ivadomed.metrics import MetricManager, get_metric_fns
from ivadomed.registry.types import DatasetType
from ivadomed.runtime.device import define_device
from ivadomed.runtime.terminal import hidden_bar, say, shell_word
from ivadomed.runtime.working import working

log = logging.getLogger(__name__)

_AGAIN = "run --test again"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Validation cases of a fold, and the run that was not trained on them.

    Args:
        config: Configuration of the fold's run.
        cases: Cases with their labels.
    """

    config: RunConfig
    cases: tuple[Case, ...]

    @property
    def name(self) -> str:
        """Name of the fold, "fold_0"."""
        return Path(self.config.path_output).name

    def predictions(self) -> Iterator[tuple[Prediction, Truth | None]]:
        """Soft prediction and ground truth of each case, computed on the GPU of this process."""
        own = with_own_share(self.config.to_json())
        model = PackagedModel.open(own.model_folder, define_device(own.gpu_ids)[1])
        soft_gt = own.loader_parameters.soft_gt
        with screen_of_worker():
            yield from _bar(
                predict_labelled(model.predict, self.cases, model.slice_axis, soft_gt),
                self.name,
                len(self.cases),
            )


def package_ensemble(config: RunConfig, folder: Path, workers: Workers) -> Path | None:
    """Combine the models of all folds into the packaged model of the run, unless already done.

    Args:
        config: Configuration of the cross-validation.
        folder: Its folder.
        workers: Processes that predict the held-out cases, on which the postprocessing is chosen.

    Returns:
        Its folder; None for classifiers, which are not combined.

    Raises:
        ModelError: A fold is not trained.
    """
    runs = trained_folds(config, folder)
    if config.task == "classification":
        say("Done", f"{len(runs)} models in {folder}; classifiers are not combined into an ensemble")
    else:
        if not is_packaged(config, folder, len(runs)):
            steps = _chosen_steps(config, folder, runs, workers)
            members = [run.model_folder for run in runs]
            with working("Combining the models"):
                join_models(members, config.model_folder, postprocessing=steps, overwrite=True)
        say("Done", f"the ensemble of {len(runs)} models is {config.model_folder}")
    say("Next", f"ivadomed --test -c {shell_word(folder / CONFIG)}")
    return None if config.task == "classification" else config.model_folder


def _chosen_steps(
    config: RunConfig, folder: Path, runs: Sequence[RunConfig], workers: Workers
) -> dict[str, Any] | None:
    """Best postprocessing for the held-out predictions; None (keep the configured one) for heat maps."""
    if config.task != "segmentation":
        return None
    parts = held_out(config, folder, runs, index_data(config, folder))
    return choose_postprocessing(parts, workers, folder / FOLDER).steps


def choose_postprocessing(parts: Sequence[HeldOut], workers: Workers, folder: Path) -> PostprocessingChoice:
    """Choose the postprocessing on held-out cases, write all trials to a folder, and report the choice."""
    found = dict(values(search_postprocessing, parts, workers))
    first, *others = (found[number] for number in range(len(parts)))
    for other in others:
        first.merge(other)
    choice = first.choose()
    say("Postprocessing", f"{choice.text()}\nall that was tried: {choice.write(folder)}")
    log.info("Postprocessing: %s", choice.steps)
    return choice


def search_postprocessing(part: HeldOut) -> PostprocessingSearch:
    """Evaluate postprocessing on the held-out cases of a fold."""
    config = part.config
    search = PostprocessingSearch(
        class_labels(config.class_names), config.postprocessing.arguments, config.evaluation_parameters
    )
    for prediction, truth in part.predictions():
        assert truth is not None
        target, counted = truth.on_grid(prediction.grid)
        zooms = nib.affines.voxel_sizes(prediction.grid.affine)
        subject = prediction.case.subject or prediction.case.id
        search.add(prediction.soft, np.moveaxis(target, 0, -1), counted, list(zooms), subject)
    return search


def held_out(
    config: RunConfig, folder: Path, runs: Sequence[RunConfig], bids_df: BidsDataframe
) -> list[HeldOut]:
    """Validation cases of each of these folds.

    Args:
        config: Configuration of the cross-validation.
        folder: Its folder.
        runs: Configurations of the folds.
        bids_df: The data set.

    Raises:
        DataError: No validation case of a fold is in the data set.
    """
    parts = []
    splits = saved_splits(folder)
    for run in runs:
        names = [name for name in splits[int(run.split_dataset.fold)]["valid"] if name in bids_df.images]
        found = side_cases(run, bids_df, names, "validation", Path(run.path_output))
        if not found.cases:
            raise DataError(
                f"{run.path_output}: the data set has no validation image of this fold; give its --path-data"
            )
        parts.append(HeldOut(run, found.cases))
    return parts


def side_cases(
    config: RunConfig, bids_df: BidsDataframe, names: Sequence[str], dataset_type: DatasetType, folder: Path
) -> CaseList:
    """Cases of these files, with bounding boxes in a cascade, and the files left out."""
    found = list_cases(config, bids_df, names, dataset_type)
    device = define_device(config.gpu_ids)[1]
    boxed = add_boxes(found.cases, config.object_detection_params, folder, config.slice_axis_index, device)
    return CaseList(boxed, found.dropped)


def test_folds(
    config: RunConfig,
    folder: Path,
    workers: Workers,
    folds: Sequence[int] | None,
    label_map: bool,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predict the training set by the models not trained on it and the test set by the ensemble; evaluate both.

    Args:
        config: Configuration of the cross-validation.
        folder: Its folder.
        workers: Processes that predict one fold each, and evaluate.
        folds: Folds whose held-out cases alone are predicted; None: all folds and the test set.
        label_map: Write label maps where classes do not overlap.

    Returns:
        Table of 3D metrics, and the metrics averaged over images: for the test set, or for the cross-validation if
        there is no test set or ``folds`` is given.

    Raises:
        ModelError: A fold is not trained, or the ensemble is not packaged.
        DataError: See ``--test``.
    """
    runs = trained_folds(config, folder, folds)
    bids_df = index_data(config, folder)
    if config.task == "classification":
        return _test_classifiers(config, folder, held_out(config, folder, runs, bids_df))
    if folds is None and not is_packaged(config, folder, len(runs)):
        raise ModelError(f"{config.model_folder}: is not the ensemble of the folds yet; run --train first")
    config = as_ensemble(config) if folds is None else config
    maps = LabelMaps.of(config, label_map)
    cross_validated = _test_held_out(config, folder, held_out(config, folder, runs, bids_df), workers, maps)
    found = None if folds is not None else _test_cases(config, folder, bids_df)
    if found is None:
        return cross_validated
    trainings = [Path(run.path_output) for run in runs]
    return _test_ensemble(config, folder, found.cases, workers, trainings, maps)


@dataclass(frozen=True, eq=False)
class _PredictHeldOut:
    """Predicts the held-out cases of a fold into a folder, in the process that calls it."""

    folder: Path
    postprocessing: dict[str, Any]
    label_maps: LabelMaps

    def __call__(self, part: HeldOut) -> dict[str, list[float]]:
        """Values of each metric."""
        fns = get_metric_fns(part.config.task)
        predictions = part.predictions()
        return write_predictions(
            predictions, self.folder, fns, self.postprocessing, self.label_maps
        ).result_dict


def _test_held_out(
    config: RunConfig, folder: Path, parts: Sequence[HeldOut], workers: Workers, label_maps: LabelMaps
) -> tuple[pd.DataFrame, dict[str, float]]:
    cases = [case for part in parts for case in part.cases]
    show_cases(cases, "Models", Path(config.path_output) / f"{parts[0].name} ... {parts[-1].name}")
    place = folder / FOLDER / PREDICTIONS
    predict = _PredictHeldOut(place, config.postprocessing.arguments, label_maps)
    found = dict(values(predict, parts, workers))
    metrics = MetricManager(get_metric_fns(config.task))
    metrics.merge(found[number] for number in range(len(parts)))
    trainings = [Path(part.config.path_output) for part in parts]
    table = evaluate_cases(config, cases, folder / FOLDER, _others(workers), trainings)
    return table, metrics.get_results()


def _test_ensemble(
    config: RunConfig,
    folder: Path,
    cases: Sequence[Case],
    workers: Workers,
    trainings: Sequence[Path],
    label_maps: LabelMaps,
) -> tuple[pd.DataFrame, dict[str, float]]:
    model = PackagedModel.open(config.model_folder, define_device(config.gpu_ids)[1])
    show_cases(cases, "Model", config.model_folder)
    labelled = predict_labelled(model.predict, cases, model.slice_axis, config.loader_parameters.soft_gt)
    metrics = write_predictions(
        _bar(labelled, "Inference", len(cases)),
        folder / PREDICTIONS,
        get_metric_fns(config.task),
        config.postprocessing.arguments,
        label_maps,
    )
    table = evaluate_cases(config, cases, folder, _others(workers), trainings)
    show_next(folder, config.model_folder, class_labels(config.class_names), table)
    return table, metrics.get_results()


def _test_cases(config: RunConfig, folder: Path, bids_df: BidsDataframe) -> CaseList | None:
    """The test set; None, with a message, if it is empty or has no labels."""
    names = [name for name in saved_splits(folder)[0]["test"] if name in bids_df.images]
    found = side_cases(config, bids_df, names, "testing", folder)
    show_left_out([*bids_df.dropped, *found.dropped], folder / config.log_file)
    if found.cases:
        return found
    why = f" ({len(names)} images are left out: {summary(found.dropped)})" if names else ""
    say("Test set", f"none{why}; only the cross-validation is available")
    return None


def _test_classifiers(
    config: RunConfig, folder: Path, parts: Sequence[HeldOut]
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Classify the held-out slices of each fold; the test set is left to the models of single folds."""
    tables = []
    for part in parts:
        own = with_own_share(part.config.to_json())
        device, precision = define_device(own.gpu_ids)[1], own.training_parameters.precision
        forward = open_model(Path(own.path_output) / BEST, device, precision)
        tables.append(classify_cases(own, part.cases, folder / FOLDER / part.name, forward)[0])
    table = pd.concat(tables, ignore_index=True)
    write_csv(folder / FOLDER / SLICES, table, index=False)
    one = Path(parts[0].config.path_output) / CONFIG
    say(
        "Test set",
        f"not classified, as classifiers are not combined; to test one: ivadomed --test -c {shell_word(one)}",
    )
    evaluation = evaluate_classifier(config, table, folder / FOLDER)
    return evaluation, {}


def evaluate_folds(config: RunConfig, folder: Path, workers: Workers) -> pd.DataFrame:
    """Evaluate the existing predictions of the training set and of the test set.

    Returns:
        Table of 3D metrics, see `test_folds`.

    Raises:
        DataError: There are no predictions, or the models are newer.
    """
    if config.task == "classification":
        return evaluate_classifier(config, read_slices(folder / FOLDER), folder / FOLDER)
    places = [place for place in (folder / FOLDER, folder) if (place / PREDICTIONS).is_dir()]
    if not places:
        raise DataError(
            f"{folder}: no predictions, neither of the folds nor of the test set; run --test first"
        )
    for place in places:
        refuse_outdated(place, "*_pred.*", _AGAIN, config.model_folder / f"{config.model_folder.name}.json")
    bids_df = index_data(config, folder)
    runs = trained_folds(config, folder)
    tables = []
    for place in places:
        if place == folder:
            found = _test_cases(config, folder, bids_df)
            cases = [] if found is None else [*found.cases]
        else:
            cases = [case for part in held_out(config, folder, runs, bids_df) for case in part.cases]
        if cases:
            show_cases(cases, "Masks", place / PREDICTIONS)
            trainings = [Path(run.path_output) for run in runs]
            tables.append(evaluate_cases(config, cases, place, _others(workers), trainings))
    return tables[-1]


def as_ensemble(config: RunConfig) -> RunConfig:
    """Configuration with the postprocessing that was chosen for the packaged ensemble.

    Raises:
        ConfigError: The models are classifiers, which are not combined.
    """
    if config.task == "classification":
        raise ConfigError(
            'split_dataset.fold: "all", but classifiers are not combined into an ensemble; use that of a fold by its '
            "fold_0/config_file.json"
        )
    file = config.model_folder / f"{config.model_folder.name}.json"
    if not file.is_file():
        return config
    return RunConfig.model_validate({**config.to_json(), "postprocessing": read_json(file)["postprocessing"]})


def _others(workers: Workers) -> Workers | None:
    """Workers for evaluation, if any: those for prediction, unless their number is limited by the GPUs."""
    return None if workers.here or workers.gpus else workers


def _bar(
    labelled: Iterator[tuple[Prediction, Truth | None]], title: str, total: int
) -> Iterator[tuple[Prediction, Truth | None]]:
    yield from tqdm(labelled, desc=title, total=total, unit="case", leave=False, disable=hidden_bar())
