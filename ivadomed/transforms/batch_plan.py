"""The plans of a whole batch, applied to tensors on the device that trains.

`Plan.apply` does the steps of one sample on arrays; `BatchPlan` does those of a batch with one operation per
kind of step. Both read the same plans, so they do the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ivadomed.transforms.base import IntensityStep, Step
from ivadomed.transforms.pipeline import Plan
from ivadomed.transforms.sampling import SLACK, voxels_to_unit
from ivadomed.transforms.tensor_maths import TENSOR_VERSIONS
from ivadomed.transforms.warp import FlipStep, WarpStep, line_matrix


def split_plan(plan: Plan) -> tuple[Plan, Plan]:
    """Part a plan into what has to be done on the array of one sample and what can be left to the device.

    Steps without a version for batches (Clahe, DilateGT), and steps that change the shape, without which samples
    may not fit into one batch, stay with the sample, and with them all that comes before.
    """
    needed = [i for i, (_, step) in enumerate(plan.steps, start=1) if not _batches(step)]
    cut = max(needed, default=0)
    first = replace(plan, steps=plan.steps[:cut])
    return first, Plan(plan.steps[cut:], first.shape_out, first.zooms_out)


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """The steps of the samples of one batch, side by side.

    Args:
        operations: What is done, in order.
    """

    operations: tuple[Operation, ...]

    @classmethod
    def of(cls, plans: Sequence[Plan]) -> BatchPlan:
        """Lay the steps of one plan per sample side by side, see `split_plan`; all have one shape."""
        return cls(tuple(_operation(rows, kinds, steps) for kinds, rows, steps in _rounds(plans)))

    def moved(self, move: Callable[[Tensor], Tensor]) -> BatchPlan:
        """The same with its tensors elsewhere: on another device, or pinned."""
        return BatchPlan(tuple(operation.moved(move) for operation in self.operations))

    def apply(self, x: Tensor, kind: str) -> Tensor:
        """Transform a batch; interpolation is linear, as that of random steps always is.

        Args:
            x: [B, C, *spatial] floating, on the device of this plan; stays as it is.
            kind: "im", "gt" or "roi".

        Returns:
            [B, C, *spatial]
        """
        for operation in self.operations:
            if kind in operation.kinds:
                x = operation.apply(x)
        return x


@dataclass(frozen=True, eq=False, kw_only=True)
class Operation(ABC):
    """One kind of step for some samples of a batch.

    Attributes:
        kinds: The kinds of array it changes.
        rows: The samples.
    """

    kinds: frozenset[str]
    rows: list[int]

    def apply(self, x: Tensor) -> Tensor:
        """Change the samples of the batch `x` that this operation is for."""
        if len(self.rows) == len(x):
            return self.change(x)
        rows = torch.tensor(self.rows, device=x.device)
        return x.index_copy(0, rows, self.change(x.index_select(0, rows)))

    @abstractmethod
    def change(self, x: Tensor) -> Tensor:
        """Change a batch of just these samples."""

    def moved(self, move: Callable[[Tensor], Tensor]) -> Operation:
        """The same with its tensors elsewhere."""
        return self


@dataclass(frozen=True, eq=False, kw_only=True)
class Intensity(Operation):
    """Steps that change values.

    Attributes:
        function: One of `tensor_maths`.
        arguments: Its arguments, an entry per sample.
    """

    function: Callable[..., Tensor]
    arguments: Mapping[str, list[Any]]

    def change(self, x: Tensor) -> Tensor:
        """Call the function."""
        return self.function(x, **self.arguments)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flip(Operation):
    """Mirrored axes, the same for all samples."""

    axes: tuple[int, ...]

    def change(self, x: Tensor) -> Tensor:
        """Reverse the axes."""
        return x.flip([axis + 2 for axis in self.axes])


@dataclass(frozen=True, eq=False, kw_only=True)
class Warp(Operation):
    """Coordinate maps, one per sample; see `WarpStep`, whose arithmetic this is.

    Attributes:
        shape: Spatial shape, n entries.
        lines: [R, n, sum(shape)]: what each index of each output axis adds to the input coordinates, see
            `sampling.sample`.
        field: [R, n, *shape] displacements, voxels, or None.
    """

    shape: tuple[int, ...]
    lines: Tensor
    field: Tensor | None

    def moved(self, move: Callable[[Tensor], Tensor]) -> Warp:
        """The same with its tensors elsewhere."""
        return replace(self, lines=move(self.lines), field=None if self.field is None else move(self.field))

    def change(self, x: Tensor) -> Tensor:
        """Sample all entries at once."""
        grid, outside = self._points
        out = torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=True)
        return out.masked_fill_(outside, 0)

    @cached_property
    def _points(self) -> tuple[Tensor, Tensor]:
        """Where to sample [R, *shape, n], last axis first, and what is outside [R, 1, *shape]; for image and label."""
        n, lengths = len(self.shape), voxels_to_unit(self.shape)
        lines = self.lines.split(self.shape, dim=2)
        grid = self.lines.new_empty((len(self.lines), *self.shape, n))
        outside = torch.zeros(grid.shape[:-1], dtype=torch.bool, device=grid.device)
        for k, size in enumerate(self.shape):
            at = _along(lines[0][:, k], 0, n)
            for j in range(1, n):
                at = at + _along(lines[j][:, k], j, n)
            if self.field is not None:
                at.add_(self.field[:, k], alpha=float(lengths[k]))
            outside |= (at + 1).abs() > SLACK if size == 1 else at.abs() > 1 + SLACK
            grid[..., n - 1 - k] = at
        return grid, outside[:, None]


@dataclass(frozen=True, eq=False, kw_only=True)
class SeparableWarp(Operation):
    """3D affine maps that leave one axis to itself: planes first, then lines along that axis.

    Attributes:
        axis: The axis.
        plane: The maps of the other two.
        lines: [R, size, size], from input to output along the axis.
    """

    axis: int
    plane: Warp
    lines: Tensor

    def moved(self, move: Callable[[Tensor], Tensor]) -> SeparableWarp:
        """The same with its tensors elsewhere."""
        return replace(self, plane=self.plane.moved(move), lines=move(self.lines))

    def change(self, x: Tensor) -> Tensor:
        """Sample the planes, the channels of a 2D batch, and combine them."""
        planes = x.movedim(self.axis + 2, 2)
        shape = planes.shape
        planes = self.plane.change(planes.flatten(1, 2))
        out = self.lines[:, None] @ planes.reshape(*shape[:3], -1)
        return out.reshape(shape).movedim(2, self.axis + 2)


def _along(line: Tensor, axis: int, n: int) -> Tensor:
    """[R, size] shaped to be added along one of n axes."""
    return line.reshape(len(line), *(1,) * axis, -1, *(1,) * (n - 1 - axis))


def _batches(step: Step) -> bool:
    """Whether a step has a version for batches."""
    if isinstance(step, IntensityStep):
        return _function_of(step)[0] in TENSOR_VERSIONS
    return isinstance(step, (WarpStep, FlipStep))


def _function_of(step: IntensityStep) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    """The function of an intensity step and its keyword arguments."""
    change = step.function
    return (change.func, change.keywords) if isinstance(change, partial) else (change, {})


def _rounds(plans: Sequence[Plan]) -> Iterator[tuple[frozenset[str], list[int], list[Any]]]:
    """Steps of one kind with the samples that they are for, in an order that keeps that of every plan."""
    waiting = {row: list(plan.steps) for row, plan in enumerate(plans)}
    while any(waiting.values()):
        heads = {row: _key(*steps[0]) for row, steps in waiting.items() if steps}
        behind = {_key(*entry) for steps in waiting.values() for entry in steps[1:]}
        # What still stands behind something else in another sample can join later.
        chosen = next((key for key in heads.values() if key not in behind), next(iter(heads.values())))
        rows = [row for row, key in heads.items() if key == chosen]
        yield chosen[0], rows, [waiting[row].pop(0)[1] for row in rows]


def _key(kinds: frozenset[str], step: Step) -> tuple[frozenset[str], Hashable]:
    """Equal for steps that one operation can do."""
    if isinstance(step, IntensityStep):
        return kinds, _function_of(step)[0]
    if isinstance(step, FlipStep):
        return kinds, (FlipStep, step.axes)
    assert isinstance(step, WarpStep)
    return kinds, (WarpStep, step.field is None, step.separable_axis)


def _operation(rows: list[int], kinds: frozenset[str], steps: list[Any]) -> Operation:
    first = steps[0]
    if isinstance(first, FlipStep):
        return Flip(kinds=kinds, rows=rows, axes=first.axes)
    if isinstance(first, WarpStep):
        return (_warp if first.separable_axis is None else _separable)(rows, kinds, steps)
    function, keywords = _function_of(first)
    arguments = {name: [_function_of(step)[1][name] for step in steps] for name in keywords}
    return Intensity(kinds=kinds, rows=rows, function=TENSOR_VERSIONS[function], arguments=arguments)


def _warp(rows: list[int], kinds: frozenset[str], steps: list[WarpStep]) -> Warp:
    fields = [step.displacement for step in steps if step.displacement is not None]
    field = torch.from_numpy(np.stack(fields)) if fields else None
    return Warp(kinds=kinds, rows=rows, shape=steps[0].shape_in, lines=_lines(steps), field=field)


def _separable(rows: list[int], kinds: frozenset[str], steps: list[WarpStep]) -> SeparableWarp:
    axis = steps[0].separable_axis
    assert axis is not None
    at = [(float(step.matrix[axis, axis]), float(step.offset[axis])) for step in steps]
    lines = [line_matrix(steps[0].shape_in[axis], scale, shift, 1).astype(np.float32) for scale, shift in at]
    plane = _warp(rows, kinds, [step.plane for step in steps])
    return SeparableWarp(
        kinds=kinds, rows=rows, axis=axis, plane=plane, lines=torch.from_numpy(np.stack(lines))
    )


def _lines(steps: Sequence[WarpStep]) -> Tensor:
    """See `Warp.lines`; the arithmetic is that of `WarpStep.points`, so that both see the same border."""
    shape = steps[0].shape_in
    unit = np.asarray(voxels_to_unit(shape))
    matrices = np.stack([step.matrix for step in steps]) * unit[:, None]
    lines = [matrices[:, :, j, None] * np.arange(size) for j, size in enumerate(shape)]
    lines[0] += (np.stack([step.offset for step in steps]) * unit - 1)[:, :, None]
    return torch.from_numpy(np.concatenate(lines, axis=2).astype(np.float32))
