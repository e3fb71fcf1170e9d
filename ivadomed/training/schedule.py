"""Learning-rate schedule and early stopping."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
)

from ivadomed.config.schema.training import TrainingTime
from ivadomed.errors import ConfigError
from ivadomed.registry.registry import did_you_mean

SCHEDULERS: dict[str, type[LRScheduler]] = {
    "CosineAnnealingLR": CosineAnnealingLR,
    "CosineAnnealingWarmRestarts": CosineAnnealingWarmRestarts,
    "PolynomialLR": PolynomialLR,
    "CyclicLR": CyclicLR,
    "OneCycleLR": OneCycleLR,
}
_PER_UPDATE = ("CyclicLR", "OneCycleLR")
_PLACE = "training_parameters.scheduler.lr_scheduler"


def get_scheduler(
    params: MutableMapping[str, Any], optimizer: torch.optim.Optimizer, num_epochs: int = 0
) -> tuple[LRScheduler, bool]:
    """Build the learning-rate scheduler of a ``lr_scheduler`` section, see ``build_scheduler``.

    Args:
        params: "name", which is removed as in ivadomed 2.9.10, and arguments of the class of that name.
        optimizer: Optimizer whose learning rate is scheduled.
        num_epochs: Length of the training.
    """
    if "name" not in params:
        raise ConfigError(f"{_PLACE}.name: is missing (an earlier call removes it from its dictionary)")
    return build_scheduler(params.pop("name"), params, optimizer, num_epochs)


def build_scheduler(
    name: str,
    arguments: Mapping[str, Any],
    optimizer: torch.optim.Optimizer,
    num_epochs: int = 0,
    updates_per_epoch: int = 1,
) -> tuple[LRScheduler, bool]:
    """Build a learning-rate scheduler.

    Args:
        name: Class in ``torch.optim.lr_scheduler``, one of ``SCHEDULERS``.
        arguments: Arguments of that class; null selects the default.
        optimizer: Optimizer whose learning rate is scheduled.
        num_epochs: Length of the training; cosine, polynomial and one cycle decay to 0 at its end.
        updates_per_epoch: Optimizer steps per epoch.

    Returns:
        The scheduler, and whether it steps after each update (True) or after each epoch (False).

    Raises:
        ConfigError: Unknown name, an argument unknown to or rejected by the class, or a cycle that ends before the
            training.
    """
    if name not in SCHEDULERS:
        raise ConfigError(f"{_PLACE}.name: {name!r} is unknown; expected one of {', '.join(SCHEDULERS)}")
    given = {key: value for key, value in arguments.items() if value is not None}
    if name.startswith("Cosine"):  # 2.x wrote the bounds of CyclicLR with every scheduler
        given = {key: value for key, value in given.items() if key not in ("base_lr", "max_lr")}
    known = list(inspect.signature(SCHEDULERS[name]).parameters)[1:]
    for key in (key for key in given if key not in known):
        hint = did_you_mean(key, known, f"; {name} accepts {', '.join(known)}")
        raise ConfigError(f"{_PLACE}.{key}: {name} has no such argument{hint}")
    updates = num_epochs * updates_per_epoch
    given = {**_defaults(name, given, optimizer, num_epochs, updates), **given}
    try:
        scheduler = SCHEDULERS[name](optimizer, **given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{_PLACE}: {name} cannot be created: {error}") from error
    if isinstance(scheduler, OneCycleLR) and scheduler.total_steps < updates:
        raise ConfigError(
            f"{_PLACE}.total_steps: the cycle of {scheduler.total_steps} updates ends before the training, which has "
            f"{updates}; leave it out"
        )
    return scheduler, name in _PER_UPDATE


def _defaults(
    name: str, given: Mapping[str, Any], optimizer: torch.optim.Optimizer, epochs: int, updates: int
) -> dict[str, Any]:
    """Arguments derived from the length of the training; unlike in torch, the momentum is not changed."""
    if name == "CosineAnnealingLR":
        return {"T_max": epochs}
    if name == "PolynomialLR":
        return {"total_iters": epochs}
    if name == "CyclicLR":
        return {"mode": "triangular2", "cycle_momentum": False}
    if name == "OneCycleLR":
        length = {} if {"epochs", "total_steps"} & given.keys() else {"total_steps": updates}
        rise = {}
        if "max_lr" in given:
            rise["div_factor"] = given["max_lr"] / optimizer.param_groups[0]["lr"]
        return {**length, **rise, "cycle_momentum": False}
    return {}


def resume_schedule(
    scheduler: LRScheduler, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Continue a schedule from a checkpoint whose optimizer has already been loaded.

    A schedule planned for another number of epochs continues on the curve of the new one: a training that had decayed
    to 0 would not learn any more.

    Args:
        scheduler: Scheduler built for this training.
        optimizer: Optimizer whose learning rate it sets.
        state: State of the scheduler in the checkpoint.
    """
    lengths = ("T_max", "total_iters", "total_steps")
    if all(state[key] == getattr(scheduler, key) for key in lengths if key in state):
        scheduler.load_state_dict(dict(state))
        return
    # Curves are defined step by step, so advance the new one to the position of the old one.
    for group, base in zip(optimizer.param_groups, scheduler.base_lrs, strict=True):
        group["lr"] = base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # steps without the optimizer's
        for _ in range(state["last_epoch"]):
            scheduler.step()


class EarlyStopping:
    """Stop when the validation loss hardly changes over a configured number of successive epochs."""

    def __init__(self, time: TrainingTime) -> None:
        self.epsilon, self.patience = time.early_stopping_epsilon, time.early_stopping_patience
        self.last: float | None = None
        self.count = 0

    def update(self, loss: float) -> bool:
        """Add the validation loss of an epoch; return True if training should stop."""
        unchanged = self.last is not None and abs(loss - self.last) < self.epsilon
        self.count = self.count + 1 if unchanged else 0
        self.last = loss
        return self.stalled

    @property
    def stalled(self) -> bool:
        """True if training should stop."""
        return self.count >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"last": self.last, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.last, self.count = state["last"], state["count"]
