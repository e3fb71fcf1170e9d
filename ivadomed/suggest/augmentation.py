"""Normalization and augmentation of a plan, by modality and length of the training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ivadomed.suggest.foreground import Intensities
from ivadomed.suggest.plan import StudyPlan
from ivadomed.suggest.recipe import (
    FULL,
    FULL_AFFINE,
    FULL_FROM_PASSES,
    LIGHT,
    LIGHT_DEGREES,
    LIGHT_SCALE,
    LIGHT_SHIFT,
    MIRROR_P,
    MUCH_PADDING,
)

Entry = tuple[str, Any, str]
"""Key within a section, value, and the reason in words."""

_UNEVEN = 1.05  # ratio of voxel sizes
_TRAINING = {"dataset_type": ["training"]}


def augmentation(plan: StudyPlan) -> Iterator[Entry]:
    """Transforms after resampling and crop.

    CT is normalized before spatial transforms, so that voxels from outside the image get the foreground mean; other
    images are normalized after them, so that those voxels count as zero.
    """
    ct, full = plan.data.foreground.ct, plan.is_long
    if ct is not None:
        reason = f"CT: over the labelled voxels of {ct.images} images (nnU-Net)"
        yield ("ClipAndStandardize", _bounds(ct), reason)
    yield ("RandomAffine", _affine(plan, full) | _TRAINING, _why_affine(plan, full))
    if plan.data.pictures:
        yield ("RandomMirror", {"p": MIRROR_P} | _TRAINING, "micrographs have no upper side")
    elif plan.mirrored:
        sided = "; left and right are different classes" if len(plan.mirrored) < plan.n_axes else ""
        yield ("RandomMirror", {"p": MIRROR_P, "axes": plan.mirrored} | _TRAINING, f"as nnU-Net{sided}")
    if ct is None:
        yield _normalization(plan)
    yield from FULL if full else LIGHT


def _bounds(ct: Intensities) -> dict[str, Any]:
    return {"lower": ct.lower, "upper": ct.upper, "mean": ct.mean, "std": ct.std, "applied_to": ["im"]}


def _affine(plan: StudyPlan, full: bool) -> dict[str, Any]:
    """Rotation and scaling; in mm if voxels are anisotropic."""
    uneven: dict[str, Any] = {"physical": True} if max(plan.spacing) > _UNEVEN * min(plan.spacing) else {}
    if full:
        return FULL_AFFINE | uneven
    affine: dict[str, Any] = {"degrees": LIGHT_DEGREES, "scale": [LIGHT_SCALE] * plan.n_axes}
    return affine | (uneven or {"translate": [LIGHT_SHIFT] * plan.n_axes})


def _why_affine(plan: StudyPlan, full: bool) -> str:
    shown = f"each image is shown {plan.times_shown} times"
    if full:
        return f"{shown}: augmentation is of nnU-Net's strength, from {FULL_FROM_PASSES} times on"
    return f"{shown}, too seldom for augmentation of nnU-Net's strength, which pays from {FULL_FROM_PASSES} times on"


def _normalization(plan: StudyPlan) -> Entry:
    """Per image; over the foreground if there is much padding."""
    reason, arguments = "mean 0 and deviation 1: scanners differ in scale", {"applied_to": ["im"]}
    if plan.padding <= MUCH_PADDING:
        return ("NormalizeInstance", arguments, reason)
    reason += f"; over the voxels above the mean, for {plan.padding:.0%} of a median sample are padding"
    return ("NormalizeInstance", {**arguments, "foreground": True}, reason)
