"""Plan of a sweep: its members, each a training, optionally with a test, with its own configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ivadomed.commands.train import FREE_TO_CHANGE
from ivadomed.config import RunConfig, load_config
from ivadomed.config.schema.loader import ALL_FOLDS
from ivadomed.errors import ConfigError
from ivadomed.jobs import Workers, content_id
from ivadomed.jobs.choose import choose_workers
from ivadomed.sweep.hyperparameters import HyperparameterOption


@dataclass(frozen=True)
class SweepOptions:
    """User options of a sweep.

    Args:
        config: Complete configuration shared by all members; their folders are named after its "path_output".
        options: Values to compare.
        all_combin: See ``make_config_list``.
        multi_params: See ``make_config_list``.
        fixed_split: Draw the split once; otherwise its seed increases by 1 per iteration, like that of training.
        n_iterations: Runs of each configuration.
        all_logs: Keep the folders of all iterations, not only of the first.
        run_test: Test every trained model.
        thr_increment: Search the best threshold after each training, in these steps.
        output_dir: Folder for tables and figures; None: the configuration's ``path_output``.
        plot_comparison: Also plot the test results.
        jobs: Processes; None: one per GPU, one on a CPU.
        cluster: Address or scheduler file of a Dask cluster to use instead.
    """

    config: Mapping[str, Any]
    options: Sequence[HyperparameterOption] = field(default=())
    all_combin: bool = False
    multi_params: bool = False
    fixed_split: bool = False
    n_iterations: int = 1
    all_logs: bool = False
    run_test: bool = False
    thr_increment: float | None = None
    output_dir: str | os.PathLike[str] | None = None
    plot_comparison: bool = False
    jobs: int | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        _refuse_folds(self.config["split_dataset"].get("fold"))

    @property
    def folder(self) -> Path:
        """Folder for tables and figures."""
        return Path(self.output_dir or self.config["path_output"])

    @property
    def workers(self) -> Workers:
        """Workers that run the members."""
        return choose_workers(self.jobs, self.cluster, self.config["gpu_ids"])


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Args:
        job: Id of its training, derived from the content of its configuration.
        name: Name shown to the user.
        config: Configuration of the run; ``path_output`` is its folder.
        path_output: Folder that identifies the configuration in tables, the same for all iterations.
        iteration: Number of the iteration, from 0.
        thr_increment: See ``run_command``.
        run_test: True to test the trained model.
        is_kept: True to keep the folder once its results are in the tables.
    """

    job: str
    name: str
    config: Mapping[str, Any]
    path_output: str
    iteration: int = 0
    thr_increment: float | None = None
    run_test: bool = False
    is_kept: bool = True

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.config["path_output"])

    @property
    def test_job(self) -> str:
        """Id of its test."""
        return content_id([self.job, "test", self.config.get("evaluation_parameters")])


def plan(configs: Sequence[Mapping[str, Any]], base: str, asked: SweepOptions) -> list[Member]:
    """Members of a sweep: all configurations, then all again with other seeds, and so on.

    The configurations of an iteration share the seeds of training and split.

    Args:
        configs: Configurations from ``make_config_list``.
        base: ``path_output`` after which their folders are named.
        asked: Options of the sweep.

    Raises:
        ConfigError: A configuration cannot be used; the problems of all are reported at once.
    """
    if asked.n_iterations < 1:
        raise ConfigError(f"--n-iterations: {asked.n_iterations}; expected 1 or more")
    members: dict[str, Member] = {}
    problems = []
    for iteration in range(asked.n_iterations):
        for config in configs:
            name = short_name(config["path_output"], base)
            name += f" (iteration {iteration})" * (asked.n_iterations > 1)
            changed = _reseeded(config, iteration, asked.fixed_split)
            changed["path_output"] += f"_n={iteration:02d}" if asked.all_logs or iteration else ""
            try:
                job = training_id(of_one_model(changed), asked.thr_increment)
            except ConfigError as error:
                problems.append(f"{name}: {error}")
                continue
            is_kept = asked.all_logs or iteration == 0
            member = Member(
                job,
                name,
                changed,
                config["path_output"],
                iteration,
                asked.thr_increment,
                asked.run_test,
                is_kept,
            )
            members.setdefault(job, member)
    if problems:
        raise ConfigError("\n".join(problems))
    return list(members.values())


def of_one_model(config: Mapping[str, Any]) -> RunConfig:
    """Validated configuration of a member.

    Raises:
        ConfigError: It cannot be used, or trains several models.
    """
    _refuse_folds(config["split_dataset"].get("fold"))
    return load_config({**config, "command": "train"})


def training_id(config: RunConfig, thr_increment: float | None) -> str:
    """Id of a training: depends on everything that determines its results, not on location or speed."""
    length = config.training_parameters.training_time
    minutes = {} if length.max_minutes is None else {"minutes": length.max_minutes}
    return content_id(
        {
            "config": config.relevant(FREE_TO_CHANGE),
            "data": [str(Path(path).resolve()) for path in config.loader_parameters.path_data],
            "epochs": length.num_epochs,
            "thr_increment": thr_increment,
            **minutes,
        }
    )


def _refuse_folds(fold: Any) -> None:
    if fold == ALL_FOLDS:
        raise ConfigError(
            'split_dataset.fold: "all" trains a model per fold, and a run of a sweep trains one; compare with one '
            "split or fold 0, then train all folds of the best"
        )


def short_name(path_output: str, base: str) -> str:
    """Part of a configuration's folder name that was added by its options."""
    return path_output.removeprefix(base).removeprefix("-") or Path(path_output).name


def _reseeded(config: Mapping[str, Any], iteration: int, fixed_split: bool) -> dict[str, Any]:
    training, split = config["training_parameters"], config["split_dataset"]
    seeds = {"training_parameters": {**training, "seed": training["seed"] + iteration}}
    if not fixed_split:
        seeds["split_dataset"] = {**split, "random_seed": split["random_seed"] + iteration}
    return {**config, **seeds}
