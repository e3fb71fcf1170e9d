"""Search for the best hyperparameters with Optuna: values are sampled, and bad runs are pruned.

Akiba et al., "Optuna: A next-generation hyperparameter optimization framework", KDD 2019.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ivadomed.commands.worker import shared_config
from ivadomed.errors import ConfigError, Interrupted
from ivadomed.jobs import ResultStore, content_id, run_jobs
from ivadomed.report import read_curves
from ivadomed.runtime.run_lock import run_lock
from ivadomed.sweep.hyperparameters import (
    HyperparameterOption,
    folder_name,
    option_at,
    with_options,
)
from ivadomed.sweep.member import SCORES, Run, train_member
from ivadomed.sweep.plan import Member, SweepOptions, of_one_model, short_name, training_id
from ivadomed.sweep.results import DETAILED, write_tables
from ivadomed.sweep.run import JOBS, Progress, split_dataset

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial

log = logging.getLogger(__name__)

STUDY = "study.journal"

_NAME = "sweep"
_STARTUP, _WARMUP = 5, 3
"""Number of trials that are never pruned, and the epoch after which others may be."""


_RANGE = {"low", "high", "log", "step"}


@dataclass(frozen=True)
class Range:
    """Range of numbers to draw from; integers if both limits are.

    Args:
        low: Lower limit.
        high: Upper limit.
        log: Draw on a logarithmic scale.
        step: Spacing of the numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None


Space = Mapping[tuple[str, ...], tuple[Any, ...] | Range]
"""Values or range of each key."""


def get_space(parameters: Mapping[str, Any], superkeys: Sequence[str] = ()) -> dict[tuple[str, ...], Any]:
    """Search space of a parameter file: lists of values, and ranges ``{"low": 1e-4, "high": 1e-2, "log": true}``.

    Raises:
        ConfigError: A key has no values, range or section.
    """
    space: dict[tuple[str, ...], Any] = {}
    for key, value in parameters.items():
        path = (*superkeys, key)
        if isinstance(value, Mapping) and {"low", "high"} <= value.keys() <= _RANGE:
            space[path] = _range(".".join(path), value)
        elif isinstance(value, Mapping) and value:
            space |= get_space(value, path)
        elif isinstance(value, list) and value:
            space[path] = tuple(value)
        else:
            raise ConfigError(
                f'{".".join(path)}: {value!r}; expected a list of values or a range {{"low": ..., "high": ...}}'
            )
    return space


def _range(place: str, value: Mapping[str, Any]) -> Range:
    numbers = [value[key] for key in ("low", "high", "step") if value.get(key) is not None]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise ConfigError(f"{place}: {dict(value)}; low, high and step are numbers")
    found = Range(**value)
    if not found.low < found.high or (found.log and (found.low <= 0 or found.step is not None)):
        raise ConfigError(
            f'{place}: {dict(value)}; low must be less than high, and "log" needs low > 0 and no step'
        )
    return found


def suggest(trial: Trial, name: str, values: tuple[Any, ...] | Range) -> Any:
    """Value of a key in a trial.

    Args:
        trial: Trial that draws the value.
        name: Name of the key.
        values: Values or range to draw from.
    """
    if isinstance(values, Range):
        if isinstance(values.low, int) and isinstance(values.high, int):
            return trial.suggest_int(
                name, values.low, values.high, step=int(values.step or 1), log=values.log
            )
        return _rounded(trial.suggest_float(name, values.low, values.high, step=values.step, log=values.log))
    # Optuna stores choices as text, numbers and booleans; sections are passed as JSON.
    return json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in values]))


def _rounded(value: float) -> float:
    """A number rounded for readability, also in folder names."""
    return value if isinstance(value, int) else float(f"{value:.3g}")


def options_of_trial(trial: FrozenTrial, space: Space) -> list[HyperparameterOption]:
    """Options drawn in a finished trial."""
    values = {".".join(path): (path, choices) for path, choices in space.items()}
    return [
        option_at(
            values[name][0], _rounded(value) if isinstance(values[name][1], Range) else json.loads(value)
        )
        for name, value in trial.params.items()
    ]


class _Pruned(Exception):
    """The trial was pruned."""


@dataclass(frozen=True)
class Draw:
    """A trial of the study as a member of the sweep.

    Args:
        member: Run of the trial.
        trial: Id of the trial in the storage.
    """

    member: Member
    trial: int


@dataclass(frozen=True)
class SearchRun:
    """Runs trials and reports to the study, in the process that calls it.

    Args:
        store: Results so far.
        journal: File of the study.
    """

    store: ResultStore
    journal: Path

    def __call__(self, draw: Draw) -> dict[str, Any]:
        """Results of a trial, see ``member.Run``, and its "state": "complete" or "pruned"."""
        import optuna
        from optuna.trial import TrialState

        pruner = optuna.pruners.MedianPruner(n_startup_trials=_STARTUP, n_warmup_steps=_WARMUP)
        study = optuna.load_study(study_name=_NAME, storage=_storage(self.journal), pruner=pruner)
        trial = optuna.trial.Trial(study, draw.trial)
        try:
            results = Run(self.store, partial(_train, trial=trial))(draw.member)
        except (Interrupted, KeyboardInterrupt):
            raise  # the trial continues with the next call
        except Exception:
            study.tell(trial, state=TrialState.FAIL)
            raise
        if results["state"] == "pruned":
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, results["best_validation_loss"])
        return results


def _train(member: Member, trial: Trial) -> dict[str, Any]:
    losses = _report_earlier_epochs(member, trial)

    def on_epoch(epoch: int, loss: float) -> None:
        losses.append(loss)
        trial.report(loss, epoch)
        if trial.should_prune():
            log.info("This run is stopped after epoch %d: others were better at that point.", epoch)
            raise _Pruned

    try:
        return {**train_member(member, on_epoch), "state": "complete"}
    except _Pruned:
        nothing = dict.fromkeys(SCORES, math.nan)
        return {**nothing, "best_validation_loss": min(losses), "state": "pruned"}


def _report_earlier_epochs(member: Member, trial: Trial) -> list[float]:
    """Report the epochs of an interrupted attempt to the study."""
    points = next((c.points for c in read_curves(member.folder) if c.name == "val_loss"), ())
    for epoch, loss in points:
        trial.report(loss, epoch)
    return [loss for _, loss in points]


def run_search(asked: SweepOptions, space: Space, sampler: str, n_trials: int) -> pd.DataFrame:
    """Run trials until the study has ``n_trials``.

    Args:
        asked: Options of the sweep; its ``options`` are ignored.
        space: Search space.
        sampler: Name from ``SAMPLERS``.
        n_trials: Number of finished trials, including those of earlier calls.

    Returns:
        Table of ``detailed_results.csv``; "state" indicates which trials were pruned.

    Raises:
        ConfigError: Optuna is not installed, or options or the space cannot be used.
        RunsFailed: Trials failed.
        Interrupted: SIGINT or SIGTERM was received; the same call continues.
    """
    if asked.n_iterations != 1:
        raise ConfigError("--n-iterations: a search runs each configuration once")
    if n_trials < 1:
        raise ConfigError(f"--n-trials: {n_trials}; expected 1 or more")
    config = shared_config(asked.config)
    folder = asked.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with run_lock(folder):
        if asked.fixed_split:
            config = split_dataset(config)
        study = open_study(folder / STUDY, space, sampler, config["training_parameters"]["seed"])
        missing = n_trials - len(_finished(study))
        progress = Progress(folder, config["path_output"], max(0, missing))
        search = _Search(study, space, config, asked, progress)
        log.info("%d trials are finished, %d remaining: %s", len(_finished(study)), max(0, missing), folder)
        advice = f"finished trials are in {folder}; the same command continues with the rest"
        run = SearchRun(ResultStore(folder / JOBS), folder / STUDY)
        for result in run_jobs(run, search.draws(missing), asked.workers, advice):
            progress.add(result, search.drawn[result.number].member)
        return search.conclude(folder)


def open_study(journal: Path, space: Space, sampler: str, seed: int) -> Study:
    """Open the study in a file, or create it if missing.

    Interrupted trials are queued to be drawn first.

    Raises:
        ConfigError: Optuna is not installed, or the study has another space.
    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("--search needs Optuna; install it with: pip install 'ivadomed[search]'") from error
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=_NAME, storage=_storage(journal), load_if_exists=True, direction="minimize"
    )
    # With the same seed, a second call would draw the same values as the first.
    seed += len(study.get_trials(deepcopy=False))
    study.sampler = (
        optuna.samplers.RandomSampler(seed=seed)
        if sampler == "random"
        else optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    )
    identity = content_id({".".join(path): repr(values) for path, values in space.items()})
    if study.user_attrs.setdefault("space", identity) != identity:
        raise ConfigError(f"{journal}: is a study of other values; choose another --output-dir")
    study.set_user_attr("space", identity)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def _storage(journal: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(journal)))


def _finished(study: Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


class _Search:
    """Trials of one call, drawn on demand."""

    def __init__(
        self, study: Study, space: Space, config: Mapping[str, Any], asked: SweepOptions, progress: Progress
    ) -> None:
        self.study, self.space, self.config = study, space, config
        self.asked, self.progress = asked, progress
        self.drawn: list[Draw] = []

    def draws(self, count: int) -> Iterator[Draw]:
        """Draw trials, each when a worker is free and the results of earlier ones are known."""
        from optuna.trial import TrialState

        for _ in range(count):
            trial = self.study.ask()
            options = [
                option_at(path, suggest(trial, ".".join(path), values)) for path, values in self.space.items()
            ]
            try:
                member = self._member(options, f"trial {trial.number}")
            except ConfigError as error:  # incompatible values
                self.progress.failures.append(f"trial {trial.number}: {error}")
                self.study.tell(trial, state=TrialState.FAIL)
                continue
            self.drawn.append(Draw(member, trial._trial_id))
            yield self.drawn[-1]

    def _member(self, options: Sequence[HyperparameterOption], name: str) -> Member:
        config = with_options(self.config, options, folder_name)
        job = content_id(["search", training_id(of_one_model(config), self.asked.thr_increment)])
        folder = config["path_output"]
        name += f" ({short_name(folder, self.config['path_output'])})"
        return Member(job, name, config, folder, 0, self.asked.thr_increment, self.asked.run_test)

    def conclude(self, folder: Path) -> pd.DataFrame:
        """Write tables and figures of all trials of the study, and report failures."""
        store = ResultStore(folder / JOBS)
        results: dict[str, tuple[Member, dict[str, Any]]] = {}
        for trial in _finished(self.study):
            member = self._member(options_of_trial(trial, self.space), f"trial {trial.number}")
            scores = store.read(member.job) or {}
            results[member.job] = (member, {**scores, **(store.read(member.test_job) or {})})
        done = [(member, scores) for member, scores in results.values() if scores]
        self.progress.results = done
        configs = [member.config for member, _ in done]
        table = write_tables(folder, done, configs, [option_at(path, None) for path in self.space])
        self.progress.draw()
        if self.asked.plot_comparison:
            self.progress.draw_tests(done)
        log.info("%s\n%s", table.to_string(max_colwidth=60), folder / DETAILED)
        self.progress.raise_failures()
        return table
