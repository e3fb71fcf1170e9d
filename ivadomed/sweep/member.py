"""Run of one member of a sweep, in any process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.commands.run import run_command
from ivadomed.commands.worker import log_failure, with_own_share
from ivadomed.config import load_config
from ivadomed.config.run_files import BEST, CONFIG
from ivadomed.jobs import ResultStore, once
from ivadomed.sweep.plan import Member
from ivadomed.training.loop import EpochEnd
from ivadomed.training.outputs import can_go_on

SCORES = ("best_training_dice", "best_training_loss", "best_validation_dice", "best_validation_loss")
"""Scores returned by a training; "dice" is the Dice loss, whose negative, the Dice, is shown in tables."""


@dataclass(frozen=True)
class Run:
    """Trains and tests members, each once.

    Args:
        store: Results so far.
        train: Function that trains a member and returns JSON-ready scores.
    """

    store: ResultStore
    train: Callable[[Member], dict[str, Any]] | None = None

    def __call__(self, member: Member) -> dict[str, Any]:
        """Results of a member, JSON-ready: the ``SCORES``; if tested, also "test_dice" and the table "metrics"."""
        try:
            return self._results(member)
        except Exception as error:
            log_failure(member.folder / str(member.config["log_file"]), error)
            raise

    def _results(self, member: Member) -> dict[str, Any]:
        train = self.train or train_member
        test = self.store.read(member.test_job) if member.run_test else None
        if member.run_test and test is None and not (member.folder / BEST).is_file():
            # The model may have been deleted with its folder, or never made.
            scores = train(member)
            self.store.write(member.job, member.name, scores)
        else:
            scores = once(self.store, member.job, member.name, lambda: train(member))
        if member.run_test and scores.get("state") != "pruned":
            test = once(self.store, member.test_job, f"{member.name}, test", lambda: test_member(member))
        return {**scores, **(test or {})}


def train_member(member: Member, on_epoch: EpochEnd | None = None) -> dict[str, float]:
    """Train a member, resuming an interrupted attempt; return the ``SCORES``."""
    values = train_config(member.config, member.thr_increment, on_epoch)
    return dict(zip(SCORES, values, strict=True))


def train_config(
    config: Mapping[str, Any], thr_increment: float | None, on_epoch: EpochEnd | None = None
) -> tuple[float, float, float, float]:
    """Train with a configuration on the GPU and the threads of this process.

    Args:
        config: Configuration of the run.
        thr_increment: See ``run_command``.
        on_epoch: See ``training.train``.

    Returns:
        Training Dice loss, training loss, validation Dice loss, validation loss of the best epoch.
    """
    parsed = with_own_share({**config, "command": "train"})
    resume = can_go_on(Path(parsed.path_output))
    return run_command(parsed, resume_training=resume, thr_increment=thr_increment, on_epoch=on_epoch)


def test_member(member: Member) -> dict[str, Any]:
    """Mean Dice and the table of metrics of a member's test set."""
    dice, table = test_config(member.config)
    return {"test_dice": dice, "metrics": table.to_dict(orient="split")}


def test_config(config: Mapping[str, Any]) -> tuple[float, pd.DataFrame]:
    """Test the model trained with a configuration.

    Returns:
        Mean Dice over images (NaN for a classifier), and the table of metrics per image.
    """
    trained = load_config(Path(config["path_output"]) / CONFIG)
    # The training may have found a threshold.
    found = trained.to_json()["postprocessing"]
    table, metrics = run_command(with_own_share({**config, "command": "test", "postprocessing": found}))
    return metrics.get("dice_score", math.nan), table
