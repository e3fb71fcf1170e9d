"""Plan of a run: a look at the data, configurations that suit it, the pace of the machine, and the time divided."""

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
"""The budget used if none is given."""

_PREDICTED = (2, 0.4)
"""Times that all images are predicted with folds, each image once and the test set by each member of the ensemble; and
without, where only the test set is."""

_FEW_SUBJECTS = 10
"""Subjects below which a test set would be one subject: all of them take part in the cross-validation instead."""


@dataclass(frozen=True)
class AutoOptions:
    """What the user asked for.

    Args:
        name: Folder of the run.
        path_data: Data sets; empty: those of the existing run.
        hours: The budget; None: that of the existing run, else ``HOURS``.
        jobs: Trainings at a time; None: one for each GPU, one on a CPU.
        cluster: Address or scheduler file of the Dask cluster that trains instead.
        target_suffix: Labels to train on; empty: all that can be used.
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
        """Where everything goes."""
        return Path(self.name)

    @property
    def workers(self) -> Workers:
        """Who trains."""
        return choose_workers(self.jobs, self.cluster, range(torch.cuda.device_count()))


def make_plan(options: AutoOptions) -> Plan:
    """Look at data and machine, write the candidates' configurations, and return how the time is divided."""
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
    # Whatever the look at the data took, something is trained.
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
    """Trainings that the workers make at the same time."""
    if workers.cluster is None:
        return workers.n_jobs
    with connected(workers.cluster) as client:
        return max(1, len(client.ncores()))


def _offered(
    data: Survey, machine: Machine, options: AutoOptions, minutes: float
) -> tuple[list[Candidate], dict[str, str]]:
    """Candidates that can be trained fold by fold, the preferred one first, and why others are left out.

    A cascade reads the model of another candidate. Were it one for all folds, it would have seen the held-out subjects.
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
    """This machine, as one of the trainings that run at the same time sees it."""
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
    """What a run of ``--auto`` sets in the configuration of a candidate."""
    # The minutes alone decide; a number of epochs would be a bound too.
    changes: dict[str, Any] = {"training_parameters.training_time.num_epochs": None}
    if (gpus := torch.cuda.device_count()) > 1:
        changes["gpu_ids"] = list(range(gpus))
    if plan.n_folds and subjects < _FEW_SUBJECTS:
        changes["split_dataset.test_fraction"] = 0.0
    return merged(expand(changes), plan.settings(folder, candidate))


def _write(candidate: Candidate, folder: Path, changes: Mapping[str, Any]) -> None:
    """Write a candidate's configuration, and next to it the reason for each value."""
    file = candidate_file(folder, candidate.name)
    content = merged(candidate.tree, changes)
    load_config(content)
    write_json(file, content)
    title = f"# {candidate.name}: {candidate.reason}\n\nWritten by `ivadomed --auto`; every value may be changed.\n"
    write_text(file.with_suffix(".md"), "\n".join([title, *table_of_reasons(candidate.choices), ""]))
