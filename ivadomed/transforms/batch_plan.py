"""The plans of a whole batch, applied to tensors on the device that trains.

`Plan.apply` does the steps of one sample on arrays; `BatchPlan` does those of a batch with one operation per
kind of step, by the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ivadomed.transforms.pipeline import Plan
from ivadomed.transforms.steps import BatchStep, Step


def split_plan(plan: Plan) -> tuple[Plan, Plan]:
    """Part a plan into what has to be done on the array of one sample and what can be left to the device.

    Steps without a version for batches (Clahe, DilateGT), and steps that change the shape, without which samples
    may not fit into one batch, stay with the sample, and with them all that comes before.
    """
    needed = [i for i, (_, step) in enumerate(plan.steps, start=1) if step.batch_key is None]
    cut = max(needed, default=0)
    first = replace(plan, steps=plan.steps[:cut])
    return first, Plan(plan.steps[cut:], first.shape_out, first.zooms_out)


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """The steps of the samples of one batch, side by side.

    Args:
        operations: Operations in order.
    """

    operations: tuple[Operation, ...]

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> BatchPlan:
        """Lay the steps of one plan per sample side by side, see `split_plan`; all have one shape."""
        return cls(tuple(Operation(kinds, rows, type(s[0]).batch(s)) for kinds, rows, s in _rounds(plans)))

    def moved(self, move: Callable[[Tensor], Tensor]) -> BatchPlan:
        """The same with its tensors elsewhere: on another device, or pinned."""
        return BatchPlan(tuple(_moved(entry, move) for entry in self.operations))

    def apply(self, x: Tensor, kind: str) -> Tensor:
        """Transform a batch; interpolation is linear, as that of random steps always is.

        Args:
            x: [B, C, *spatial] floating, on the device of this plan; stays as it is.
            kind: "im", "gt", "roi" or "ignore".

        Returns:
            [B, C, *spatial]
        """
        for operation in self.operations:
            if kind in operation.kinds:
                x = operation.apply(x)
        return x


@dataclass(frozen=True, eq=False)
class Operation:
    """One kind of step for some samples of a batch.

    Attributes:
        kinds: The kinds of array it changes.
        rows: The samples.
        work: Change of a batch of just these.
    """

    kinds: frozenset[str]
    rows: list[int]
    work: BatchStep

    def apply(self, x: Tensor) -> Tensor:
        """Change the samples of the batch `x` that this operation is for."""
        if len(self.rows) == len(x):
            return self.work(x)
        rows = torch.tensor(self.rows).to(x.device, non_blocking=True)
        return x.index_copy(0, rows, self.work(x.index_select(0, rows)))


def _rounds(plans: Sequence[Plan]) -> Iterator[tuple[frozenset[str], list[int], list[Step]]]:
    """Steps of one kind with the samples that they are for, in an order that keeps that of every plan."""
    waiting = {row: list(plan.steps) for row, plan in enumerate(plans)}
    while any(waiting.values()):
        heads = {row: _key(*steps[0]) for row, steps in waiting.items() if steps}
        behind = {_key(*entry) for steps in waiting.values() for entry in steps[1:]}
        # What still stands behind something else in another sample can join later.
        chosen = next((key for key in heads.values() if key not in behind), next(iter(heads.values())))
        rows = [row for row, key in heads.items() if key == chosen]
        yield chosen[0], rows, [waiting[row].pop(0)[1] for row in rows]


def _key(kinds: frozenset[str], step: Step) -> tuple[frozenset[str], type, Hashable]:
    """Equal for steps that one operation can do."""
    return kinds, type(step), step.batch_key


def _moved(value: Any, move: Callable[[Tensor], Tensor]) -> Any:
    """The same with its tensors elsewhere."""
    if isinstance(value, Tensor):
        return move(value)
    if isinstance(value, tuple):
        return tuple(_moved(entry, move) for entry in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{entry.name: _moved(getattr(value, entry.name), move) for entry in fields(value)}
        )
    return value
