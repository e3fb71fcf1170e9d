"""Stages of a run, each done once: candidates on fold 0, the winner's other folds, the ensemble, the test."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.auto.choice import Verdict, choose, runner_up, subject_scores, with_pair
from ivadomed.auto.folder import candidate_file
from ivadomed.auto.pair import have_one_split, join_folds, pair_config, pair_name
from ivadomed.auto.plan import Plan
from ivadomed.auto.planning import AutoOptions
from ivadomed.auto.record import write_candidates, write_page
from ivadomed.commands.cross_validation import package_ensemble
from ivadomed.commands.folds import fold_folder
from ivadomed.commands.records import run_folder
from ivadomed.commands.run import run_command
from ivadomed.commands.steps import with_contrasts
from ivadomed.commands.train import finished_training
from ivadomed.commands.worker import with_absolute_paths
from ivadomed.config import RunConfig, load_config
from ivadomed.config.run_files import CHECKPOINT, CONFIG
from ivadomed.config.tree import merged, read_json
from ivadomed.errors import ConfigError, Interrupted, IvadomedError, RunsFailed
from ivadomed.images.files import atomic_folder, write_json
from ivadomed.jobs import ResultStore, content_id, once, run_jobs
from ivadomed.runtime.terminal import duration, say, shell_word, without
from ivadomed.training import read_checkpoint
from ivadomed.training.outputs import can_go_on

log = logging.getLogger(__name__)

STORE = "steps"
"""Folder that records finished stages."""

_FIRST = 0
"""Fold on which candidates are compared."""


class Stages:
    """Execution of a plan, stage by stage.

    Args:
        plan: The plan.
        options: Options of the run.
        debug: Log details.
    """

    def __init__(self, plan: Plan, options: AutoOptions, debug: bool) -> None:
        self.plan, self.options, self.debug = plan, options, debug
        self.folder = options.folder
        self.store = ResultStore(self.folder.resolve() / STORE)
        self.configs = {name: self._configuration(name) for name in plan.candidates}
        self.pairs: dict[str, tuple[str, str]] = {}  # candidates of each evaluated pair

    def _configuration(self, name: str) -> RunConfig:
        """Configuration of a candidate, after updating its file with the plan, which users may change."""
        file = candidate_file(self.folder, name)
        content, planned = read_json(file), self.plan.settings(self.folder, name)
        if merged(content, planned) != content:
            write_json(file, merged(content, planned))
        return with_absolute_paths(load_config(file))

    def carry_out(self) -> Path:
        """Run all remaining stages; return the folder of the packaged model."""
        verdict = self._compete() if len(self.plan.candidates) > 1 else None
        winner = self.plan.candidates[0] if verdict is None else verdict.winner
        for name in self.pairs.get(winner, (winner,)):
            self._command("train", name)
        if winner in self.pairs:
            self._join(winner)
        package = self._package(winner)
        once(
            self.store, self._job("test", winner), f"test of {winner}", partial(self._command, "test", winner)
        )
        page = write_page(self.folder, self.plan, verdict, winner, package)
        say("Done", f"the model is {package}; {page} has the decisions, the results and the next commands")
        return package

    def _job(self, what: str, name: str) -> str:
        """Id of a step, derived from everything that determines its outcome."""
        configs = [
            self.configs[one].relevant(("command", "path_output", "loader_parameters.cache_dir"))
            for one in self.pairs.get(name, (name,))
        ]
        config = configs if name in self.pairs else configs[0]
        return content_id({"step": what, "config": config, "data": self.plan.path_data})

    def _compete(self) -> Verdict:
        """Compare the candidates on the validation subjects of fold 0."""
        found, failures = self._entered()
        scores = {name: pd.Series(value["scores"], dtype=float) for name, value in found.items()}
        verdict = choose(scores, self.plan.least_minutes, failures)
        if self.plan.pair and (other := runner_up(verdict)) is not None:
            verdict = self._try_pair(verdict, other, scores)
        table = write_candidates(
            self.folder, self.plan, verdict, scores, {n: v["epochs"] for n, v in found.items()}
        )
        say("Winner", f"{verdict.winner}\n{table.to_string(index=False)}")
        return verdict

    def _entered(self) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Train fold 0 of each candidate; return the results of `_Compete` and the reasons of failures, by name."""
        names = self.plan.candidates
        each = duration(60 * self.plan.minutes)
        say(
            "Compare",
            f"{', '.join(names)} on fold {_FIRST}, {each} each; logs: {self.folder}/*/fold_{_FIRST}/log",
        )
        entrants = [_Entrant(name, self._job("fold 0", name), self.configs[name]) for name in names]
        compete = _Compete(self.store, self.plan.lesions, self.debug)
        found: dict[str, dict[str, Any]] = {}
        failures: dict[str, str] = {}
        advice = f"ivadomed --auto {shell_word(self.folder)} continues"
        for result in run_jobs(compete, entrants, self.options.workers, advice):
            name = names[result.number]
            if result.ok:
                found[name] = result.value
                say("Score", f"{name}: {pd.Series(result.value['scores']).mean():.4f}")
            else:
                failures[name] = (
                    f"failed: {result.reason} (log: {fold_folder(self.folder / name, _FIRST) / 'log'})"
                )
                log.warning("%s %s", name, failures[name])
        if not found:
            raise RunsFailed(
                "\n".join(["no candidate could be trained:", *(f"{n} {why}" for n, why in failures.items())])
            )
        return {name: found[name] for name in names if name in found}, failures

    def _try_pair(self, verdict: Verdict, other: str, scores: dict[str, pd.Series]) -> Verdict:
        """Evaluate the winner and another candidate as a pair; its scores are added to ``scores``."""
        names = (verdict.winner, other)
        configs, name = [self.configs[one] for one in names], pair_name(names)
        if not have_one_split(configs):
            log.warning("%s are not tried together: their folds differ", name)
            return verdict
        self.pairs[name] = names
        self.configs[name] = pair = pair_config(configs[0], self.folder / name)

        def together() -> dict[str, float]:
            join_folds(pair, configs, [_FIRST])
            return held_out_scores(pair, self.plan.lesions, self.debug)

        try:
            found = once(self.store, self._job("fold 0", name), f"{name}, fold {_FIRST}", together)
        except ConfigError as error:  # a user's own candidate may differ in classes or channels
            log.warning("%s cannot be combined: %s", name, error)
            return verdict
        scores[name] = pd.Series(found, dtype=float)
        say("Score", f"{name}: {scores[name].mean():.4f}")
        return with_pair(verdict, name, scores[name], scores[verdict.winner])

    def _join(self, name: str) -> None:
        """Combine the models of a pair, for each fold and for all folds."""
        pair = self.configs[name]
        join = partial(
            join_folds, pair, [self.configs[one] for one in self.pairs[name]], range(self.plan.n_folds)
        )
        once(self.store, self._job("join", name), f"folds of {name}", join)
        with self._named("join", name), run_folder(pair, self.debug) as folder:
            package_ensemble(with_contrasts(pair, folder), folder, self.options.workers)

    def _file(self, name: str) -> Path:
        """Configuration of a candidate or a pair."""
        return self.folder / name / CONFIG if name in self.pairs else candidate_file(self.folder, name)

    def _command(self, command: str, name: str) -> str:
        """Run a command with the configuration of a candidate; return the equivalent command line."""
        line = f"ivadomed --{command} -c {shell_word(self._file(name))}"
        say("Step", line)
        with self._named(command, name):
            run_step(
                self.configs[name], command, self.debug, jobs=self.options.jobs, cluster=self.options.cluster
            )
        return line

    @contextmanager
    def _named(self, command: str, name: str) -> Iterator[None]:
        """Context that adds the failed step and a remedy to errors."""
        try:
            yield
        except Interrupted:
            raise
        except IvadomedError as error:
            raise type(error)(
                f"--{command} of {name}: {error}\nFix it (in {self._file(name)} if it is a setting); "
                f"ivadomed --auto {shell_word(self.folder)} continues"
            ) from error

    def _package(self, winner: str) -> Path:
        """Copy the winner's packaged model to the folder of the run, with a configuration for segmentation."""
        config = self.configs[winner]
        package = self.folder / self.folder.resolve().name
        with atomic_folder(package, replace=True) as temporary:
            shutil.copytree(config.model_folder, temporary, dirs_exist_ok=True)
        write_json(
            self.folder / CONFIG,
            config.to_json() | {"command": "segment", "path_output": str(self.folder.resolve())},
        )
        return package


def run_step(config: RunConfig, command: str, debug: bool, **options: Any) -> Any:
    """Run a command; an interrupted training is resumed."""
    config = load_config(config.to_json(), {"command": command})
    if command == "train" and not config.split_dataset.is_cross_validation:
        finished = finished_training(config) is not None
        options["resume_training"] = not finished and can_go_on(Path(config.path_output))
    with without(("Next",)):
        return run_command(config, debug=debug, **options)


@dataclass(frozen=True)
class _Entrant:
    """A candidate in a comparison.

    Args:
        name: Name in the store.
        job: Id of its training and test on fold 0.
        config: Configuration for all its folds.
    """

    name: str
    job: str
    config: RunConfig


@dataclass(frozen=True)
class _Compete:
    """Trains fold 0 of a candidate and scores it on the held-out subjects, in the process that calls it.

    Args:
        store: Results so far.
        lesions: See ``Plan``.
        debug: Log details.
    """

    store: ResultStore
    lesions: tuple[int, ...]
    debug: bool

    def __call__(self, entrant: _Entrant) -> dict[str, Any]:
        """Score of each subject, and the number of epochs; JSON-ready."""
        return once(
            self.store, entrant.job, f"{entrant.name}, fold {_FIRST}", partial(self._scores, entrant.config)
        )

    def _scores(self, config: RunConfig) -> dict[str, Any]:
        run_step(config, "train", self.debug, folds=[_FIRST])
        scores = held_out_scores(config, self.lesions, self.debug)
        checkpoint = fold_folder(Path(config.path_output), _FIRST) / CHECKPOINT
        return {"scores": scores, "epochs": read_checkpoint(checkpoint)["epoch"]}


def held_out_scores(config: RunConfig, lesions: Collection[int], debug: bool) -> dict[str, float]:
    """Score of each subject held out from the model of fold 0.

    Args:
        config: Configuration for all folds.
        lesions: See ``Plan``.
        debug: Log details.
    """
    table, _ = run_step(config, "test", debug, folds=[_FIRST])
    scores = subject_scores(table, subjects_of(Path(config.path_output)), lesions)
    return {str(subject): score for subject, score in scores.dropna().items()}


def subjects_of(folder: Path) -> dict[str, str]:
    """Subject of each image of a run, by image name without extension."""
    table = pd.read_csv(folder / "bids_dataframe.csv", usecols=["filename", "participant_id"], dtype=str)
    return {
        name.split(".")[0]: who for name, who in zip(table["filename"], table["participant_id"], strict=True)
    }
