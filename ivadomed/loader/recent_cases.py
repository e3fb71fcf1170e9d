"""Prepared cases in memory, the last used ones only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivadomed.loader.cache import Entry, StoredCase
from ivadomed.loader.case import Case
from ivadomed.loader.prepare import Prepared, Recipe, prepare_case, read_window
from ivadomed.windows import Window


class RecentCases:
    """Prepares cases when they are needed and keeps the last used ones.

    Args:
        cases: The cases.
        recipe: Fixed steps.
        budget: Bytes of voxels to keep; the case in use is kept in any case.
    """

    def __init__(self, cases: Sequence[Case], recipe: Recipe, budget: int) -> None:
        self.cases, self.recipe, self.budget = tuple(cases), recipe, budget
        self._held: OrderedDict[int, Prepared] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        """Worker processes start empty."""
        return {**vars(self), "_held": OrderedDict()}

    def prepared(self, place: int) -> Prepared:
        """The case at ``place``."""
        if place not in self._held:
            new = prepare_case(self.cases[place], self.recipe)
            self._held[place] = new
            held = sum(map(size_of, self._held.values()))
            while held > self.budget and len(self._held) > 1:
                held -= size_of(self._held.popitem(last=False)[1])
        self._held.move_to_end(place)
        return self._held[place]

    def entry(self, place: int) -> Entry:
        """The case at ``place`` as samples are read from it; prepares it once to know its shape."""
        prepared = self.prepared(place)
        assert prepared.target is not None  # cases are prepared with their labels
        shapes = prepared.image.shape, prepared.target.shape
        stored = StoredCase(*shapes, prepared.target.dtype.name, prepared.facts, prepared.zooms)
        return Entry(stored, _Reader(self, place))


def size_of(prepared: Prepared) -> int:
    """Bytes of the voxels of a prepared case."""
    return prepared.image.nbytes + (0 if prepared.target is None else prepared.target.nbytes)


@dataclass(frozen=True, eq=False)
class _Reader:
    recent: RecentCases
    place: int

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        prepared = self.recent.prepared(self.place)
        assert prepared.target is not None
        arrays = (
            read_window(array, window, self.recent.recipe.is_2d) for array in (prepared.image, prepared.target)
        )
        image, target = (np.array(array, np.float32) for array in arrays)
        return image, target
