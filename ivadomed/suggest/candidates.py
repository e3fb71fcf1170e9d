"""Configurations for one data set that are worth comparing: slices, volumes, and a cascade for large volumes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivadomed.suggest.choices import Choice, choices_of, tree
from ivadomed.suggest.plan import StudyPlan
from ivadomed.suggest.recipe import CASCADE_BOX, LEAST_SLICES, LOWRES_SHOWS, SMALL_PATCH
from ivadomed.suggest.sizes import THIN, Machine
from ivadomed.suggest.survey import Survey

_LOWRES, _CASCADE = "3d_lowres", "3d_cascade"
_STEP, _ALIKE = 1.03, 1.05  # of a voxel size; within the second factor axes are coarsened together


@dataclass(frozen=True)
class Candidate:
    """A configuration to be compared with others.

    Args:
        name: "2d", "3d", "3d_lowres" or "3d_cascade".
        reason: Why it is offered, in words.
        choices: Its keys, with a reason each.
        detector: Name of the candidate whose packaged model finds the object, in a cascade; None otherwise. The key
            `object_detection_params.object_detection_path` expects that model in the output folder of its run.
        useful_minutes: Shortest training that is of use compared with others; 0 without a budget in minutes.
        prediction_minutes: What the prediction of all images takes; 0 without a budget in minutes.
    """

    name: str
    reason: str
    choices: Sequence[Choice]
    detector: str | None = None
    useful_minutes: float = 0.0
    prediction_minutes: float = 0.0

    @property
    def tree(self) -> dict[str, Any]:
        """The configuration."""
        return tree(self.choices)


def candidates(data: Survey, machine: Machine, name: str, minutes: float | None = None) -> list[Candidate]:
    """Configurations that suit a data set; the first one is what `suggest` gives.

    Args:
        data: The data set.
        machine: Where they will be trained.
        name: Beginning of the names of the models and of the folders of the runs, which end in `_2d`, `_3d`...
        minutes: Minutes that one training may take; None for as long as a first training usually does.
    """
    first = StudyPlan(data, machine, minutes)
    volumes = first if first.n_axes == 3 else StudyPlan(data, machine, minutes, n_axes=3)
    offered = [*_of_slices_or_volumes(first, volumes)]
    if volumes in (plan for _, _, plan in offered):
        offered += _of_large_volumes(volumes)
    return [_candidate(way, why, plan, name) for way, why, plan in offered]


def _candidate(way: str, why: str, plan: StudyPlan, name: str) -> Candidate:
    detector = _LOWRES if way == _CASCADE else None
    model = f"{name}_{_LOWRES}"  # of its run, in which it is packaged under the same name
    choices = choices_of(plan, f"{name}_{way}", f"{model}/{model.rpartition('/')[2]}" if detector else None)
    if plan.minutes is None:
        return Candidate(way, why, choices, detector)
    return Candidate(way, why, choices, detector, plan.useful_minutes, plan.prediction_minutes)


_Offer = tuple[str, str, StudyPlan]
"""Name, reason, and what is trained."""


def _of_slices_or_volumes(first: StudyPlan, volumes: StudyPlan) -> Iterator[_Offer]:
    """What the thickness of the slices prefers, then the other where it can be trained."""
    data = first.data
    depth = float(np.median(first.shapes[:, 2]))
    if first.n_axes == 2:
        yield "2d", first.why_2d, first
        if not data.pictures and depth >= THIN:
            yield "3d", f"images have {depth:.0f} slices, enough for a third dimension", volumes
        return
    yield "3d", "voxels are nearly as deep as wide, so that neighbouring slices help", first
    slices = StudyPlan(data, first.machine, first.minutes, n_axes=2)
    if slices.count >= LEAST_SLICES:
        yield "2d", f"{slices.count} slices to train on: a 2D network is fast and sees all of each", slices


def _of_large_volumes(volumes: StudyPlan) -> Iterator[_Offer]:
    """A low resolution, and a cascade on it, where a patch shows little of a volume."""
    data, machine, minutes = volumes.data, volumes.machine, volumes.minutes
    median, patch = np.median(volumes.resampled, axis=0), math.prod(volumes.samples.size)
    shown = patch / median.prod()
    if shown >= SMALL_PATCH:
        return
    spacing = lowered(volumes.spacing, median.prod() * LOWRES_SHOWS / patch)
    low = StudyPlan(data, machine, minutes, n_axes=3, spacing=spacing)
    why = f"a patch shows {shown:.2%} of the median image; at {_mm(low.spacing)} mm it shows about {LOWRES_SHOWS:.0%}"
    yield _LOWRES, why, low
    cascade = StudyPlan(data, machine, minutes, n_axes=3, in_boxes=True)
    if not len(cascade.boxes):
        return
    part = np.median(cascade.boxes, axis=0).prod() / median.prod()
    if part <= CASCADE_BOX:
        why = f"boxes around the labels take {part:.1%} of an image; 3d_lowres finds them"
        yield _CASCADE, why, cascade


def lowered(spacing: Sequence[float], factor: float) -> tuple[float, ...]:
    """Coarser voxels, of which a volume has fewer by a factor: the finest axes are coarsened first (nnU-Net).

    Args:
        spacing: mm along each axis.
        factor: Voxels before, divided by voxels after; 1 at least.
    """
    coarser = np.array(spacing, float)
    while coarser.prod() < factor * math.prod(spacing):
        finest = coarser < _ALIKE * coarser.min()
        coarser[finest] *= _STEP
    return tuple(map(float, coarser))


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{mm:.3g}" for mm in spacing)
