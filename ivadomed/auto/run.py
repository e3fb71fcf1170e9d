"""A run of ``--auto``: plan, candidates, winner, folds, ensemble, test, and what is told about them."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ivadomed.auto.folder import CANDIDATES, LOG, PLAN, candidate_file
from ivadomed.auto.plan import Plan, read_plan
from ivadomed.auto.planning import AutoOptions, make_plan, model_name
from ivadomed.auto.record import write_page
from ivadomed.commands.run import run_command
from ivadomed.config import RunConfig, load_config
from ivadomed.errors import Interrupted, IvadomedError
from ivadomed.images.files import atomic_folder, write_json
from ivadomed.jobs import ResultStore, content_id, once
from ivadomed.runtime.run_lock import run_lock
from ivadomed.runtime.terminal import log_handlers, say
from ivadomed.sweep.plan import training_id
from ivadomed.training.checkpoint import CHECKPOINT

log = logging.getLogger(__name__)

STEPS = "steps"
"""Folder that remembers which tests are done."""


def run_auto(options: AutoOptions, plan_only: bool = False, debug: bool = False) -> Path:
    """Go from a data set to a packaged model within a budget, or on from where an earlier call was stopped.

    Args:
        options: What is asked for.
        plan_only: Stop when plan and configurations are written.
        debug: Log details.

    Returns:
        Folder of the packaged model; with ``plan_only`` the plan.

    Raises:
        ConfigError: The folder holds the run of another data set or budget.
        IvadomedError: A step failed; the message says which.
        Interrupted: SIGINT or SIGTERM came; the same call continues.
    """
    folder = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder), _log_file(folder, debug):
        plan = read_plan(folder)
        if plan is None:
            plan = make_plan(options)
            plan.write(folder)
        else:
            plan.check(folder, options.path_data, options.hours, options.target_suffix, options.contrasts)
        tell(plan, folder)
        if plan_only:
            say(
                "Next",
                f"change {folder / CANDIDATES}/*.json or {folder / PLAN} if you like; ivadomed --auto {folder}",
            )
            return folder / PLAN
        try:
            return _Run(plan, options, debug).carry_out()
        except Interrupted as error:
            what = str(error).partition(";")[0]
            raise Interrupted(f"{what}; ivadomed --auto {folder} goes on", error.exit_code - 128) from error


@contextmanager
def _log_file(folder: Path, debug: bool) -> Iterator[None]:
    handler = logging.FileHandler(folder / LOG, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    with log_handlers([handler], logging.DEBUG if debug else logging.INFO):
        yield


def tell(plan: Plan, folder: Path) -> None:
    """Say how the time is divided, before it is spent."""
    for number, line in enumerate(plan.lines()):
        say("" if number else "Plan", line)
    end = time.strftime("%H:%M", time.localtime(time.time() + 60 * plan.minutes_to_train))
    say("", f"the last training ends at about {end}, if none is finished yet; {folder / PLAN} has the plan")


class _Run:
    """The steps of a run, each of which passes over what is done."""

    def __init__(self, plan: Plan, options: AutoOptions, debug: bool) -> None:
        self.plan, self.options, self.debug = plan, options, debug
        self.folder = options.folder
        self.store = ResultStore(self.folder / STEPS)
        self.configs = {name: self._configuration(name) for name in plan.candidates}

    def _configuration(self, name: str) -> RunConfig:
        """Configuration of a candidate, wherever the folder of the run lies now."""
        return load_config(candidate_file(self.folder, name), {"path_output": str(self.folder / name)})

    def carry_out(self) -> Path:
        """Do what the plan says; the folder of the packaged model."""
        winners = self.plan.candidates[:1]
        for name in winners:
            self._command("train", name)
        package = self._package(winners)
        for name in winners:
            config = self.configs[name]
            job = content_id(["test", training_id(config, None), config.to_json()["evaluation_parameters"]])
            once(self.store, job, f"test of {name}", partial(self._command, "test", name))
        say(
            "Done",
            f"{package} is the model, {write_page(self.folder, self.plan, winners, package)} tells what was done",
        )
        return package

    def _command(self, command: str, name: str) -> str:
        """Run a command under the configuration of a candidate; the line that does it by hand."""
        line = f"ivadomed --{command} -c {candidate_file(self.folder, name)}"
        say("Step", line)
        config = load_config(self.configs[name].to_json(), {"command": command})
        resume = command == "train" and (Path(config.path_output) / CHECKPOINT).is_file()
        with self._named(command, name):
            run_command(
                config,
                resume_training=resume,
                debug=self.debug,
                jobs=self.options.jobs,
                cluster=self.options.cluster,
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
                f"--{command} of {name}: {error}\nMend it (in {candidate_file(self.folder, name)} if it is a setting); "
                f"ivadomed --auto {self.folder} goes on"
            ) from error

    def _package(self, winners: Sequence[str]) -> Path:
        """The packaged model of the winner in the folder of the run, and a configuration that segments with it."""
        config = self.configs[winners[0]]
        name = model_name(self.folder)
        package = self.folder / name
        with atomic_folder(package, replace=True) as temporary:
            shutil.copytree(config.model_folder, temporary, dirs_exist_ok=True)
        write_json(
            self.folder / "config_file.json",
            config.to_json() | {"path_output": str(self.folder), "model_name": name},
        )
        return package
