"""Training patches at random places, some of them on the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivadomed.geometry.windows import Window
from ivadomed.loader.prepared.foreground import unpack_foreground
from ivadomed.loader.prepared.stored import StoredCase

Raters = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class RandomPatches:
    """Moves a window to a place drawn anew for every sample.

    With the probability `foreground` its centre is on a labelled voxel: of a class drawn among those that the image
    has, so that a rare class is seen as often as a frequent one. Otherwise every place is as likely as any other.

    Args:
        foreground: Probability, 0 to 1.
        slices: Per case, the slices that take part.
    """

    foreground: float
    slices: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, windows: Sequence[Window], n_cases: int, foreground: float) -> RandomPatches:
        """For the windows that tile the cases; what slices a filter left out stay out."""
        kept: list[set[int]] = [set() for _ in range(n_cases)]
        for window in windows:
            kept[window.case].update(range(window.start[2], window.start[2] + window.size[2]))
        return cls(foreground, tuple(np.array(sorted(slices), int) for slices in kept))

    def place(self, window: Window, raters: Raters, stored: StoredCase, rng: np.random.Generator) -> Window:
        """Draw a place for a window of the case with these ``Case.raters``."""
        shape = stored.volume_shape
        centre = (
            self._labelled_voxel(window.case, raters, stored, rng) if rng.random() < self.foreground else None
        )
        if centre is None:
            slices = self.slices[window.case]
            start = [int(rng.integers(n - size + 1)) for n, size in zip(shape, window.size, strict=True)]
            if window.size[2] == 1:
                start[2] = int(slices[rng.integers(len(slices))])
        else:
            start = [
                min(max(int(c) - size // 2, 0), n - size)
                for c, size, n in zip(centre, window.size, shape, strict=True)
            ]
        return Window(window.case, (start[0], start[1], start[2]), window.size)

    def _labelled_voxel(
        self, index: int, raters: Raters, stored: StoredCase, rng: np.random.Generator
    ) -> np.ndarray | None:
        """Place of a labelled voxel, None if the case has none."""
        packed, slices = stored.facts.foreground, self.slices[index]
        labels = [[packed[rater] for rater in group if packed[rater]] for group in raters]
        classes = [group for group in labels if group]
        while classes:
            group = classes.pop(int(rng.integers(len(classes))))
            voxels = unpack_foreground(group[int(rng.integers(len(group)))], stored.volume_shape)
            voxels = voxels[np.isin(voxels[:, 2], slices)]
            if len(voxels):
                return voxels[int(rng.integers(len(voxels)))]
        return None


def per_image(windows: Sequence[Window], count: int) -> list[Window]:
    """`count` windows of every case that has any; their places do not matter, they are drawn anew."""
    first: dict[int, Window] = {}
    for window in windows:
        first.setdefault(window.case, window)
    return [window for window in first.values() for _ in range(count)]
