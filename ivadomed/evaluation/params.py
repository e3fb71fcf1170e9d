"""The evaluation section of the configuration as typed values."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivadomed.errors import ConfigError
from ivadomed.postprocessing.objects import minimum_voxels, per_class

_LEGACY_KEYS = {"targetSize": "target_size", "removeSmall": "remove_small"}
_KEYS = ("target_size", "overlap", "remove_small", "object_detection_metrics")
_SECTION = "evaluation_parameters"


@dataclass(frozen=True)
class EvaluationParams:
    """What to evaluate.

    Args:
        object_detection: Whether objects are matched and painted.
        size_unit: "vox" or "mm3", of ``size_limits``.
        size_limits: Increasing upper limits (inclusive) of the size ranges; one more range follows the last.
        overlap_vox: Voxels of an object that the other mask must hold for the object to count as found.
        overlap_ratio: The same as a fraction of the object; used when ``overlap_vox`` is None.
        small_unit: "vox" or "mm3", of ``small_limits``.
        small_limits: Objects of fewer voxels (a smaller volume) are removed from both masks first: one
            number, or one per class.
    """

    object_detection: bool = True
    size_unit: str = "vox"
    size_limits: tuple[float, ...] = ()
    overlap_vox: int | None = 3
    overlap_ratio: float | None = None
    small_unit: str = "vox"
    small_limits: float | tuple[float, ...] = 0

    @classmethod
    def parse(cls, params: Mapping[str, Any] | None) -> EvaluationParams:
        """Read the dictionary of the configuration; ``targetSize`` and ``removeSmall`` are old names.

        Raises:
            ConfigError: An unknown key or unit, limits that do not increase, or a ratio outside 0..1.
        """
        params = {_LEGACY_KEYS.get(key, key): value for key, value in (params or {}).items()}
        for key in params:
            if key not in _KEYS:
                near = difflib.get_close_matches(key, _KEYS, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(_KEYS)}"
                raise ConfigError(f"{_SECTION}.{key}: unknown key; {hint}")
        values: dict[str, Any] = {"object_detection": bool(params.get("object_detection_metrics", True))}
        values.update(_parse_sizes(params.get("target_size")))
        values.update(_parse_overlap(params.get("overlap")))
        if params.get("remove_small") is not None:
            unit, thr = _unit_and_thr("remove_small", params["remove_small"], ("vox", "mm3"))
            values["small_unit"] = unit
            values["small_limits"] = tuple(map(float, thr)) if isinstance(thr, (list, tuple)) else float(thr)
        return cls(**values)

    def size_min(self, voxel_volume: float, n_classes: int) -> list[int]:
        """Voxels of the smallest object to keep, per class; 0 keeps all."""
        key = f"{_SECTION}.remove_small"
        limits = per_class(self.small_limits, n_classes, f"{key}.thr")
        return [minimum_voxels(limit, self.small_unit, voxel_volume, key) for limit in limits]

    def size_ranges(self, sizes: np.ndarray, voxel_volume: float) -> np.ndarray:
        """Range number (1, 2, ...) of objects of ``sizes`` voxels."""
        measured = sizes if self.size_unit == "vox" else sizes * voxel_volume
        return np.searchsorted(np.asarray(self.size_limits) + 1e-6, measured) + 1

    def size_suffixes(self, voxel_volume: float, size_min: int) -> list[str]:
        """Name part of each size range, for example ``_21-100vox`` and ``_101-INFvox``.

        With "mm3" the numbers are rounded voxel counts, as in the columns of ivadomed 2.9.10.
        """
        if not self.size_limits:
            return []
        names: list[str] = [str(size_min)]
        lows = [self._size_name(limit + 1, voxel_volume) for limit in self.size_limits]
        highs = [self._size_name(limit, voxel_volume) for limit in self.size_limits]
        pairs = zip(names + lows, [*highs, "INF"], strict=True)
        return [f"_{low}-{high}{self.size_unit}" for low, high in pairs]

    def _size_name(self, limit: float, voxel_volume: float) -> str:
        return f"{limit:g}" if self.size_unit == "vox" else str(float(np.round(limit / voxel_volume)))


def _parse_sizes(section: Mapping[str, Any] | None) -> dict[str, Any]:
    if section is None:
        return {}
    unit, thr = _unit_and_thr("target_size", section, ("vox", "mm3"))
    limits = tuple(thr) if isinstance(thr, (list, tuple)) else (thr,)
    if any(low >= high for low, high in itertools.pairwise(limits)):
        raise ConfigError(f"{_SECTION}.target_size.thr: {list(limits)} does not increase; sort the sizes")
    return {"size_unit": unit, "size_limits": limits}


def _parse_overlap(section: Mapping[str, Any] | None) -> dict[str, Any]:
    if section is None:
        return {}
    unit, thr = _unit_and_thr("overlap", section, ("vox", "ratio"))
    if unit == "vox":
        return {"overlap_vox": int(thr)}
    if not 0 <= thr <= 1:
        raise ConfigError(f"{_SECTION}.overlap.thr: {thr} is no ratio; expected a number from 0 to 1")
    return {"overlap_vox": None, "overlap_ratio": float(thr)}


def _unit_and_thr(key: str, section: Mapping[str, Any], units: tuple[str, str]) -> tuple[str, Any]:
    unit, thr = section.get("unit"), section.get("thr")
    if unit not in units:
        raise ConfigError(
            f'{_SECTION}.{key}.unit: {unit!r} is unknown; expected "{units[0]}" or "{units[1]}"'
        )
    if thr is None:
        raise ConfigError(f"{_SECTION}.{key}.thr: is missing; expected the threshold in {unit}")
    return unit, thr
