"""Prepared cases in memory, the last used ones only."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ivadomed.geometry.windows import Window
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.cache import Entry
from ivadomed.loader.prepared.prepare import Recipe, prepare_case, read_window
from ivadomed.loader.prepared.stored import StoredCase, arrays_of

Held: TypeAlias = tuple[StoredCase, np.ndarray, np.ndarray]


class RecentCases:
    """Prepares cases when they are needed and keeps the last used ones.

    Args:
        cases: The cases.
        recipe: Fixed steps.
        budget: Bytes of voxels to keep; the case in use is kept in any case.
    """

    def __init__(self, cases: Sequence[Case], recipe: Recipe, budget: int) -> None:
        self.cases, self.recipe, self.budget = tuple(cases), recipe, budget
        self._held: OrderedDict[int, Held] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        """Worker processes start empty."""
        return {**vars(self), "_held": OrderedDict()}

    def arrays(self, place: int) -> Held:
        """Facts, image and target of the case at ``place``."""
        if place not in self._held:
            self._held[place] = arrays_of(prepare_case(self.cases[place], self.recipe), self.recipe.is_2d)
            held = sum(map(size_of, self._held.values()))
            while held > self.budget and len(self._held) > 1:
                held -= size_of(self._held.popitem(last=False)[1])
        self._held.move_to_end(place)
        return self._held[place]

    def entry(self, place: int) -> Entry:
        """The case at ``place`` as samples are read from it; prepares it once to know its shape."""
        return Entry(self.arrays(place)[0], _Reader(self, place))


def size_of(held: Held) -> int:
    """Bytes of the voxels of a prepared case."""
    _, image, target = held
    return image.nbytes + target.nbytes


@dataclass(frozen=True, eq=False)
class _Reader:
    recent: RecentCases
    place: int

    def __call__(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        is_2d = self.recent.recipe.is_2d
        _, *arrays = self.recent.arrays(self.place)
        image, target = (np.array(read_window(array, window, is_2d), np.float32) for array in arrays)
        return image, target
