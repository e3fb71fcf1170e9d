"""Planning of a run: data survey, suitable configurations, pace of the machine, and division of the time."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ivadomed.auto.division import RESERVE, Division, divide
from ivadomed.auto.folder import candidate_file
from ivadomed.auto.plan import Plan
from ivadomed.config import load_config
from ivadomed.config.tree import expand, merged
from ivadomed.images.files import write_json, write_text
from ivadomed.jobs import Workers
from ivadomed.jobs.choose import choose_workers
from ivadomed.jobs.cluster import connected
from ivadomed.runtime.terminal import say
from ivadomed.suggest import Candidate, Machine, Survey, candidates, summary, survey
from ivadomed.suggest.choices import table_of_reasons

log = logging.getLogger(__name__)

HOURS = 4.0
"""Default budget."""

_PREDICTED = (2, 0.4)
"""Number of predictions per image with folds, each image once and the test set by each member of the ensemble; and
without folds, for the test set only."""

_FEW_SUBJECTS = 10
"""Number of subjects below which a test set would have one subject: then all are used in the cross-validation."""


@dataclass(frozen=True)
class AutoOptions:
    """Options of the user.

    Args:
        name: Folder of the run.
        path_data: Data sets; empty: those of the existing run.
        hours: Budget; None: that of the existing run, else ``HOURS``.
        jobs: Number of parallel trainings; None: one per GPU, one on a CPU.
        cluster: Address or scheduler file of a Dask cluster to use instead.
        target_suffix: Labels to train on; empty: all usable ones.
        contrasts: Contrasts to train on; empty: all with labels.
    """

    name: str
    path_data: Sequence[str] = ()
    hours: float | None = None
    jobs: int | None = None
    cluster: str | None = None
    target_suffix: Sequence[str] = ()
    contrasts: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.name)

    @property
    def workers(self) -> Workers:
        """Workers for training."""
        return choose_workers(self.jobs, self.cluster, range(torch.cuda.device_count()))


def make_plan(options: AutoOptions) -> Plan:
    """Survey data and machine, write the candidates' configurations, and divide the time."""
    started = time.monotonic()
    say("Data", f"reading the headers of {', '.join(options.path_data)}")
    data = survey(options.path_data, options.target_suffix, options.contrasts)
    for line in summary(data):
        log.info("%s", line)
    workers = options.workers
    with _threads(workers.threads):  # the pace is that of one training
        return _planned(options, data, workers, started)


def _planned(options: AutoOptions, data: Survey, workers: Workers, started: float) -> Plan:
    hours, at_once = HOURS if options.hours is None else options.hours, trainings_at_once(workers)
    machine = _machine(workers, at_once)
    say("Pace", f"measuring how fast networks train on {machine}")
    offered, left_out = _offered(data, machine, options, 60 * hours)
    least = {one.name: one.useful_minutes for one in offered}
    left = 60 * hours * (1 - RESERVE) - (time.monotonic() - started) / 60
    with_folds, alone = (left - passes * offered[0].prediction_minutes for passes in _PREDICTED)
    # Something is trained no matter how long the survey took.
    division = divide(max(with_folds, hours), least, _subjects_to_learn_from(data), at_once)
    if not division.n_folds:
        division = replace(division, minutes=max(alone, hours))
    plan = _plan(options, data, hours, machine, at_once, least, division, left_out)
    for one in _offered(data, machine, options, division.minutes)[0]:
        if one.name in division.candidates:
            _write(one, options.folder, _settings(plan, options.folder, one.name, data.subjects))
    return plan


def _plan(
    options: AutoOptions,
    data: Survey,
    hours: float,
    machine: Machine,
    at_once: int,
    least: Mapping[str, float],
    division: Division,
    left_out: Mapping[str, str],
) -> Plan:
    return Plan(
        path_data=tuple(map(str, data.paths)),
        target_suffix=tuple(options.target_suffix),
        contrasts=tuple(options.contrasts),
        hours=hours,
        machine=str(machine),
        at_once=at_once,
        lesions=tuple(k for k, kind in enumerate(data.targets.kinds) if kind.lesions),
        least_minutes={name: round(minutes, 3) for name, minutes in least.items()},
        candidates=division.candidates,
        n_folds=division.n_folds,
        minutes=round(division.minutes, 3),
        reason=division.reason,
        pair=division.pair,
        left_out=dict(left_out),
    )


def trainings_at_once(workers: Workers) -> int:
    """Number of trainings that the workers run in parallel."""
    if workers.cluster is None:
        return workers.n_jobs
    with connected(workers.cluster) as client:
        return max(1, len(client.ncores()))


def _offered(
    data: Survey, machine: Machine, options: AutoOptions, minutes: float
) -> tuple[list[Candidate], dict[str, str]]:
    """Candidates that can be trained by fold, the preferred one first, and the reasons for leaving out others.

    A cascade uses the model of another candidate. A single one for all folds would have seen the held-out subjects.
    """
    found = candidates(data, machine, options.name, minutes)
    left_out = {
        one.name: f"each fold would need the {one.detector} of that fold first, which doubles its trainings; "
        "--init --candidates writes both"
        for one in found
        if one.detector is not None
    }
    return [one for one in found if one.name not in left_out], left_out


def _subjects_to_learn_from(data: Survey) -> int:
    return data.subjects if data.subjects < _FEW_SUBJECTS else round(0.8 * data.subjects)


def _machine(workers: Workers, at_once: int) -> Machine:
    """This machine, as available to one of the parallel trainings."""
    machine = Machine.here()
    if at_once > 1 and not machine.gpu and workers.cluster is None:
        return replace(machine, memory=machine.memory // at_once)
    return machine


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _settings(plan: Plan, folder: Path, candidate: str, subjects: int) -> dict[str, Any]:
    """Settings of an ``--auto`` run in the configuration of a candidate."""
    # The length is set by minutes alone; a number of epochs would also limit it.
    changes: dict[str, Any] = {"training_parameters.training_time.num_epochs": None}
    if (gpus := torch.cuda.device_count()) > 1:
        changes["gpu_ids"] = list(range(gpus))
    if plan.n_folds and subjects < _FEW_SUBJECTS:
        changes["split_dataset.test_fraction"] = 0.0
    return merged(expand(changes), plan.settings(folder, candidate))


def _write(candidate: Candidate, folder: Path, changes: Mapping[str, Any]) -> None:
    """Write a candidate's configuration, and a file with the reason for each value next to it."""
    file = candidate_file(folder, candidate.name)
    content = merged(candidate.tree, changes)
    load_config(content)
    write_json(file, content)
    title = f"# {candidate.name}: {candidate.reason}\n\nWritten by `ivadomed --auto`; every value may be changed.\n"
    write_text(file.with_suffix(".md"), "\n".join([title, *table_of_reasons(candidate.choices), ""]))
