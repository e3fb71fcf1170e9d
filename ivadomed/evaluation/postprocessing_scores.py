"""Scores of one case under every postprocessing that is tried, each object labelled once.

Masks are made as the steps make them, and their objects counted: what ``keep_largest`` and ``remove_small`` leave
follows from the sizes of the objects and the voxels that each shares with the truth. Only scores leave this module.
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
"""Unit and number of the smallest object that stays."""

ALL_OBJECTS, LARGEST, FIRST_SIZE = 0, 1, 2
"""What is kept of the objects: all, the largest, and from FIRST_SIZE on those of a size."""


@dataclass(frozen=True)
class Variants:
    """What is tried: every binarization, with and without holes, with every choice of objects.

    Args:
        binarizations: Steps that make masks, one each.
        sizes: Smallest objects to keep.
    """

    binarizations: tuple[Steps, ...]
    sizes: tuple[Size, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Binarizations, holes as they are or filled, choices of objects."""
        return len(self.binarizations), 2, FIRST_SIZE + len(self.sizes)


@dataclass(frozen=True, eq=False)
class CaseScores:
    """Numbers of one case. Scores of two empty masks are 1, as in ``best_threshold``.

    Args:
        subject: Participant.
        voxel_volume: mm3.
        scores: [2, K, B, 2, O] Dice and lesion-wise F1 of each class and variant, see ``Variants``; NaN where filled
            holes were not tried.
        configured: [2, K] with the steps of the configuration.
        n_true: [K] true objects.
        size: [K] median size of the true objects in voxels; NaN without any.
        has_holes: [K] true masks that have holes.
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
        box: Where it lies in the arrays of the case.
        counted: [X, Y, Z] voxels that count; None: all.
        objects: True objects of what counts.
        overlap: When one counts as found, see ``least_overlap``.
    """

    box: tuple[slice, ...]
    counted: np.ndarray | None
    objects: Objects
    overlap: tuple[int | None, float | None]

    def dice(self, predicted: np.ndarray, both: np.ndarray) -> np.ndarray:
        """Dice of masks with so many voxels, and so many in common with this one."""
        total = np.asarray(predicted + self.objects.sizes.sum(), float)
        return np.where(total > 0, 2 * both / np.maximum(total, 1), 1.0)

    def lesion_f1(self, overlaps: Overlaps, kept: np.ndarray) -> float:
        """Lesion-wise F1 of the predicted objects for which ``kept`` is true; see ``Evaluation3DMetrics.get_lf1``."""
        right, found = overlaps.of(kept).matches(len(kept), self.objects.sizes, *self.overlap)
        whole = found.sum() + len(found) + (kept & ~right).sum()
        return float(2 * found.sum() / whole) if whole else 1.0

    def under(self, where: np.ndarray) -> Objects:
        """The true objects, their labels at the voxels of a prediction only: all that the two have in common."""
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
        truth: [X, Y, Z, K], 0.5 and more is the class.
        counted: [X, Y, Z], False at voxels that do not count; None: all count.
        zooms: mm along X, Y, Z.
        subject: Participant.
        variants: What is tried.
        steps: Postprocessing of the configuration.
        try_filled: [K] False for classes whose holes need not be filled.
        params: When an object counts as found.
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
    """What lies in the box around prediction and truth: the first without its noise, the second as booleans."""
    used = np.zeros(soft.shape[:3], bool)
    for k in range(soft.shape[3]):  # all classes at once would need as much memory again
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
    """Mask of one class, where it can be anything but 0."""
    return np.ascontiguousarray(masks[..., k][truth.box] != 0)


def _score_mask(mask: np.ndarray, truth: _Truth) -> np.ndarray:
    """Dice and lesion-wise F1 of a mask as it is."""
    objects = Objects.of(mask if truth.counted is None else mask & truth.counted)
    where = np.flatnonzero(objects.labels)
    true = truth.under(where)
    overlaps = Overlaps.between(Objects(objects.labels.ravel()[where], objects.sizes), true)
    f1 = truth.lesion_f1(overlaps, np.ones(len(objects), bool))
    return np.array([float(truth.dice(objects.sizes.sum(), (true.labels > 0).sum())), f1])


def _score_objects(mask: np.ndarray, truth: _Truth, least: np.ndarray) -> np.ndarray:
    """[2, O] Dice and lesion-wise F1 with all objects, with the largest, and with those of ``least`` voxels each."""
    where = np.flatnonzero(mask)
    objects = Objects.of(mask)
    own, true = objects.labels.ravel()[where], truth.under(where)
    scores = np.ones((2, FIRST_SIZE + len(least)))
    scores[:, LARGEST] = _score_largest(mask, where, true, truth)
    order = np.argsort(objects.sizes)
    first = np.searchsorted(
        objects.sizes[order], [0, *least]
    )  # of the objects that stay, from small to large
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
    if truth.counted is not None:  # which may cut it into several
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
    """Objects that the evaluation sees, which end where voxels do not count, and the size of the whole of each.

    Labels are those at the voxels ``where`` of the mask.
    """
    if truth.counted is None:
        return objects, objects.sizes
    parts = Objects.of(mask & truth.counted)
    labels = parts.labels.ravel()[where]
    sizes = np.zeros(len(parts), objects.sizes.dtype)
    sizes[labels[labels > 0] - 1] = objects.sizes[objects.labels[labels > 0] - 1]
    return Objects(labels, parts.sizes), sizes
