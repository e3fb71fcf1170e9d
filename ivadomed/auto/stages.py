"""The stages of a run: candidates on fold 0, the winner, its other folds, the ensemble, the test. Each is done once."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.auto.choice import Verdict, choose, subject_scores
from ivadomed.auto.folder import candidate_file
from ivadomed.auto.plan import Plan
from ivadomed.auto.planning import AutoOptions
from ivadomed.auto.record import write_candidates, write_page
from ivadomed.commands.folds import fold_folder
from ivadomed.commands.run import run_command
from ivadomed.commands.train import finished_training
from ivadomed.config import RunConfig, load_config
from ivadomed.config.run_files import CHECKPOINT
from ivadomed.config.tree import merged, read_json
from ivadomed.errors import Interrupted, IvadomedError, RunsFailed
from ivadomed.images.files import atomic_folder, write_json
from ivadomed.jobs import ResultStore, content_id, once, run_jobs
from ivadomed.runtime.terminal import duration, say, without
from ivadomed.training import read_checkpoint

log = logging.getLogger(__name__)

STORE = "steps"
"""Folder that remembers what is done."""

_FIRST = 0
"""Fold on which candidates are compared."""


class Stages:
    """What a plan asks for, stage by stage.

    Args:
        plan: The plan.
        options: Of the run.
        debug: Log details.
    """

    def __init__(self, plan: Plan, options: AutoOptions, debug: bool) -> None:
        self.plan, self.options, self.debug = plan, options, debug
        self.folder = options.folder
        self.store = ResultStore(self.folder.resolve() / STORE)
        self.configs = {name: self._configuration(name) for name in plan.candidates}

    def _configuration(self, name: str) -> RunConfig:
        """Configuration of a candidate, whose file is brought in line with the plan, for the plan may be changed."""
        file = candidate_file(self.folder, name)
        content, planned = read_json(file), self.plan.settings(self.folder, name)
        if merged(content, planned) != content:
            write_json(file, merged(content, planned))
        return load_config(file, {"path_output": str((self.folder / name).resolve())})

    def carry_out(self) -> Path:
        """Do what is not done yet; the folder of the packaged model."""
        verdict = self._compete() if len(self.plan.candidates) > 1 else None
        winner = self.plan.candidates[0] if verdict is None else verdict.winner
        self._command("train", winner)
        package = self._package(winner)
        once(
            self.store, self._job("test", winner), f"test of {winner}", partial(self._command, "test", winner)
        )
        page = write_page(self.folder, self.plan, verdict, winner, package)
        say(
            "Done", f"the model is {package}; {page} tells what was done, how good it is, and what to do next"
        )
        return package

    def _job(self, what: str, name: str) -> str:
        """Id of a step, after what decides about its outcome."""
        config = self.configs[name]
        return content_id(
            {
                "step": what,
                "config": config.relevant(("command", "path_output", "loader_parameters.cache_dir")),
                "data": self.plan.path_data,
            }
        )

    def _compete(self) -> Verdict:
        """Train fold 0 of each candidate, and compare them on the subjects that it validates on."""
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
        advice = f"ivadomed --auto {self.folder} continues"
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
        scores = {name: pd.Series(found[name]["scores"], dtype=float) for name in names if name in found}
        verdict = choose(scores, self.plan.least_minutes, failures)
        table = write_candidates(
            self.folder, self.plan, verdict, scores, {n: v["epochs"] for n, v in found.items()}
        )
        say("Winner", f"{verdict.winner}\n{table.to_string(index=False)}")
        return verdict

    def _command(self, command: str, name: str) -> str:
        """Run a command under the configuration of a candidate; the line that does it by hand."""
        line = f"ivadomed --{command} -c {candidate_file(self.folder, name)}"
        say("Step", line)
        with self._named(command, name):
            run_step(
                self.configs[name], command, self.debug, jobs=self.options.jobs, cluster=self.options.cluster
            )
        return line

    @contextmanager
    def _named(self, command: str, name: str) -> Iterator[None]:
        """Context in which an error says which step it ended, and what to do."""
        try:
            yield
        except Interrupted:
            raise
        except IvadomedError as error:
            raise type(error)(
                f"--{command} of {name}: {error}\nFix it (in {candidate_file(self.folder, name)} if it is a setting); "
                f"ivadomed --auto {self.folder} continues"
            ) from error

    def _package(self, winner: str) -> Path:
        """The packaged model of the winner in the folder of the run, and a configuration that segments with it."""
        config = self.configs[winner]
        package = self.folder / self.folder.resolve().name
        with atomic_folder(package, replace=True) as temporary:
            shutil.copytree(config.model_folder, temporary, dirs_exist_ok=True)
        write_json(
            self.folder / "config_file.json",
            config.to_json() | {"command": "segment", "path_output": str(self.folder.resolve())},
        )
        return package


def run_step(config: RunConfig, command: str, debug: bool, **options: Any) -> Any:
    """Run a command; a training continues where it was stopped."""
    config = load_config(config.to_json(), {"command": command})
    if command == "train" and not config.split_dataset.is_cross_validation:
        begun = (Path(config.path_output) / CHECKPOINT).is_file()
        options["resume_training"] = begun and finished_training(config) is None
    with without(("Next",)):
        return run_command(config, debug=debug, **options)


@dataclass(frozen=True)
class _Entrant:
    """A candidate that is to be compared.

    Args:
        name: For the store.
        job: Id of its training and test on fold 0.
        config: Of all its folds.
    """

    name: str
    job: str
    config: RunConfig


@dataclass(frozen=True)
class _Compete:
    """Trains fold 0 of a candidate and scores it on the subjects that it did not see, in whatever process it is called.

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
        table, _ = run_step(config, "test", self.debug, folds=[_FIRST])
        folder = Path(config.path_output)
        scores = subject_scores(table, subjects_of(folder), self.lesions)
        epochs = read_checkpoint(fold_folder(folder, _FIRST) / CHECKPOINT)["epoch"]
        return {"scores": {str(k): v for k, v in scores.dropna().items()}, "epochs": epochs}


def subjects_of(folder: Path) -> dict[str, str]:
    """Subject of each image of a run, by the name of the image without its extension."""
    table = pd.read_csv(folder / "bids_dataframe.csv", usecols=["filename", "participant_id"], dtype=str)
    return {
        name.split(".")[0]: who for name, who in zip(table["filename"], table["participant_id"], strict=True)
    }
