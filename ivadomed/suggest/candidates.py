"""Configurations worth comparing for a data set: slices, volumes, and a cascade for large volumes."""

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
    """A configuration to compare with others.

    Args:
        name: "2d", "3d", "3d_lowres" or "3d_cascade".
        reason: Why it is offered.
        choices: Its keys, with a reason each.
        detector: In a cascade, name of the candidate whose packaged model finds the object; None otherwise. The key
            `object_detection_params.object_detection_path` expects that model in the output folder of its run.
        useful_minutes: Shortest useful training in comparison with others; 0 without a budget in minutes.
        prediction_minutes: Duration of the prediction of all images; 0 without a budget in minutes.
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
    """Configurations suited to a data set; the first one is that of `suggest`.

    Args:
        data: The data set.
        machine: Machine for training.
        name: Prefix of the names of models and run folders, which end in `_2d`, `_3d`...
        minutes: Maximum duration of one training; None: the usual duration of a first training.
    """
    first = StudyPlan(data, machine, minutes)
    volumes = first if first.n_axes == 3 else StudyPlan(data, machine, minutes, n_axes=3)
    offered = [*_of_slices_or_volumes(first, volumes)]
    if volumes in (plan for _, _, plan in offered):
        offered += _of_large_volumes(volumes)
    return [_candidate(way, why, plan, name) for way, why, plan in offered]


def _candidate(way: str, why: str, plan: StudyPlan, name: str) -> Candidate:
    detector = _LOWRES if way == _CASCADE else None
    model = f"{name}_{_LOWRES}"  # folder of its run, where it is packaged under the same name
    choices = choices_of(plan, f"{name}_{way}", f"{model}/{model.rpartition('/')[2]}" if detector else None)
    if plan.minutes is None:
        return Candidate(way, why, choices, detector)
    return Candidate(way, why, choices, detector, plan.useful_minutes, plan.prediction_minutes)


_Offer = tuple[str, str, StudyPlan]
"""Name, reason and plan."""


def _of_slices_or_volumes(first: StudyPlan, volumes: StudyPlan) -> Iterator[_Offer]:
    """The variant preferred for the slice thickness, then the other if it can be trained."""
    data = first.data
    depth = float(np.median(first.shapes[:, 2]))
    if first.n_axes == 2:
        yield "2d", first.why_2d, first
        if not data.pictures and depth >= THIN:
            yield "3d", f"images have {depth:.0f} slices, enough for a third dimension", volumes
        return
    yield "3d", "voxels are nearly isotropic, so neighboring slices help", first
    slices = StudyPlan(data, first.machine, first.minutes, n_axes=2)
    if slices.count >= LEAST_SLICES:
        yield "2d", f"{slices.count} slices to train on: a 2D network is fast and sees whole slices", slices


def _of_large_volumes(volumes: StudyPlan) -> Iterator[_Offer]:
    """A low resolution, and a cascade based on it, if a patch covers little of a volume."""
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
    """Coarser voxel size, with fewer voxels by a factor; the finest axes are coarsened first (nnU-Net).

    Args:
        spacing: Voxel size in mm along each axis.
        factor: Voxels before divided by voxels after, at least 1.
    """
    coarser = np.array(spacing, float)
    while coarser.prod() < factor * math.prod(spacing):
        finest = coarser < _ALIKE * coarser.min()
        coarser[finest] *= _STEP
    return tuple(map(float, coarser))


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{mm:.3g}" for mm in spacing)
