"""Exponential moving average of the weights (Polyak and Juditsky, 1992; Tarvainen and Valpola, arXiv:1703.01780)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


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
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:  # a counter
                self.weights[name].copy_(value)

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
