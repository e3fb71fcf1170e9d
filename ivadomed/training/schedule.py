"""Learning-rate schedule and early stopping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, CosineAnnealingWarmRestarts, CyclicLR, LRScheduler

from ivadomed.errors import ConfigError


def get_scheduler(
    params: Mapping[str, Any], optimizer: torch.optim.Optimizer, num_epochs: int = 0
) -> tuple[LRScheduler, bool]:
    """Build the learning-rate scheduler.

    Args:
        params: ``lr_scheduler`` section: "name" and the arguments of that scheduler.
        optimizer: Whose learning rate is scheduled.
        num_epochs: Length of the training; a cosine comes down to 0 at its end.

    Returns:
        The scheduler, and whether it steps after each batch (True) or after each epoch (False).

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
    if name == "CyclicLR":
        # Adam has no momentum to cycle.
        return CyclicLR(
            optimizer, arguments["base_lr"], arguments["max_lr"], mode="triangular2", cycle_momentum=False
        ), True
    raise ConfigError(
        f"training_parameters.scheduler.lr_scheduler.name: {name!r} is unknown; expected CosineAnnealingLR, "
        "CosineAnnealingWarmRestarts or CyclicLR"
    )


def stretch(scheduler: LRScheduler, num_epochs: int) -> None:
    """Let a cosine that was planned for another number of epochs come down to 0 at the new end.

    The learning rate continues on the new curve: a training that had ended at 0 would learn nothing more.
    """
    if not isinstance(scheduler, CosineAnnealingLR) or scheduler.T_max == num_epochs:
        return
    scheduler.T_max = num_epochs
    share = (1 + math.cos(math.pi * scheduler.last_epoch / num_epochs)) / 2
    rates = [scheduler.eta_min + (base - scheduler.eta_min) * share for base in scheduler.base_lrs]
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    scheduler._last_lr = rates


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
