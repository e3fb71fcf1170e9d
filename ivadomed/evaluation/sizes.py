"""Thresholds of the configuration, given in voxels, mm3 or a ratio, in terms of the objects of one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ivadomed.config.load import load_config
from ivadomed.config.schema.evaluation import EvaluationParameters, Overlap, RemoveSmallObjects, TargetSize
from ivadomed.postprocessing.objects import minimum_voxels, per_class

_SECTION = "evaluation_parameters"


def evaluation_parameters(params: Mapping[str, Any] | EvaluationParameters | None) -> EvaluationParameters:
    """The section ``evaluation_parameters`` of a dictionary; what it leaves out has the schema's default.

    Raises:
        ConfigError: An unknown key or unit, limits that do not increase, or a ratio outside 0..1.
    """
    if isinstance(params, EvaluationParameters):
        return params
    return load_config({_SECTION: dict(params or {})}).evaluation_parameters


def least_overlap(overlap: Overlap | None, voxel_volume: float) -> tuple[int | None, float | None]:
    """Voxels, or fraction, of an object that the other mask must hold for it to count as found: one is None.

    mm3 are rounded to voxels, as those of the size ranges.
    """
    overlap = overlap or Overlap()
    if overlap.unit == "ratio":
        return None, overlap.thr
    return int(np.ceil(overlap.thr) if overlap.unit == "vox" else np.round(overlap.thr / voxel_volume)), None


def smallest_sizes(section: RemoveSmallObjects | None, voxel_volume: float, n_classes: int) -> list[int]:
    """Voxels of the smallest object to keep, per class; 0 keeps all.

    Raises:
        ConfigError: There are neither one threshold nor one per class.
    """
    if section is None:
        return [0] * n_classes
    key = f"{_SECTION}.remove_small"
    limits = per_class(section.thr, n_classes, f"{key}.thr")
    return [minimum_voxels(limit, section.unit, voxel_volume, key) for limit in limits]


def size_ranges(section: TargetSize | None, sizes: np.ndarray, voxel_volume: float) -> np.ndarray:
    """Range number (1, 2, ...) of objects of ``sizes`` voxels; limits belong to the range below them."""
    if section is None:
        return np.ones(len(sizes), int)
    return np.searchsorted(np.array(_limits(section, voxel_volume)), sizes) + 1


def size_suffixes(section: TargetSize | None, voxel_volume: float, size_min: int) -> list[str]:
    """Name part of each size range, for example ``_21-100vox`` and ``_101-INFvox``.

    With "mm3" the numbers are rounded voxel counts, ``_0.0-40.0mm3``. All are those of ivadomed 2.9.10, also where they
    do not describe the range: that of lower ends in mm3 is the limit before it and 1 mm3, and the first one takes the
    voxels of ``remove_small`` for mm3.
    """
    if section is None:
        return []
    in_voxels = section.unit == "vox"

    def name(limit: float) -> str:
        return f"{limit:g}" if in_voxels else str(float(np.round(limit / voxel_volume)))

    lows = [name(size_min), *(name(limit + 1) for limit in section.thr)]
    highs = [*map(name, section.thr), "INF"]
    return [f"_{low}-{high}{section.unit}" for low, high in zip(lows, highs, strict=True)]


def _limits(section: TargetSize, voxel_volume: float) -> list[float]:
    """Voxels of the largest object of each range but the last."""
    if section.unit == "vox":
        return list(section.thr)
    return [float(np.round(limit / voxel_volume)) for limit in section.thr]
