"""A complete sweep: plan, runs, tables and figures."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.commands.worker import shared_config
from ivadomed.config import load_config
from ivadomed.errors import ConfigError, RunsFailed
from ivadomed.images.files import write_csv
from ivadomed.images.io import write_figure
from ivadomed.jobs import JobResult, ResultStore, run_jobs
from ivadomed.loader.build import draw_split, index_data
from ivadomed.loader.split.file import FILE_NAME
from ivadomed.runtime.run_lock import run_lock
from ivadomed.sweep.hyperparameters import folder_name, make_config_list
from ivadomed.sweep.member import Run
from ivadomed.sweep.plan import Member, SweepOptions, plan
from ivadomed.sweep.results import (
    COMPARISON,
    DETAILED,
    TEMPORARY,
    TESTS,
    Results,
    comparison_figure,
    results_table,
    tests_figure,
    write_tables,
)

log = logging.getLogger(__name__)

JOBS = "jobs"
"""Folder of the results."""

_DRAWN_EVERY = 30.0
"""Seconds between updates of the figure of a running sweep."""


def run_sweep(asked: SweepOptions) -> pd.DataFrame:
    """Train, and optionally test, every member that is not in the store yet.

    Returns:
        Table of ``detailed_results.csv``.

    Raises:
        ConfigError: Options or configurations cannot be used.
        RunsFailed: Members failed; the tables contain the others.
        Interrupted: SIGINT or SIGTERM was received; the same call continues.
    """
    if asked.all_combin and asked.multi_params:
        log.warning("--multi-params has no effect: --all-combin already includes its configurations.")
    if asked.plot_comparison and not asked.run_test:
        log.warning("--plot-comparison has no effect: it draws the test images; pass --run-test too.")
    config = shared_config(asked.config)
    asked.folder.mkdir(parents=True, exist_ok=True)
    with run_lock(asked.folder):
        return _run_sweep(asked, split_dataset(config) if asked.fixed_split else config)


def _run_sweep(asked: SweepOptions, config: Mapping[str, Any]) -> pd.DataFrame:
    configs = make_config_list(asked.options, config, asked.all_combin, asked.multi_params, folder_name)
    if not configs:
        raise ConfigError("no values to compare: the parameter file is empty")
    members = plan(configs, config["path_output"], asked)
    progress = Progress(asked.folder, config["path_output"], members)
    advice = f"finished runs are in {asked.folder}; the same command continues with the rest"
    log.info("%d runs; tables and figures: %s", len(members), asked.folder)
    store = ResultStore(asked.folder.resolve() / JOBS)
    for result in run_jobs(Run(store), members, asked.workers, advice):
        progress.add(result, members[result.number])
    results = progress.in_order(members)
    table = write_tables(asked.folder, results, configs, asked.options)
    progress.draw()
    if asked.plot_comparison:
        progress.draw_tests(results)
    log.info("%s\n%s", table.to_string(max_colwidth=60), asked.folder / DETAILED)
    progress.raise_failures()
    return table


def split_dataset(initial_config: Mapping[str, Any]) -> dict[str, Any]:
    """Draw the split once, into ``path_output``; the returned configuration names its file."""
    folder = Path(initial_config["path_output"])
    folder.mkdir(parents=True, exist_ok=True)
    config = load_config({**initial_config, "command": "train"})
    draw_split(config, index_data(config, folder), folder)
    split = {**initial_config["split_dataset"], "fname_split": str(folder / f"{FILE_NAME}.json")}
    return {**initial_config, "split_dataset": split}


class Progress:
    """Progress of a running sweep for the user.

    Args:
        folder: Folder for table and figure.
        base: ``path_output`` after which the folders of the members are named.
        members: All members.
    """

    def __init__(self, folder: Path, base: str, members: Sequence[Member] | int) -> None:
        self.folder, self.base = folder, base
        self.total = members if isinstance(members, int) else len(members)
        self.results: list[tuple[Member, dict[str, Any]]] = []
        self.failures: list[str] = []
        self._drawn = time.monotonic()

    def add(self, result: JobResult, member: Member) -> None:
        """Record and report the outcome of a member."""
        count = f"[{len(self.results) + len(self.failures) + 1}/{self.total}] {member.name}"
        if not result.ok:
            place = member.folder / member.config["log_file"]
            self.failures.append(f"{member.name}: {result.reason} (log: {place})")
            log.warning("%s failed: %s", count, result.reason)
            return
        self.results.append((member, result.value))
        write_csv(self.folder / TEMPORARY, results_table(self.results))
        log.info("%s: best validation loss %.4f", count, result.value["best_validation_loss"])
        if not member.is_kept:
            shutil.rmtree(member.folder, ignore_errors=True)
        if time.monotonic() - self._drawn > _DRAWN_EVERY:
            self.draw()

    def draw(self) -> None:
        """Plot the finished members."""
        if self.results:
            write_figure(self.folder / COMPARISON, comparison_figure(self.results, self.base), 110)
        self._drawn = time.monotonic()

    def draw_tests(self, results: Results) -> None:
        """Plot the metrics of the test images."""
        if (figure := tests_figure(results, self.base)) is not None:
            write_figure(self.folder / TESTS, figure, 110)

    def in_order(self, members: Iterable[Member]) -> list[tuple[Member, dict[str, Any]]]:
        """Results in the order of the plan."""
        known = {member.job: (member, scores) for member, scores in self.results}
        return [known[member.job] for member in members if member.job in known]

    def raise_failures(self) -> None:
        """Raise RunsFailed if members failed."""
        if self.failures:
            head = f"{len(self.failures)} of {self.total} runs failed; the same command retries them:"
            raise RunsFailed("\n  ".join([head, *self.failures]))
