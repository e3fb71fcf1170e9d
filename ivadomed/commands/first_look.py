"""Checks before torch is loaded: incompatible options and missing files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ivadomed.config import RunConfig
from ivadomed.config.run_files import BEST, CHECKPOINT
from ivadomed.config.schema.loader import ALL_FOLDS
from ivadomed.errors import ConfigError, ModelNotFoundError
from ivadomed.images.files import data_path
from ivadomed.registry import did_you_mean
from ivadomed.registry.outline import outlines
from ivadomed.runtime.memory import job_count
from ivadomed.runtime.ranks import current_world


@dataclass(frozen=True)
class RunOptions:
    """Options of a run in addition to its configuration; see ``commands.run.run_command``."""

    resume_training: bool = False
    overwrite: bool = False
    thr_increment: float | None = None
    n_gif: int = 0
    jobs: int | None = None
    cluster: str | None = None


def refuse_useless(config: RunConfig, options: RunOptions) -> None:
    """Raise for errors that are detectable without torch and without reading an image.

    Args:
        config: Configuration of the run; sections declared by a registry need not be parsed yet.
        options: Options in addition to the configuration.

    Raises:
        ConfigError: Options contradict each other or the command, a metric is unknown, or no data set is given.
        DataError: A data set is missing.
        ModelNotFoundError: There is no training to resume or to test.
    """
    refuse_without_data(config)
    refuse_options(config, options)
    _refuse_unknown_metrics(config)
    if options.resume_training:
        _refuse_absent_checkpoint(config)
    if config.command in ("test", "segment"):
        _refuse_untrained(config)
    if config.command == "train" and config.model_folder.is_dir():
        return  # Folds that are already trained need no data set.
    refuse_absent_data(config)


def refuse_absent_data(config: RunConfig) -> None:
    """Raise DataError for a missing data set."""
    for folder in config.loader_parameters.path_data:
        data_path(folder)


def refuse_without_data(config: RunConfig) -> None:
    """Raise ConfigError for a configuration that names no data set."""
    if not config.loader_parameters.path_data:
        raise ConfigError("loader_parameters.path_data: no data set given; add it or pass --path-data FOLDER")


def refuse_options(config: RunConfig, options: RunOptions) -> None:
    """Raise ConfigError for options that contradict each other or the command, or are out of range."""
    of_training = {
        "--resume-training": options.resume_training,
        "--overwrite": options.overwrite,
        "--gif": options.n_gif,
    }
    if config.command != "train":
        for option in (name for name, value in of_training.items() if value):
            raise ConfigError(f"{option} belongs to --train, not to --{config.command}")
        if (size := current_world().size) > 1:
            raise ConfigError(
                f"--{config.command} runs in one process, but {size} were started; start it without torchrun or srun"
            )
    elif options.n_gif < 0:
        raise ConfigError(f"--gif: {options.n_gif}; expected a number of validation samples, 0 or more")
    elif options.resume_training and options.overwrite:
        raise ConfigError("--resume-training and --overwrite contradict each other; pass one")
    _refuse_threshold(config, options.thr_increment)
    if options.cluster is not None and options.jobs is not None:
        raise ConfigError("--jobs and --cluster: pass one; a cluster has as many jobs as it has workers")
    if options.jobs is not None:
        job_count(options.jobs)


def _refuse_threshold(config: RunConfig, increment: float | None) -> None:
    if increment is None:
        return
    if config.command not in ("train", "test"):
        raise ConfigError(f"--thr-increment belongs to --train and --test, not to --{config.command}")
    if not 0 < increment < 1:
        raise ConfigError(f"--thr-increment: {increment:g}; expected a number between 0 and 1, e.g. 0.1")


def _refuse_unknown_metrics(config: RunConfig) -> None:
    known = [name for name, _ in outlines("ivadomed.metrics", "METRICS")]
    for name in config.evaluation_parameters.metrics if known else ():
        if name not in known and ":" not in name:
            raise ConfigError(
                f"evaluation_parameters.metrics: {name!r} is unknown; expected one of {', '.join(known)}, or "
                f"package.module:function{did_you_mean(name, known)}"
            )


def _refuse_absent_checkpoint(config: RunConfig) -> None:
    path = Path(config.path_output) / CHECKPOINT
    if config.split_dataset.fold != ALL_FOLDS and not path.is_file():
        raise ModelNotFoundError(f"{path}: no checkpoint to resume from; start without --resume-training")


def _refuse_untrained(config: RunConfig) -> None:
    folder = Path(config.path_output)
    if config.command == "segment":
        needed = config.model_folder
    else:
        needed = folder if config.split_dataset.fold == ALL_FOLDS else folder / BEST
    if not needed.exists():
        raise ModelNotFoundError(
            f"{needed}: no trained model; run --train first, or name the folder of its training with --path-output"
        )
