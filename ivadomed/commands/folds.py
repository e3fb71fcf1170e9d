"""Cross-validation: ``--train`` of a configuration whose ``split_dataset.fold`` is "all".

Each fold is a complete run in ``path_output/fold_K``. Together they form the packaged ensemble of ``path_output``.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from filecmp import cmp
from glob import escape as glob_escape
from pathlib import Path
from typing import Any

from ivadomed.commands.records import MANIFEST, read_object, was_trained_on, write_manifest
from ivadomed.commands.screen import show_data, show_left_out
from ivadomed.commands.steps import changed
from ivadomed.commands.train import finished_training
from ivadomed.commands.worker import log_failure, screen_of_worker, with_own_share
from ivadomed.config import RunConfig
from ivadomed.config.run_files import BEST, CHECKPOINT, CONFIG
from ivadomed.detection.cascade import add_boxes
from ivadomed.errors import ConfigError, ModelError, RunsFailed
from ivadomed.geometry.boxes import BOXES_FILE
from ivadomed.images.files import write_json
from ivadomed.jobs import Workers, run_jobs
from ivadomed.loader.build import index_data, list_cases
from ivadomed.loader.folds import draw_folds, write_folds
from ivadomed.loader.split.file import SPLITS, count_splits, read_split
from ivadomed.runtime.device import define_device
from ivadomed.runtime.ranks import current_world
from ivadomed.runtime.terminal import duration, say, without
from ivadomed.training.checkpoint import changes
from ivadomed.training.loop import EpochEnd, TrainingResult
from ivadomed.training.outputs import can_go_on, refuse_to_overwrite, remove_training

log = logging.getLogger(__name__)

RunTraining = Callable[..., TrainingResult]
"""``commands.run.run_command`` for the configuration of one fold."""

Split = dict[str, list[str]]

_KNOWN = ("Data", "Left out", "Split", "Memory", "Done", "Next")
"""Screen lines that add nothing for a single fold."""

_ADVICE = "finished folds are kept; the same command continues with the rest"


def fold_folder(folder: Path, fold: int) -> Path:
    """Folder of the run of a fold."""
    return folder / f"fold_{fold}"


def of_fold(config: RunConfig, fold: int) -> RunConfig:
    """Configuration for the run of one fold, which can be trained and tested on its own.

    Args:
        config: Configuration of the cross-validation, with absolute paths.
        fold: Number of the fold.
    """
    folder = Path(config.path_output)
    values: dict[str, Any] = {
        "path_output": str(fold_folder(folder, fold)),
        "split_dataset.fname_split": str(folder / SPLITS),
        "split_dataset.fold": fold,
    }
    if config.wandb is not None:
        values["wandb.run_name"] = f"{config.wandb.run_name or config.model_name}-fold_{fold}"
    return changed(config, values)


def saved_splits(folder: Path) -> list[Split]:
    """Splits with which the folds in a folder are trained.

    Raises:
        ModelError: There are none.
    """
    path = folder / SPLITS
    if not path.is_file():
        raise ModelError(f"{folder}: no folds are trained here yet; run --train first")
    return [read_split(path, fold) for fold in range(count_splits(path))]


def chosen_folds(splits: Sequence[Split], folds: Sequence[int] | None) -> list[int]:
    """Requested folds; None: all.

    Raises:
        ConfigError: One does not exist.
    """
    known = range(len(splits))
    if strange := sorted(set(folds or ()).difference(known)):
        raise ConfigError(f"folds: {strange[0]}; expected 0 to {len(splits) - 1}")
    return list(known) if folds is None else sorted(set(folds))


def refuse_for_folds(
    config: RunConfig, thr_increment: float | None = None, on_epoch: EpochEnd | None = None
) -> None:
    """Raise ConfigError for options incompatible with several models; see ``run_command`` for the arguments."""
    if on_epoch is not None:
        raise ConfigError('on_epoch: with split_dataset.fold "all" there are several trainings; leave it out')
    if (size := current_world().size) > 1:
        raise ConfigError(
            f'split_dataset.fold: "all" gives each fold its own GPU, but {size} processes were started to train '
            "together; start it without torchrun or srun, or train one fold by its fold_0/config_file.json"
        )
    if thr_increment is not None:
        raise ConfigError(
            '--thr-increment: with split_dataset.fold "all" the threshold is chosen on the predictions of all folds; '
            "leave it out"
        )
    if config.command == "test" and config.uncertainty.applied:
        raise ConfigError(
            f'uncertainty.n_it: {config.uncertainty.n_it} with split_dataset.fold "all", but Monte Carlo samples are '
            "of one model; set it to 0, or test a fold by its fold_0/config_file.json"
        )


def train_folds(
    config: RunConfig,
    folder: Path,
    run: RunTraining,
    workers: Workers,
    overwrite: bool = False,
    n_gif: int = 0,
    folds: Sequence[int] | None = None,
) -> list[TrainingResult]:
    """Train all folds that are not trained yet, resuming interrupted ones.

    Args:
        config: Configuration of the cross-validation, with absolute paths.
        folder: Its folder.
        run: Function that trains a fold.
        workers: Processes that train, each one fold at a time.
        overwrite: Redraw the folds and train all of them again.
        n_gif: See ``run_command``.
        folds: Folds to train now; None: all.

    Returns:
        Losses of the best epoch of each of these folds.

    Raises:
        ConfigError: The folds in the folder were drawn differently, or a fold does not exist.
        OutputError: The folder holds another training.
        RunsFailed: Folds failed; the others are trained.
    """
    splits = prepare_folds(config, folder, overwrite)
    chosen = chosen_folds(splits, folds)
    training = _Training(run, n_gif, tell=workers.here)
    configs = [of_fold(config, fold) for fold in chosen]
    found: dict[int, TrainingResult] = {}
    failures = []
    for result in run_jobs(training, configs, workers, _ADVICE):
        fold = chosen[result.number]
        if not result.ok:
            place = fold_folder(folder, fold) / config.log_file
            failures.append(f"fold {fold}: {result.reason} (log: {place})")
            log.warning("Fold %d failed: %s", fold, result.reason)
            continue
        found[fold] = TrainingResult(*result.value["losses"])
        took = (
            f"trained in {duration(result.value['seconds'])}" if result.value["seconds"] else "trained before"
        )
        best = f"loss {found[fold].validation_loss:.4f}"
        if config.task == "segmentation":
            best = f"Dice {-found[fold].validation_dice:.4f}"
        say(f"Fold {fold}", f"{took}; best validation {best}")
    if failures:
        head = f"{len(failures)} of {len(chosen)} folds failed; the same command retries them:"
        raise RunsFailed("\n  ".join([head, *failures]))
    return [found[fold] for fold in chosen]


@dataclass(frozen=True)
class _Training:
    """Trains folds, in the process that calls it.

    Args:
        run: See `train_folds`.
        n_gif: See ``run_command``.
        tell: Show which fold it is.
    """

    run: RunTraining
    n_gif: int
    tell: bool

    def __call__(self, config: RunConfig) -> dict[str, Any]:
        """Losses of a fold, and its training time in seconds; None if it was trained before."""
        start, own = time.monotonic(), with_own_share(config.to_json())
        folder = Path(own.path_output)
        try:
            if (known := finished_training(own, n_gif=self.n_gif)) is not None:
                return {"losses": tuple(known), "seconds": None}
            resume = can_go_on(folder)
            if self.tell:
                say(f"Fold {own.split_dataset.fold}", f"in {folder}")
            with screen_of_worker(), without(_KNOWN):
                losses = self.run(own, resume_training=resume, n_gif=self.n_gif)
        except Exception as error:
            log_failure(folder / own.log_file, error)
            raise
        return {"losses": tuple(losses), "seconds": time.monotonic() - start}


def prepare_folds(config: RunConfig, folder: Path, overwrite: bool = False) -> list[Split]:
    """Splits of the folds: those of an earlier start, else new ones, written together with all shared files.

    Each fold gets its ``config_file.json``.

    Args:
        config: Configuration of the cross-validation, with absolute paths.
        folder: Its folder.
        overwrite: Remove the trainings of all folds and redraw them.

    Raises:
        ConfigError: The folds in the folder were drawn differently.
        OutputError: The folder holds another training.
    """
    begun = [path for path in _fold_folders(folder) if (path / CHECKPOINT).exists() or (path / BEST).exists()]
    if begun and not overwrite:
        _refuse_other_folds(config, folder, begun[0])
        return saved_splits(folder)
    if not overwrite:
        refuse_to_overwrite(folder, config.model_folder)
    bids_df = index_data(config, folder)
    splits = draw_folds(config, bids_df)
    show_data(config, bids_df)
    _show_folds(config, splits)
    show_left_out(bids_df.dropped, folder / config.log_file)
    if overwrite:
        remove_training(folder, config.model_folder)
        for path in _fold_folders(folder):
            remove_training(path, path / config.model_name)
    write_folds(folder, splits)
    write_manifest(config, folder, splits)
    boxes = _detect(config, folder, bids_df, splits)
    for fold in range(len(splits)):
        own = of_fold(config, fold)
        write_json(Path(own.path_output) / CONFIG, own.to_json(hide_secrets=True))
        if boxes is not None:
            shutil.copyfile(boxes, Path(own.path_output) / BOXES_FILE)
    return splits


def _fold_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("fold_*") if path.name.removeprefix("fold_").isdigit())


def _refuse_other_folds(config: RunConfig, folder: Path, begun: Path) -> None:
    """Raise ConfigError if the existing folds were drawn by rules other than those of the configuration."""
    known = read_object(folder / MANIFEST).get("config", {})
    if found := changes(_rules(known), json.loads(json.dumps(_rules(config.to_json())))):
        raise ConfigError(
            f"{begun}: is a fold that was drawn differently: {'; '.join(found)}. Revert the change, add --overwrite "
            "to train all folds again, or choose another --path-output"
        )
    if not was_trained_on(folder, config.loader_parameters.path_data):
        log.warning(
            "%s: its folds were drawn for another data set; continuing with the images of the same names in %s",
            folder,
            ", ".join(config.loader_parameters.path_data),
        )


def _rules(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that determine how folds are drawn."""
    split, loader = config.get("split_dataset") or {}, config.get("loader_parameters") or {}
    # The fractions of training and validation have no effect.
    rules = {key: value for key, value in split.items() if key not in ("fold", "train_fraction")}
    return {
        "split_dataset": rules,
        "loader_parameters": {"subject_selection": loader.get("subject_selection")},
    }


def _show_folds(config: RunConfig, splits: Sequence[Split]) -> None:
    """Show the number of images per fold and in the test set."""
    sizes = [len(split["valid"]) for split in splits]
    text = str(sizes[0]) if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
    say(
        "Split",
        f"{len(splits)} folds, each validates on {text} of {sum(sizes)} images; {len(splits[0]['test'])} images to "
        f"test the ensemble; by {config.split_dataset.split_method}",
    )


def _detect(config: RunConfig, folder: Path, bids_df: Any, splits: Sequence[Split]) -> Path | None:
    """Detect the bounding boxes of a cascade once for all folds; return their file, or None without a cascade."""
    if config.object_detection_params.object_detection_path is None:
        return None
    names = [name for split in splits for name in split["valid"]]
    cases = list_cases(config, bids_df, names, "training").cases
    device = define_device(config.gpu_ids)[1]
    add_boxes(cases, config.object_detection_params, folder, config.slice_axis_index, device)
    return folder / BOXES_FILE


def is_packaged(config: RunConfig, folder: Path, n_folds: int) -> bool:
    """True if the packaged ensemble has the models of all folds."""
    package = config.model_folder
    weights = [file for fold in range(n_folds) for file in _weights(fold_folder(folder, fold), package.name)]
    return (package / f"{package.name}.json").is_file() and all(
        file.is_file() and member.is_file() and cmp(file, member, shallow=False)
        for file, member in ((file, package / f"{package.name}_{k}.pt") for k, file in enumerate(weights))
    )


def _weights(folder: Path, name: str) -> list[Path]:
    """Weight files of a fold: of the model trained there, or of the members of its ensemble."""
    joined = sorted((folder / name).glob(f"{glob_escape(name)}_*.pt"))
    return joined or [folder / BEST]


def trained_folds(config: RunConfig, folder: Path, folds: Sequence[int] | None = None) -> list[RunConfig]:
    """Configurations of the trained and packaged folds.

    Args:
        config: Configuration of the cross-validation.
        folder: Its folder.
        folds: Requested folds; None: all.

    Raises:
        ConfigError: A fold does not exist.
        ModelError: A fold is not trained or packaged.
    """
    runs = [of_fold(config, fold) for fold in chosen_folds(saved_splits(folder), folds)]
    for own in runs:
        if not (own.model_folder / f"{own.model_folder.name}.json").is_file():
            raise ModelError(
                f"{own.model_folder}: no model of fold {own.split_dataset.fold} yet; run --train first"
            )
    return runs
