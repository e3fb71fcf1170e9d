"""Scores of one case under every postprocessing variant, with each object labelled once.

Masks are made as by the steps, and their objects counted: the results of ``keep_largest`` and ``remove_small``
follow from the sizes of the objects and their overlap with the truth. Only scores leave this module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivadomed.config.schema.predictions import EvaluationParameters
from ivadomed.evaluation.objects import Objects, Overlaps, least_overlap
from ivadomed.inference.outputs import NOISE_FLOOR
from ivadomed.postprocessing import Postprocessing, fill_holes, keep_largest_object
from ivadomed.postprocessing.objects import FACES, bounding_box, label_objects, minimum_voxels

_NOTHING = (slice(0, 1),) * 3
Steps = Mapping[str, Mapping[str, Any]]
Size = tuple[str, float]
"""Unit and size of the smallest object that is kept."""

ALL_OBJECTS, LARGEST, FIRST_SIZE = 0, 1, 2
"""Index of the objects kept: all, the largest, and from FIRST_SIZE on those of a minimum size."""


@dataclass(frozen=True)
class Variants:
    """Variants to try: each binarization, with and without filled holes, with each choice of objects.

    Args:
        binarizations: Binarization steps, one each.
        sizes: Minimum object sizes.
    """

    binarizations: tuple[Steps, ...]
    sizes: tuple[Size, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of binarizations, of hole options (as is or filled), and of choices of objects."""
        return len(self.binarizations), 2, FIRST_SIZE + len(self.sizes)


@dataclass(frozen=True, eq=False)
class CaseScores:
    """Scores of one case; 1 for two empty masks, as in ``best_threshold``.

    Args:
        subject: Participant.
        voxel_volume: Voxel volume in mm3.
        scores: [2, K, B, 2, O] Dice and lesion-wise F1 of each class and variant, see ``Variants``; NaN where filled
            holes were not tried.
        configured: [2, K] scores with the steps of the configuration.
        n_true: [K] number of true objects.
        size: [K] median size of the true objects in voxels; NaN without any.
        has_holes: [K] True if the true mask has holes.
    """

    subject: str
    voxel_volume: float
    scores: np.ndarray
    configured: np.ndarray
    n_true: np.ndarray
    size: np.ndarray
    has_holes: np.ndarray


@dataclass(frozen=True, eq=False)
class _Truth:
    """The truth of one class, in the box around it and the prediction.

    Args:
        box: Slices of the box in the arrays of the case.
        counted: [X, Y, Z] True at voxels that count; None: all.
        objects: True objects among the voxels that count.
        overlap: Minimum overlap for an object to count as found, see ``least_overlap``.
    """

    box: tuple[slice, ...]
    counted: np.ndarray | None
    objects: Objects
    overlap: tuple[int | None, float | None]

    def dice(self, predicted: np.ndarray, both: np.ndarray) -> np.ndarray:
        """Dice of masks, from their numbers of voxels and of voxels shared with this one."""
        total = np.asarray(predicted + self.objects.sizes.sum(), float)
        return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)

    def lesion_f1(self, overlaps: Overlaps, kept: np.ndarray) -> float:
        """Lesion-wise F1 of the predicted objects for which ``kept`` is true; see ``Evaluation3DMetrics.get_lf1``."""
        right, found = overlaps.of(kept).matches(len(kept), self.objects.sizes, *self.overlap)
        whole = found.sum() + len(found) + (kept & ~right).sum()
        return float(2 * found.sum() / whole) if whole else 1.0

    def under(self, where: np.ndarray) -> Objects:
        """The true objects, labelled only at the voxels of a prediction, where the two overlap."""
        return Objects(self.objects.labels.ravel()[where], self.objects.sizes)


def score_case(
    soft: np.ndarray,
    truth: np.ndarray,
    counted: np.ndarray | None,
    zooms: Sequence[float],
    subject: str,
    variants: Variants,
    steps: Steps,
    try_filled: Sequence[bool],
    params: EvaluationParameters,
) -> CaseScores:
    """Score all variants of one case.

    Args:
        soft: [X, Y, Z, K] in 0..1, before any postprocessing.
        truth: [X, Y, Z, K], thresholded at 0.5.
        counted: [X, Y, Z], False at ignored voxels; None: all voxels count.
        zooms: mm along X, Y, Z.
        subject: Participant.
        variants: Variants to try.
        steps: Postprocessing of the configuration.
        try_filled: [K] False for classes whose holes need not be filled.
        params: Evaluation parameters; they define when an object counts as found.
    """
    soft, truth, counted = _cropped(soft, truth, counted)
    classes, volume = range(soft.shape[3]), float(np.prod(np.asarray(zooms[:3], float)))
    overlap = least_overlap(params.overlap, volume)
    truths = [_truth(soft[..., k], truth[..., k], counted, overlap) for k in classes]
    least = np.array([minimum_voxels(size, unit, volume, "remove_small") for unit, size in variants.sizes])
    scores = np.full((2, len(classes), *variants.shape), np.nan, np.float32)
    for b, binarization in enumerate(variants.binarizations):
        masks = Postprocessing(binarization, soft, zooms, "").apply()
        for k in classes:
            mask = _in_box(masks, truths[k], k)
            scores[:, k, b, 0] = _score_objects(mask, truths[k], least)
            if try_filled[k]:
                filled = fill_holes(mask) != 0
                same = np.array_equal(filled, mask)
                scores[:, k, b, 1] = scores[:, k, b, 0] if same else _score_objects(filled, truths[k], least)
    configured = Postprocessing(steps, soft, zooms, "").apply()
    as_configured = [_score_mask(_in_box(configured, truths[k], k), truths[k]) for k in classes]
    true_masks = [true.objects.labels > 0 for true in truths]
    return CaseScores(
        subject,
        volume,
        scores,
        np.stack(as_configured, axis=1, dtype=np.float32),
        np.array([len(true.objects) for true in truths]),
        np.array([np.median(true.objects.sizes) if len(true.objects) else np.nan for true in truths]),
        np.array([not np.array_equal(fill_holes(mask) != 0, mask) for mask in true_masks]),
    )


def _cropped(
    soft: np.ndarray, truth: np.ndarray, counted: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Crop prediction and truth to the box around both: the first without its noise, the second as booleans."""
    used = np.zeros(soft.shape[:3], bool)
    for k in range(soft.shape[3]):  # all classes at once would need twice the memory
        used |= soft[..., k] > NOISE_FLOOR
        used |= truth[..., k] >= 0.5
    box = bounding_box(used) or _NOTHING
    inner = soft[box]
    return (
        np.where(inner > NOISE_FLOOR, inner, np.zeros((), soft.dtype)),
        truth[box] >= 0.5,
        None if counted is None else np.asarray(counted[box], bool),
    )


def _truth(
    soft: np.ndarray, mask: np.ndarray, counted: np.ndarray | None, overlap: tuple[int | None, float | None]
) -> _Truth:
    box = bounding_box((soft > 0) | mask) or _NOTHING
    inner = None if counted is None else counted[box]
    return _Truth(box, inner, Objects.of(mask[box] if inner is None else mask[box] & inner), overlap)


def _in_box(masks: np.ndarray, truth: _Truth, k: int) -> np.ndarray:
    """Mask of one class, cropped to the box where it can be nonzero."""
    return np.ascontiguousarray(masks[..., k][truth.box] != 0)


def _score_mask(mask: np.ndarray, truth: _Truth) -> np.ndarray:
    """Dice and lesion-wise F1 of an unmodified mask."""
    objects = Objects.of(mask if truth.counted is None else mask & truth.counted)
    where = np.flatnonzero(objects.labels)
    true = truth.under(where)
    overlaps = Overlaps.between(Objects(objects.labels.ravel()[where], objects.sizes), true)
    f1 = truth.lesion_f1(overlaps, np.ones(len(objects), bool))
    return np.array([float(truth.dice(objects.sizes.sum(), (true.labels > 0).sum())), f1])


def _score_objects(mask: np.ndarray, truth: _Truth, least: np.ndarray) -> np.ndarray:
    """[2, O] Dice and lesion-wise F1 with all objects, the largest, and those of at least each ``least`` voxels."""
    where = np.flatnonzero(mask)
    objects = Objects.of(mask)
    own, true = objects.labels.ravel()[where], truth.under(where)
    scores = np.ones((2, FIRST_SIZE + len(least)))
    scores[:, LARGEST] = _score_largest(mask, where, true, truth)
    order = np.argsort(objects.sizes)
    first = np.searchsorted(objects.sizes[order], [0, *least])  # of the objects kept, from small to large
    predicted, both = (
        np.append(np.bincount(labels, minlength=len(objects) + 1)[1:][order][::-1].cumsum()[::-1], 0)
        for labels in (
            own if truth.counted is None else own[truth.counted.ravel()[where]],
            own[true.labels > 0],
        )
    )
    of_sizes = [ALL_OBJECTS, *range(FIRST_SIZE, scores.shape[1])]
    scores[0, of_sizes] = truth.dice(predicted[first], both[first])
    parts, sizes = _parts_that_count(Objects(own, objects.sizes), mask, where, truth)
    overlaps = Overlaps.between(parts, true)
    smallest = {n: objects.sizes[order[n]] if n < len(order) else np.inf for n in np.unique(first)}
    f1 = {n: truth.lesion_f1(overlaps, sizes >= voxels) for n, voxels in smallest.items()}
    scores[1, of_sizes] = [f1[n] for n in first]
    return scores


def _score_largest(mask: np.ndarray, where: np.ndarray, true: Objects, truth: _Truth) -> np.ndarray:
    """Dice and lesion-wise F1 of the largest object."""
    if truth.counted is not None:  # ignored voxels may split it
        return _score_mask(keep_largest_object(mask) != 0, truth)
    labels, count = label_objects(mask, FACES)
    own = labels.ravel()[where]
    stays = own == np.bincount(own, minlength=2)[1:].argmax() + 1
    one = Objects(stays.astype(np.uint32), np.array([stays.sum()][:count]))
    dice = truth.dice(stays.sum(), (true.labels[stays] > 0).sum())
    return np.array([float(dice), truth.lesion_f1(Overlaps.between(one, true), np.ones(len(one), bool))])


def _parts_that_count(
    objects: Objects, mask: np.ndarray, where: np.ndarray, truth: _Truth
) -> tuple[Objects, np.ndarray]:
    """Objects as evaluated, without ignored voxels, and the full size of each.

    Labels are given at the voxels ``where`` of the mask.
    """
    if truth.counted is None:
        return objects, objects.sizes
    parts = Objects.of(mask & truth.counted)
    labels = parts.labels.ravel()[where]
    sizes = np.zeros(len(parts), objects.sizes.dtype)
    sizes[labels[labels > 0] - 1] = objects.sizes[objects.labels[labels > 0] - 1]
    return Objects(labels, parts.sizes), sizes
