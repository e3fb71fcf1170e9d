"""A chain of transforms one by one, for people who want to see what each of them does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ivadomed.transforms.pipeline import Pipeline, Plan, Stage

Arrays = Mapping[str, np.ndarray]
"""By kind ("im", "gt", "roi"): [C, *spatial], all on one grid."""

_ORDERS = {"im": 2, "gt": 1, "roi": 1}  # of fixed steps; random ones are linear


@dataclass(frozen=True, eq=False)
class Change:
    """What one transform of a chain did to a sample.

    Args:
        stage: The transform.
        own: The steps of this transform alone; none when it drew to do nothing.
        before: The sample after all transforms before this one.
        after: The sample after this one too.
    """

    stage: Stage
    own: Plan
    before: Arrays
    after: Arrays

    @cached_property
    def source(self) -> np.ndarray | None:
        """Coordinates before of what every voxel after shows, [n, *spatial], NaN outside; None if none moved."""
        if not self.stage.transform.geometric or not self.own.steps:
            return None
        shape = self.own.shape_in
        inside = np.ones((1, *shape), np.float32)
        coordinates = np.concatenate([np.indices(shape, np.float32), inside])
        *moved, inside = self.own.apply(coordinates, self._kind, 1)
        return np.where(inside > 0.999, np.stack(moved), np.nan)

    @cached_property
    def kept(self) -> np.ndarray:
        """Which voxels before are inside the field of view after, [*spatial]."""
        whole = np.ones((1, *self.own.shape_out), np.float32)
        return self.own.invert(whole, self._kind, 1)[0] > 0.5

    @property
    def _kind(self) -> str:
        return min(self.stage.applied_to)


def stepwise(chain: Pipeline, arrays: Arrays, zooms: tuple[float, ...], seed: object) -> Iterator[Change]:
    """Yield the changes of a sample in the order of a training: fixed transforms, then those of each sample.

    After the last one the sample is what a training with this seed is given: geometric transforms that stand
    together are one interpolation of what was there before the first of them.

    Args:
        chain: The transforms.
        arrays: The sample; the grid is that of the first.
        zooms: mm along the spatial axes.
        seed: Of the random transforms, whatever `numpy.random.default_rng` takes.
    """
    fixed, random = chain.split_fixed()
    for stage in fixed.stages:
        rng = np.random.default_rng(0)  # fixed transforms draw nothing
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
