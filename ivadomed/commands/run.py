"""Single entry point of all commands: checks, the folder of the run, and the command named by the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from ivadomed.commands.cross_validation import (
    as_ensemble,
    evaluate_folds,
    package_ensemble,
    test_folds,
)
from ivadomed.commands.evaluate import eval_command
from ivadomed.commands.first_look import RunOptions, refuse_options, refuse_without_data
from ivadomed.commands.folds import refuse_for_folds, train_folds
from ivadomed.commands.records import run_folder
from ivadomed.commands.segment import segment_command
from ivadomed.commands.steps import with_contrasts
from ivadomed.commands.test import test_command
from ivadomed.commands.train import finished_training, train_command
from ivadomed.commands.worker import with_absolute_paths
from ivadomed.config import RunConfig
from ivadomed.config.run_files import CHECKPOINT
from ivadomed.errors import ConfigError
from ivadomed.jobs import Workers
from ivadomed.jobs.choose import choose_workers
from ivadomed.losses import LOSSES
from ivadomed.metrics import METRICS
from ivadomed.models.registry import check_arguments
from ivadomed.postprocessing import STEPS
from ivadomed.runtime.device import warn_of_absent_gpus
from ivadomed.runtime.failures import shortages_explained
from ivadomed.runtime.ranks import current_world
from ivadomed.runtime.terminal import say
from ivadomed.training.checkpoint import refuse_old_checkpoint
from ivadomed.training.loop import EpochEnd
from ivadomed.training.network import fewest_samples
from ivadomed.training.outputs import refuse_to_overwrite
from ivadomed.transforms import TRANSFORMS


def run_command(
    config: RunConfig,
    resume_training: bool = False,
    no_patch: bool = False,
    overlap_2d: Sequence[int] | None = None,
    thr_increment: float | None = None,
    debug: bool = False,
    overwrite: bool = False,
    n_gif: int = 0,
    jobs: int | None = None,
    cluster: str | None = None,
    on_epoch: EpochEnd | None = None,
    folds: Sequence[int] | None = None,
    label_map: bool = True,
) -> Any:
    """Run the configuration's command in its output folder.

    With ``split_dataset.fold`` "all", the command applies to all folds together, and "train" resumes where it was
    interrupted.

    Args:
        config: Configuration of the run.
        resume_training: "train": continue from the checkpoint.
        no_patch: "segment": whole slices instead of 2D patches.
        overlap_2d: "segment": overlap of neighboring 2D patches in voxels.
        thr_increment: "train" and "test": search the best threshold between 0 and 1 in these steps, and use it.
        debug: Log details.
        overwrite: "train": replace the training in the output folder.
        n_gif: "train": number of validation samples to animate over the epochs.
        jobs: Processes that preprocess ("train"), evaluate ("test", "eval") or predict ("segment"); None: this one.
        cluster: Address or scheduler file of a Dask cluster to use instead.
        on_epoch: "train": see ``training.train``; for a single run.
        folds: "train" and "test" with ``split_dataset.fold`` "all": folds to train, or whose held-out subjects to
            predict; None: all, followed by the ensemble and the test set.
        label_map: "test" and "segment": write label maps where classes do not overlap.

    Returns:
        See ``ivadomed.main.run_main``.
    """
    refuse_without_data(config)
    refuse_options(config, RunOptions(resume_training, overwrite, thr_increment, n_gif, jobs, cluster))
    if not label_map and config.command not in ("test", "segment"):
        raise ConfigError(f"--no-label-map belongs to --test and --segment, not to --{config.command}")
    if config.split_dataset.is_cross_validation and config.command != "segment":
        refuse_for_folds(config, thr_increment, on_epoch)
        _check_what_is_named(config)
        processes = choose_workers(jobs, cluster, config.gpu_ids)
        return _run_folds(config, debug, overwrite, n_gif, processes, folds, label_map)
    if folds is not None:
        raise ConfigError('folds: expected with --train or --test and split_dataset.fold "all" only')
    if config.command == "train" and not resume_training and not overwrite:
        if (results := finished_training(config, thr_increment, n_gif)) is not None:
            say("Done", f"already trained: {config.model_folder}; --overwrite trains it again")
            return results
        refuse_to_overwrite(Path(config.path_output), config.model_folder)
    if resume_training:
        refuse_old_checkpoint(Path(config.path_output) / CHECKPOINT)
    _check_what_is_named(config)
    workers = _workers(config, jobs, cluster)
    if cluster is not None:
        config = with_absolute_paths(config)
    with _in_folder(config, debug, cluster) as (config, folder):
        if config.command == "train":
            return train_command(
                config, folder, resume_training, thr_increment, overwrite, n_gif, workers, on_epoch
            )
        if config.command == "test":
            return test_command(config, folder, thr_increment, workers, label_map)
        if config.command == "eval":
            return eval_command(config, folder, workers)
        if config.split_dataset.is_cross_validation:
            config = as_ensemble(config)
        options = {"no_patch": no_patch, "overlap_2D": overlap_2d}
        return segment_command(config, folder, options, workers, label_map)


@contextmanager
def _in_folder(config: RunConfig, debug: bool, cluster: str | None) -> Iterator[tuple[RunConfig, Path]]:
    """Context of a command; yields the configuration with its contrasts, and the folder of the run."""
    with (
        run_folder(config, debug) as folder,
        shortages_explained(f"--{config.command}", _less_memory(config)),
    ):
        if cluster is None and config.command != "eval":
            warn_of_absent_gpus(config.gpu_ids)
        yield with_contrasts(config, folder), folder


def _run_folds(
    config: RunConfig,
    debug: bool,
    overwrite: bool,
    n_gif: int,
    workers: Workers,
    folds: Sequence[int] | None,
    label_map: bool,
) -> Any:
    """Train, test or evaluate all folds together; see ``run_command``."""
    with _in_folder(with_absolute_paths(config), debug, workers.cluster) as (config, folder):
        if config.command == "test":
            return test_folds(config, folder, workers, folds, label_map)
        if config.command == "eval":
            return evaluate_folds(config, folder, workers)
        run = partial(run_command, debug=debug)
        results = train_folds(config, folder, run, workers, overwrite, n_gif, folds)
        if folds is None:
            package_ensemble(config, folder, workers)
        return results


def _less_memory(config: RunConfig) -> str:
    """Remedy if a command runs out of memory and no particular file is the cause."""
    if config.command in ("segment", "eval"):
        return "use fewer --jobs, smaller images, or a machine with more memory"
    of_model = config.command != "train"
    keys = {k: v for k, v in config.memory_keys.items() if not (of_model and k.endswith("n_filters"))}
    return f"reduce one of {', '.join(f'{key} ({value})' for key, value in keys.items())}"


def _workers(config: RunConfig, jobs: int | None, cluster: str | None) -> Workers | None:
    """Requested worker processes; those for prediction need GPUs."""
    if jobs is None and cluster is None:
        return None
    if current_world().size > 1:
        raise ConfigError("--jobs and --cluster: leave them out of a training by several processes")
    return choose_workers(jobs, cluster, config.gpu_ids if config.command == "segment" else ())


def _check_what_is_named(config: RunConfig) -> None:
    """Import the user's own code, and compare arguments with signatures, before anything is written.

    Model files may name a user's own class only if this configuration does.
    """
    if config.command != "eval":
        check_arguments(config.architecture.name, config.architecture.arguments)
    if config.command == "train":
        loss = config.training_parameters.loss
        LOSSES.check(loss.name, loss.arguments)
        if (
            config.sample_size is not None and config.metadata_type is None
        ):  # otherwise known only in training
            fewest_samples(config.architecture, config.sample_size, config.training_parameters.batch_size)
    for name, transform in config.transformation.chain.items():
        TRANSFORMS.check(name, transform.arguments.keys() - {"applied_to"})
    for name, arguments in config.postprocessing.arguments.items():
        STEPS.check(name, arguments)
    for name in config.evaluation_parameters.metrics:
        METRICS.find(name)
