"""From a chain of transforms to the pictures of what each did: slices, both sides, and what was drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivadomed.transforms import Pipeline
from ivadomed.transforms.stepwise import Arrays, Change, stepwise
from ivadomed.visualize.before_after import View

_LINES = 10  # of the grid that shows how voxels move, along the longer side

_TOLD = {
    "scale": "scale",
    "translation": "shift (voxels)",
    "elastic": "alpha, sigma",
    "offset": "offset",
    "gamma": "exponent",
    "brightness": "factor",
    "contrast_factor": "factor",
    "blur": "sigma (voxels)",
}
"""Draws that a note tells as they are, and what they are called there."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What goes through the transforms.

    Args:
        arrays: [C, H, W, D] by kind; that of ``shown``, with one entry, comes first.
        zooms: mm along H, W, D.
        shown: Kind of what is looked at: "im", or "gt" for a label.
        outlines: Name, kind and index of what is outlined.
        slice_axis: To turn slices upright; None for pictures.
    """

    arrays: Arrays
    zooms: tuple[float, ...]
    shown: str
    outlines: tuple[tuple[str, str, int], ...]
    slice_axis: int | None


@dataclass(frozen=True, eq=False)
class Scene:
    """What one picture shows.

    Args:
        place: Slice of the input.
        count: Transforms so far.
        change: What the last of them did.
        depths: The slice before and after it; None when the arrays are slices already.
    """

    place: int
    count: int
    change: Change
    depths: tuple[int, int] | None = None


def scenes_of(
    subject: Subject, chain: Pipeline, places: Sequence[int], seed: int, is_2d: bool
) -> Iterator[Scene]:
    """Every transform on every slice.

    Args:
        subject: What goes through.
        chain: The transforms.
        places: Slices of the subject.
        seed: Of the random transforms.
        is_2d: Slices go through one by one, each with draws of its own, or the volume as a whole.
    """
    return (_scenes_of_slices if is_2d else _scenes_of_volume)(subject, chain, places, seed)


def _scenes_of_slices(subject: Subject, chain: Pipeline, places: Sequence[int], seed: int) -> Iterator[Scene]:
    for place in places:
        arrays = {kind: np.ascontiguousarray(x[..., place]) for kind, x in subject.arrays.items()}
        changes = stepwise(chain, arrays, subject.zooms[:2], (seed, place))
        for count, change in enumerate(changes, start=1):
            yield Scene(place, count, change)


def _scenes_of_volume(subject: Subject, chain: Pipeline, places: Sequence[int], seed: int) -> Iterator[Scene]:
    now = list(places)
    for count, change in enumerate(stepwise(chain, subject.arrays, subject.zooms, seed), start=1):
        later = [_follow(change.source, depth) for depth in now]
        for place, depths in zip(places, zip(now, later, strict=True), strict=True):
            yield Scene(place, count, change, depths)
        now = later


def _follow(source: np.ndarray | None, depth: int) -> int:
    """The slice that shows most of what the slice `depth` was; see `Change.source`."""
    if source is None:
        return depth
    seen = ~np.isnan(source[2])
    mean = np.nansum(source[2], axis=(0, 1)) / np.maximum(seen.sum(axis=(0, 1)), 1)
    return int(np.argmin(np.where(seen.any(axis=(0, 1)), np.abs(mean - depth), np.inf)))


def views_of(scene: Scene, subject: Subject) -> tuple[View, View]:
    """Both sides of a picture, with a grid where voxels move."""
    change = scene.change
    before, after = (None, None) if scene.depths is None else scene.depths

    def view(arrays: Arrays, zooms: tuple[float, ...], depth: int | None, **marks: np.ndarray | None) -> View:
        outlines = {name: _plane(arrays[kind][index], depth) for name, kind, index in subject.outlines}
        return View(_plane(arrays[subject.shown][0], depth), zooms[:2], outlines, **marks)

    grid_before = grid_after = frame = None
    if change.source is not None and subject.shown in change.stage.applied_to:
        spacing = max(change.own.shape_in[:2]) / _LINES
        grid_before = np.indices(change.own.shape_in[:2], np.float32) / spacing
        grid_after = _plane(change.source, after)[:2] / spacing
        kept = _plane(change.kept, before)
        frame = None if kept.all() else kept
    return (
        view(change.before, change.own.zooms_in, before, grid=grid_before, frame=frame),
        view(change.after, change.own.zooms_out, after, grid=grid_after),
    )


def _plane(x: np.ndarray, depth: int | None) -> np.ndarray:
    return x if depth is None else x[..., depth]


def note_on(change: Change, shown: str, chance: str | None) -> str:
    """What was drawn, and how often it is in a training."""
    if shown not in change.stage.applied_to:
        return f"not applied to {'labels' if shown == 'gt' else 'images'}"
    drawn: dict[str, Any] = {}
    for _, step in change.own.steps:
        drawn |= step.drawn
    parts = [told for told in map(_told, drawn, drawn.values()) if told]
    if not change.own.steps:
        parts.append("changes nothing here")
    if chance is not None:
        parts.append(f"applied with probability {chance} in a training")
    return "; ".join(parts)


def _told(key: str, value: Any) -> str:
    if key == "rotation":
        angle, axes = value
        return f"rotation {math.degrees(angle):.3g}° from axis {axes[0]} to {axes[1]}"
    if key == "low_resolution":
        thickness, axes = value
        return f"voxels {thickness:.3g} times as thick along axes {_listed(axes)}"
    if key == "reverse":
        return f"mirrored axes {_listed([axis for axis, flipped in enumerate(value) if flipped])}"
    if key not in _TOLD:  # what the picture shows, or too long a list
        return ""
    return f"{_TOLD[key]} {_listed(value if isinstance(value, (list, tuple)) else [value])}"


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:.3g}" for number in numbers)
