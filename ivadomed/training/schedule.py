"""Learning-rate schedule and early stopping."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
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

from ivadomed.errors import ConfigError


def get_scheduler(
    params: Mapping[str, Any],
    optimizer: torch.optim.Optimizer,
    num_epochs: int = 0,
    updates_per_epoch: int = 1,
) -> tuple[LRScheduler, bool]:
    """Build the learning-rate scheduler.

    Args:
        params: ``lr_scheduler`` section: "name" and the arguments of that scheduler.
        optimizer: Whose learning rate is scheduled.
        num_epochs: Length of the training; cosine, polynomial and one cycle come down to 0 at its end.
        updates_per_epoch: Steps of the optimizer in an epoch.

    Returns:
        The scheduler, and whether it steps after each update (True) or after each epoch (False).

    Raises:
        ConfigError: Unknown name.
    """
    arguments = {key: value for key, value in params.items() if key != "name"}
    name = params.get("name", "CosineAnnealingLR")
    if name == "CosineAnnealingLR":
        # Configurations carry base_lr and max_lr here, which this scheduler never had.
        return CosineAnnealingLR(optimizer, num_epochs), False
    if name == "CosineAnnealingWarmRestarts":
        known = {
            key: arguments[key] for key in ("T_0", "T_mult", "eta_min") if arguments.get(key) is not None
        }
        return CosineAnnealingWarmRestarts(optimizer, **known), False
    if name == "PolynomialLR":
        return PolynomialLR(optimizer, num_epochs, arguments["power"]), False
    if name == "CyclicLR":
        # Adam has no momentum to cycle.
        return CyclicLR(
            optimizer, arguments["base_lr"], arguments["max_lr"], mode="triangular2", cycle_momentum=False
        ), True
    if name == "OneCycleLR":
        return OneCycleLR(
            optimizer,
            arguments["max_lr"],
            total_steps=num_epochs * updates_per_epoch,
            pct_start=arguments["pct_start"],
            div_factor=arguments["max_lr"] / optimizer.param_groups[0]["lr"],
            cycle_momentum=False,
        ), True
    raise ConfigError(
        f"training_parameters.scheduler.lr_scheduler.name: {name!r} is unknown; expected CosineAnnealingLR, "
        "CosineAnnealingWarmRestarts, PolynomialLR, CyclicLR or OneCycleLR"
    )


def resume_schedule(
    scheduler: LRScheduler, optimizer: torch.optim.Optimizer, state: Mapping[str, Any]
) -> None:
    """Continue a schedule from a checkpoint, whose optimizer has been loaded before.

    A schedule that was planned for another number of epochs continues on the curve of the new one: a training that
    had ended at 0 would learn nothing more.

    Args:
        scheduler: As built for this training.
        optimizer: Whose learning rate it sets.
        state: Of the scheduler in the checkpoint.
    """
    lengths = ("T_max", "total_iters", "total_steps")
    if all(state[key] == getattr(scheduler, key) for key in lengths if key in state):
        scheduler.load_state_dict(dict(state))
        return
    # The curves follow from step to step, so the new one is followed to where the old one was.
    for group, base in zip(optimizer.param_groups, scheduler.base_lrs, strict=True):
        group["lr"] = base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # steps without the optimizer's
        for _ in range(state["last_epoch"]):
            scheduler.step()


class EarlyStopping:
    """Stop when the validation loss has changed by less than ``epsilon`` in ``patience`` successive epochs.

    Args:
        epsilon: Smallest change of the validation loss from one epoch to the next that counts.
        patience: Epochs in a row.
    """

    def __init__(self, epsilon: float, patience: int) -> None:
        self.epsilon, self.patience = epsilon, patience
        self.last: float | None = None
        self.count = 0

    def update(self, loss: float) -> bool:
        """Take the validation loss of one more epoch; True when training should stop."""
        unchanged = self.last is not None and abs(loss - self.last) < self.epsilon
        self.count = self.count + 1 if unchanged else 0
        self.last = loss
        return self.stalled

    @property
    def stalled(self) -> bool:
        """Whether training should stop."""
        return self.count >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"last": self.last, "count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.last, self.count = state["last"], state["count"]
