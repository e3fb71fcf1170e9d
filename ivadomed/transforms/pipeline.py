"""Transform pipelines: an ordered list of transforms, and the steps they draw for a sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ivadomed.errors import ConfigError, DataError
from ivadomed.transforms.base import ImedTransform, build
from ivadomed.transforms.steps import IGNORE, KINDS, Frame, IdentityStep, Step
from ivadomed.transforms.warp import fuse

ALL_KINDS = frozenset(KINDS)


@dataclass(frozen=True)
class Stage:
    """One transform of a pipeline.

    Attributes:
        transform: The transform.
        applied_to: Kinds of arrays it changes, from "im", "gt", "roi".
    """

    transform: ImedTransform
    applied_to: frozenset[str] = ALL_KINDS


@dataclass(frozen=True)
class Plan:
    """Steps drawn for one sample, with the kinds of arrays each changes.

    Attributes:
        steps: Pairs (kinds, step) in order of application.
        shape_in: Spatial shape before.
        zooms_in: Voxel size before, mm.
    """

    steps: tuple[tuple[frozenset[str], Step], ...]
    shape_in: tuple[int, ...]
    zooms_in: tuple[float, ...]

    @property
    def shape_out(self) -> tuple[int, ...]:
        """Spatial shape after all steps."""
        return self.steps[-1][1].shape_out if self.steps else self.shape_in

    @property
    def zooms_out(self) -> tuple[float, ...]:
        """Voxel size after all steps, mm."""
        return self.steps[-1][1].zooms_out if self.steps else self.zooms_in

    def apply(self, x: np.ndarray, kind: str, order: int) -> np.ndarray:
        """Transform an array.

        Args:
            x: `[C, *shape_in]`.
            kind: "im", "gt", "roi" or "ignore".
            order: 2 image, 1 binary or soft label, 0 integer map.

        Returns:
            `[C, *shape_out]`

        Raises:
            DataError: `x` is on another grid than the plan.
        """
        return self.apply_all({kind: x}, order)[kind]

    def apply_all(self, arrays: Mapping[str, np.ndarray], order: int) -> dict[str, np.ndarray]:
        """Transform the arrays of one sample, jointly where that is cheaper.

        Args:
            arrays: ``{kind: [C, *shape_in]}``, see `apply`.
            order: See `apply`; the same for all arrays.

        Returns:
            ``{kind: [C, *shape_out]}``
        """
        done = dict(arrays)
        for x in done.values():
            _check_shape(x, self.shape_in)
        for kinds, step in self.steps:
            met = [kind for kind in done if kind in kinds]
            if step.pooled and len(met) > 1 and len({done[kind].dtype for kind in met}) == 1:
                together = step.apply(np.concatenate([done[kind] for kind in met]), order)
                first = 0
                for kind in met:
                    last = first + len(done[kind])
                    done[kind], first = together[first:last], last
            else:
                for kind in met:
                    done[kind] = step.apply_as(done[kind], kind, order)
        return done

    def then(self, step: Step, kinds: frozenset[str]) -> Plan:
        """The plan with one more step at the end."""
        return replace(self, steps=(*self.steps, (kinds, step)))

    def invert(self, x: np.ndarray, kind: str, order: int) -> np.ndarray:
        """Map `[C, *shape_out]` back to `[C, *shape_in]`: invert the geometric steps, last first."""
        _check_shape(x, self.shape_out)
        for kinds, step in reversed(self.steps):
            if kind in kinds and step.invertible:
                x = step.invert(x, order)
        return x


@dataclass(frozen=True)
class Pipeline:
    """Ordered transforms of one stage of data processing.

    Attributes:
        stages: The transforms with the kinds they apply to.
    """

    stages: tuple[Stage, ...] = ()

    @property
    def needs_roi(self) -> bool:
        """True if one of the transforms reads the region of interest."""
        return any(stage.transform.needs_roi for stage in self.stages)

    @classmethod
    def from_config(cls, transforms: Mapping[str, Mapping[str, Any] | ImedTransform | None]) -> Pipeline:
        """Build from ``{name: arguments}``; ``applied_to`` selects kinds, ``dataset_type`` is ignored.

        A transform may be given instead of arguments; see `base.build` for the names.

        Raises:
            ConfigError: Unknown name, argument or kind, or a value out of range.
        """
        return cls(tuple(_stage(name, arguments) for name, arguments in transforms.items()))

    def split_fixed(self) -> tuple[Pipeline, Pipeline]:
        """Return the transforms applied once per case, and those drawn again for every sample.

        Resampling and crops come first regardless of their position in the file, as in ivadomed 2.9.10.
        """
        fixed = tuple(s for s in self.stages if s.transform.fixed)
        rest = tuple(s for s in self.stages if not s.transform.fixed)
        return Pipeline(fixed), Pipeline(rest)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Plan:
        """Draw the steps for one sample; adjacent geometric steps are fused into one interpolation.

        Args:
            shape: Spatial shape of the sample.
            zooms: Voxel size, mm.
            rng: Random generator.
            roi: Mask `[*shape]` or `[C, *shape]`, used by crops around a region of interest.
        """
        mask = None if roi is None else (roi if roi.ndim > len(shape) else roi[None])
        frame = Frame(tuple(shape), tuple(zooms), mask)
        steps: list[tuple[frozenset[str], Step]] = []
        for i, stage in enumerate(self.stages, start=1):
            step = stage.transform.plan(frame, rng)
            if isinstance(step, IdentityStep):
                continue
            if mask is not None and "roi" in stage.applied_to and Pipeline(self.stages[i:]).needs_roi:
                mask = step.apply(mask, 1)
            moves_label = "gt" in stage.applied_to and step.invertible
            _append(steps, stage.applied_to | {IGNORE} if moves_label else stage.applied_to, step)
            frame = Frame(step.shape_out, step.zooms_out, mask)
        return Plan(tuple(steps), tuple(shape), tuple(zooms))


def _append(steps: list[tuple[frozenset[str], Step]], kinds: frozenset[str], step: Step) -> None:
    """Add a step, fused with the last one if both are coordinate maps of the same kinds."""
    if steps and steps[-1][0] == kinds:
        joined = fuse(steps[-1][1], step)
        if joined is not None:
            steps[-1] = (kinds, joined)
            return
    steps.append((kinds, step))


def _stage(name: str, arguments: Mapping[str, Any] | ImedTransform | None) -> Stage:
    if isinstance(arguments, ImedTransform):
        return Stage(arguments, arguments.default_kinds)
    arguments = arguments or {}
    transform = build(name, arguments)
    listed = arguments.get("applied_to") or transform.default_kinds
    kinds = frozenset([listed] if isinstance(listed, str) else listed)
    if not kinds <= ALL_KINDS:
        raise ConfigError(
            f"transformation.{name}.applied_to: {sorted(kinds - ALL_KINDS)}; use 'im', 'gt', 'roi'"
        )
    if not transform.fixed:
        return Stage(transform, kinds)
    if not {"im", "gt"} <= kinds:
        raise ConfigError(
            f"transformation.{name}.applied_to: {sorted(kinds)}; it changes the grid, "
            "which image and label share: remove applied_to"
        )
    return Stage(transform)


def _check_shape(x: np.ndarray, shape: tuple[int, ...]) -> None:
    if x.shape[1:] != shape:
        raise DataError(f"array of shape {x.shape[1:]} (after the leading axis) given to a plan for {shape}")


Arrays = Mapping[str, np.ndarray]
"""By kind ("im", "gt", "roi"): [C, *spatial], all on one grid."""

_ORDERS = {"im": 2, "gt": 1, "roi": 1}  # for fixed steps; random ones are linear


@dataclass(frozen=True, eq=False)
class Change:
    """Effect of one transform of a chain on a sample.

    Args:
        stage: The transform.
        own: The steps of this transform alone; empty if the random draw skipped it.
        before: The sample after all transforms before this one.
        after: The sample after this one.
    """

    stage: Stage
    own: Plan
    before: Arrays
    after: Arrays

    @cached_property
    def source(self) -> np.ndarray | None:
        """Input coordinates of every output voxel, [n, *spatial], NaN outside; None if no voxel moved."""
        if not self.stage.transform.geometric or not self.own.steps:
            return None
        shape = self.own.shape_in
        inside = np.ones((1, *shape), np.float32)
        coordinates = np.concatenate([np.indices(shape, np.float32), inside])
        *moved, inside = self.own.apply(coordinates, self._kind, 1)
        return np.where(inside > 0.999, np.stack(moved), np.nan)

    @cached_property
    def kept(self) -> np.ndarray:
        """True at input voxels inside the output field of view, [*spatial]."""
        whole = np.ones((1, *self.own.shape_out), np.float32)
        return self.own.invert(whole, self._kind, 1)[0] > 0.5

    @property
    def _kind(self) -> str:
        return min(self.stage.applied_to)


def stepwise(chain: Pipeline, arrays: Arrays, zooms: tuple[float, ...], seed: object) -> Iterator[Change]:
    """Yield the changes of a sample in training order: fixed transforms, then those per sample.

    After the last one, the sample equals the training input for this seed: adjacent geometric transforms are a
    single interpolation of their common input.

    Args:
        chain: The transforms.
        arrays: The sample; the first one defines the grid.
        zooms: mm along the spatial axes.
        seed: Seed of the random transforms, as accepted by `numpy.random.default_rng`.
    """
    fixed, random = chain.split_fixed()
    for stage in fixed.stages:
        rng = np.random.default_rng(0)  # fixed transforms are not random
        own = Pipeline((stage,)).plan(_shape(arrays), zooms, rng, arrays.get("roi"))
        after = {kind: own.apply(x, kind, _ORDERS[kind]) for kind, x in arrays.items()}
        yield Change(stage, own, arrays, after)
        arrays, zooms = after, own.zooms_out
    shape, before = _shape(arrays), arrays
    for count, stage in enumerate(random.stages):
        rng = np.random.default_rng(seed)  # type: ignore[arg-type]
        so_far = Pipeline(random.stages[:count]).plan(shape, zooms, rng)
        own = Pipeline((stage,)).plan(so_far.shape_out, so_far.zooms_out, rng)
        whole = Pipeline(random.stages[: count + 1]).plan(shape, zooms, np.random.default_rng(seed))  # type: ignore[arg-type]
        after = {kind: whole.apply(x, kind, 1) for kind, x in arrays.items()}
        yield Change(stage, own, before, after)
        before = after


def _shape(arrays: Arrays) -> tuple[int, ...]:
    return next(iter(arrays.values())).shape[1:]
