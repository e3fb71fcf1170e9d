"""From the losses of batches to new weights: gradient, optimizer, learning rate, average of the weights."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from ivadomed.config.schema.training import TrainingParameters
from ivadomed.errors import ConfigError
from ivadomed.training.schedule import build_scheduler, resume_schedule

log = logging.getLogger(__name__)

_UNKNOWN_LENGTH = 1000
"""Epochs of a training while its pace is measured, of which no update stays."""

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
        batches: Batches of an epoch.

    Attributes:
        network: The model as it has to be called.
        average: Average of its weights.
    """

    def __init__(self, fabric: Fabric, model: nn.Module, params: TrainingParameters, batches: int) -> None:
        self.fabric, self.model, self.batches = fabric, model, batches
        self.accumulated, self.max_norm = params.accumulate_batches, params.gradient_clipping
        weights = [p for p in model.parameters() if p.requires_grad]
        if not weights:
            raise ConfigError(
                "training_parameters.transfer_learning.retrain_fraction: leaves no layer to train"
            )
        self.rates = params.scheduler
        chosen, rate = params.optimizer, self.rates.initial_lr
        fused = fabric.device.type == "cuda" and not self._clips_scaled(fabric)
        self.network, self.optimizer = fabric.setup(
            model, build_optimizer(chosen.name, chosen.arguments, weights, rate, fused)
        )
        schedule = self.rates.lr_scheduler
        log.info("\nScheduler parameters: %s", {"name": schedule.name, **schedule.arguments})
        self.scheduler, self.steps_per_update = self._schedule(
            params.training_time.num_epochs or _UNKNOWN_LENGTH
        )
        self.average = WeightAverage(model, params.ema_decay)

    def _clips_scaled(self, fabric: Fabric) -> bool:
        """Gradients are clipped that a scaler has scaled: a fused optimizer would divide by the scale a second time."""
        return self.max_norm is not None and getattr(fabric.strategy.precision, "scaler", None) is not None

    def _schedule(self, epochs: int) -> tuple[LRScheduler, bool]:
        schedule, updates = self.rates.lr_scheduler, -(-self.batches // self.accumulated)
        return build_scheduler(schedule.name, schedule.arguments, self.optimizer.optimizer, epochs, updates)

    def set_epochs(self, epochs: int) -> None:
        """Continue under the schedule of a training of another length, as a resumed training does."""
        state = self.state_dict()
        for group in self.optimizer.param_groups:
            group["lr"] = self.rates.initial_lr
            group.pop("initial_lr", None)
        self.scheduler = self._schedule(epochs)[0]
        self.load_state_dict(state)

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def around(self, step: int) -> AbstractContextManager[Any]:
        """Context of prediction and ``learn``: processes exchange gradients only when they update the weights."""
        return self.fabric.no_backward_sync(self.network, enabled=not self._completes(step))

    def learn(self, loss: torch.Tensor, step: int) -> None:
        """Take in the loss of batch number ``step`` of the epoch; the last one of its group updates the weights."""
        first = step - step % self.accumulated
        if step == first:
            self.optimizer.zero_grad()
        # The last group of an epoch may be smaller; its gradient is a mean too.
        self.fabric.backward(loss / min(self.accumulated, self.batches - first))
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
        """Advance to the learning rate of the next epoch."""
        if not self.steps_per_update:
            self.scheduler.step()

    def _completes(self, step: int) -> bool:
        return (step + 1) % self.accumulated == 0 or step + 1 == self.batches

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
    name: str,
    arguments: Mapping[str, Any],
    weights: Iterable[nn.Parameter],
    rate: float,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """Build the optimizer.

    Args:
        name: One of ``OPTIMIZERS``.
        arguments: Arguments of the optimizer, but the learning rate.
        weights: Weights to train.
        rate: Learning rate at the start.
        fused: One kernel of a GPU updates all weights, and a gradient scaler need not wait for it.

    Raises:
        ConfigError: Unknown name.
    """
    if name not in OPTIMIZERS:
        raise ConfigError(
            f"training_parameters.optimizer.name: {name!r} is unknown; expected {', '.join(OPTIMIZERS)}"
        )
    return OPTIMIZERS[name](weights, lr=rate, **arguments, **({"fused": True} if fused else {}))


class WeightAverage:
    """Average over the training of a network's weights and of its running statistics.

    The average forgets its past by the factor ``min(decay, (1 + n) / (10 + n))`` at step n: the random weights of the
    start leave it early, also where a training is short.

    Args:
        model: The network.
        decay: Factor in the long run, e.g. 0.999; None: the average is the weights themselves.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.model, self.decay, self.steps = model, decay, 0
        self.weights: dict[str, Tensor] = {}
        if decay is not None:
            self.weights = {name: value.clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after one more step."""
        if self.decay is None:
            return
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        now = self.model.state_dict()
        moving = [name for name, value in now.items() if value.is_floating_point()]
        for name in now.keys() - moving:  # a counter
            self.weights[name].copy_(now[name])
        # On a GPU a few kernels for all of them.
        torch._foreach_lerp_([self.weights[n] for n in moving], [now[n] for n in moving], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the context the network has the averaged weights."""
        if self.decay is None:
            yield
            return
        kept = {name: value.clone() for name, value in self.model.state_dict().items()}
        self._put(self.weights)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        # Copied, not replaced: the optimizer and wrappers of the network hold on to its tensors.
        for name, value in self.model.state_dict().items():
            value.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From the checkpoint."""
        self.steps = state["steps"]
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)
