"""From the losses of batches to new weights: gradient, optimizer, learning rate, average of the weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from ivadomed.errors import ConfigError
from ivadomed.training.ema import WeightAverage
from ivadomed.training.schedule import get_scheduler, resume_schedule

log = logging.getLogger(__name__)

OPTIMIZERS: dict[str, Any] = {
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "SGD": torch.optim.SGD,
}


class Optimization:
    """The optimizer of a network and what belongs to it.

    Args:
        fabric: For precision and the exchange of gradients between processes.
        model: The network.
        params: The ``training_parameters`` section.
        batches: Of an epoch.

    Attributes:
        network: The model as it has to be called.
        average: Of its weights.
    """

    def __init__(self, fabric: Fabric, model: nn.Module, params: Mapping[str, Any], batches: int) -> None:
        self.fabric, self.model, self.batches = fabric, model, batches
        self.group, self.max_norm = params["accumulate_batches"], params["gradient_clipping"]
        weights = [p for p in model.parameters() if p.requires_grad]
        if not weights:
            raise ConfigError(
                "training_parameters.transfer_learning.retrain_fraction: leaves no layer to train"
            )
        optimizer = build_optimizer(params["optimizer"], weights, params["scheduler"]["initial_lr"])
        self.network, self.optimizer = fabric.setup(model, optimizer)
        schedule, epochs = params["scheduler"]["lr_scheduler"], params["training_time"]["num_epochs"]
        log.info("\nScheduler parameters: %s", dict(schedule))
        updates = -(-batches // self.group)
        self.scheduler, self.steps_per_update = get_scheduler(dict(schedule), optimizer, epochs, updates)
        self.average = WeightAverage(model, params["ema_decay"])

    @property
    def learning_rate(self) -> float:
        """Of the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def around(self, step: int) -> AbstractContextManager[Any]:
        """Context of prediction and ``learn``: processes exchange gradients only when they update the weights."""
        return self.fabric.no_backward_sync(self.network, enabled=not self._completes(step))

    def learn(self, loss: torch.Tensor, step: int) -> None:
        """Take in the loss of batch number ``step`` of the epoch; the last one of its group updates the weights."""
        first = step - step % self.group
        if step == first:
            self.optimizer.zero_grad()
        # The last group of an epoch may be smaller; its gradient is a mean too.
        self.fabric.backward(loss / min(self.group, self.batches - first))
        if not self._completes(step):
            return
        if self.max_norm is not None:
            # In half precision an overflow is no error: the gradient scaler skips that step.
            self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=self.max_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.average.update()
        if self.steps_per_update:
            self.scheduler.step()

    def end_epoch(self) -> None:
        """Go on to the learning rate of the next epoch."""
        if not self.steps_per_update:
            self.scheduler.step()

    def _completes(self, step: int) -> bool:
        return (step + 1) % self.group == 0 or step + 1 == self.batches

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        state = {name: part.state_dict() for name, part in self._parts()}
        return {**state, "scheduler": self.scheduler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        for name, part in self._parts():
            part.load_state_dict(state[name])
        resume_schedule(self.scheduler, self.optimizer, state["scheduler"])

    def _parts(self) -> list[tuple[str, Any]]:
        return [
            ("model", self.model),
            ("optimizer", self.optimizer),
            ("average", self.average),
            ("precision", self.fabric.strategy.precision),  # the gradient scaler of fp16
        ]


def build_optimizer(
    params: Mapping[str, Any], weights: Iterable[nn.Parameter], rate: float
) -> torch.optim.Optimizer:
    """Build the optimizer.

    Args:
        params: ``optimizer`` section: "name" and the arguments of that optimizer.
        weights: What is trained.
        rate: Learning rate at the start.

    Raises:
        ConfigError: Unknown name.
    """
    name = params["name"]
    if name not in OPTIMIZERS:
        raise ConfigError(
            f"training_parameters.optimizer.name: {name!r} is unknown; expected {', '.join(OPTIMIZERS)}"
        )
    arguments = {key: value for key, value in params.items() if key != "name"}
    return OPTIMIZERS[name](weights, lr=rate, **arguments)
