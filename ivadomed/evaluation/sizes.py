"""Thresholds of the configuration, given in voxels, mm3 or a ratio, in terms of the objects of one image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ivadomed.config.load import load_config
from ivadomed.config.schema.evaluation import EvaluationParameters, Overlap, RemoveSmallObjects, TargetSize
from ivadomed.postprocessing.objects import minimum_voxels, per_class

_SECTION = "evaluation_parameters"
_ROUNDING = 1e-6


def evaluation_parameters(params: Mapping[str, Any] | EvaluationParameters | None) -> EvaluationParameters:
    """The section ``evaluation_parameters`` of a dictionary; what it leaves out has the schema's default.

    Raises:
        ConfigError: An unknown key or unit, limits that do not increase, or a ratio outside 0..1.
    """
    if isinstance(params, EvaluationParameters):
        return params
    return load_config({_SECTION: dict(params or {})}).evaluation_parameters


def least_overlap(overlap: Overlap | None, voxel_volume: float) -> tuple[int | None, float | None]:
    """Voxels, or fraction, of an object that the other mask must hold for it to count as found: one is None."""
    overlap = overlap or Overlap()
    if overlap.unit == "ratio":
        return None, overlap.thr
    return minimum_voxels(overlap.thr, overlap.unit, voxel_volume, f"{_SECTION}.overlap"), None


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
    measured = sizes if section.unit == "vox" else sizes * voxel_volume
    return np.searchsorted(np.asarray(section.thr) + _ROUNDING, measured) + 1


def size_suffixes(section: TargetSize | None, voxel_volume: float, size_min: int) -> list[str]:
    """Name part of each size range, for example ``_21-100vox`` and ``_101-INFvox``.

    With "mm3" the numbers are rounded voxel counts, as in the columns of ivadomed 2.9.10.
    """
    if section is None:
        return []

    def name(limit: float) -> str:
        return f"{limit:g}" if section.unit == "vox" else str(float(np.round(limit / voxel_volume)))

    lows = [str(size_min), *(name(limit + 1) for limit in section.thr)]
    highs = [*map(name, section.thr), "INF"]
    return [f"_{low}-{high}{section.unit}" for low, high in zip(lows, highs, strict=True)]
