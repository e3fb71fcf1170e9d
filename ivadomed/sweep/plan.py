"""The plan of a sweep: its members, each a training, and perhaps a test, under a configuration of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivadomed.commands.train import FREE_TO_CHANGE
from ivadomed.config import RunConfig, load_config
from ivadomed.errors import ConfigError
from ivadomed.jobs import content_id
from ivadomed.sweep.hyperparameters import HyperparameterOption, value_at


@dataclass(frozen=True)
class Member:
    """One run of a sweep.

    Args:
        job: Id of its training, after the content of its configuration.
        name: For the user.
        config: Of the run; ``path_output`` is its folder.
        path_output: Folder that stands for the configuration in the tables, the same for all its iterations.
        iteration: From 0.
        thr_increment: See ``run_command``.
        run_test: Whether the trained model is tested.
        is_kept: Whether the folder stays when its results are in the tables.
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
        """Where the run lies."""
        return Path(self.config["path_output"])

    @property
    def test_job(self) -> str:
        """Id of its test."""
        return content_id([self.job, "test", self.config.get("evaluation_parameters")])


def plan(
    configs: Sequence[Mapping[str, Any]],
    base: str,
    n_iterations: int,
    fixed_split: bool,
    all_logs: bool,
    thr_increment: float | None,
    run_test: bool,
) -> list[Member]:
    """The members of a sweep: all configurations, then all once more with other seeds, and so on.

    Args:
        configs: Of ``make_config_list``.
        base: ``path_output`` that their folders are named after.
        n_iterations: How often each is run. The seed of the training grows by one each time, and that of the split
            unless it is fixed, so that the configurations of an iteration share both.
        fixed_split: Whether the split stays the same.
        all_logs: Keep the folders of all iterations, not just of the first.
        thr_increment: See ``run_command``.
        run_test: Whether the trained models are tested.

    Raises:
        ConfigError: A configuration cannot be used; all problems of all of them at once.
    """
    if n_iterations < 1:
        raise ConfigError(f"--n-iterations: {n_iterations}; expected 1 or more")
    members, problems = [], []
    for iteration in range(n_iterations):
        for config in configs:
            name = _short(config["path_output"], base) + f" (iteration {iteration})" * (n_iterations > 1)
            suffix = f"_n={iteration:02d}" if all_logs or iteration else ""
            changed = _reseeded(config, iteration, fixed_split)
            changed["path_output"] += suffix
            try:
                parsed = load_config({**changed, "command": "train"})
            except ConfigError as error:
                problems.append(f"{name}: {error}")
                continue
            members.append(
                Member(
                    training_id(parsed, thr_increment),
                    name,
                    changed,
                    config["path_output"],
                    iteration,
                    thr_increment,
                    run_test,
                    is_kept=all_logs or iteration == 0,
                )
            )
    if problems:
        raise ConfigError("\n".join(problems))
    return list({member.job: member for member in reversed(members)}.values())[::-1]  # each once


def training_id(config: RunConfig, thr_increment: float | None) -> str:
    """Id of a training: what decides about its results, not where they lie or how fast they come."""
    return content_id(
        {
            "config": config.relevant(FREE_TO_CHANGE),
            "data": [str(Path(path).resolve()) for path in config.loader_parameters.path_data],
            "epochs": config.training_parameters.training_time.num_epochs,
            "thr_increment": thr_increment,
        }
    )


def options_of(member: Member, options: Iterable[HyperparameterOption]) -> dict[str, Any]:
    """Values of the compared hyperparameters, by dotted path."""
    paths = dict.fromkeys(option.path for option in options)
    return {".".join(path): value_at(member.config, path) for path in paths}


def _short(path_output: str, base: str) -> str:
    """What the options of a configuration added to the name of its folder."""
    return path_output.removeprefix(base).removeprefix("-") or Path(path_output).name


def _reseeded(config: Mapping[str, Any], iteration: int, fixed_split: bool) -> dict[str, Any]:
    training, split = config["training_parameters"], config["split_dataset"]
    seeds = {"training_parameters": {**training, "seed": training["seed"] + iteration}}
    if not fixed_split:
        seeds["split_dataset"] = {**split, "random_seed": split["random_seed"] + iteration}
    return {**config, **seeds}
