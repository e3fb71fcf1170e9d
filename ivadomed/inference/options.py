"""Options of ``segment_volume``, which override settings of a packaged model."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ivadomed.errors import ConfigError
from ivadomed.loader.cases.volumes import pixel_size_mm
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.registry import nearest

log = logging.getLogger(__name__)

_STEPS = ("binarize_prediction", "binarize_maxpooling", "keep_largest", "fill_holes", "remove_small")
_OTHERS = (
    "fname_prior",
    "pixel_size",
    "pixel_size_units",
    "overlap_2D",
    "no_patch",
    "mirror_axes",
    "metadata",
)
_THRESHOLD = 0.5  # for the option given as true, without a number
_ALIKE = 0.8  # similarity of names: "binarise_prediction", but not "largest" for "keep_largest"


def postprocessing_with(options: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, Any]:
    """Postprocessing steps of a model, changed by the options.

    A missing option or None keeps the model's step, a false one (0, False, negative threshold) removes it, and any
    other value sets it. New steps come after those of the model.

    Args:
        options: As given to ``segment_volume``; options other than steps are ignored.
        steps: The model's ``postprocessing`` section.
    """
    result = dict(steps)
    for name in _STEPS:
        value = options.get(name)
        if value is None:
            continue
        result.pop(name, None) if _is_off(value) else result.update({name: _arguments(name, value)})
    return result


def misspelt_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Unknown options that resemble a known one, with that option.

    Toolboxes pass all of their own variables, so unknown options are common; those that are None, or given together
    with the correct one, have no effect.
    """
    found = {}
    for name in options.keys() - {*_STEPS, *_OTHERS}:
        written = str(name).strip().replace("-", "_").replace(" ", "_")
        near = nearest(written, (*_STEPS, *_OTHERS), _ALIKE)
        if near and options[name] is not None and options.get(near) is None:
            found[name] = near
        else:
            log.debug("segment_volume: unknown option %r was ignored.", name)
    return found


def _is_off(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) == 0
    return not value or value == -1


def _arguments(name: str, value: Any) -> dict[str, Any]:
    if name == "binarize_prediction":
        return {"thr": _threshold(value)}
    if name == "remove_small":
        return _size(value)
    return {}


def _threshold(value: Any) -> float:
    try:
        threshold = _THRESHOLD if value is True else float(value)
    except (TypeError, ValueError):
        threshold = math.nan
    if not 0 <= threshold <= 1:
        raise ConfigError(f"binarize_prediction: {value!r} is not a threshold; expected a number from 0 to 1")
    return threshold


def _size(value: Any) -> dict[str, Any]:
    """ "5", 5, ["5mm3"] or ["3vox", "10vox"] (one per class) as arguments of ``remove_small``."""
    texts = [str(v) for v in (value if isinstance(value, (list, tuple)) else [value])]
    unit = "mm3" if "mm3" in texts[-1] else "vox"
    try:
        sizes = [float(text.removesuffix(unit)) for text in texts if text != unit]
    except ValueError:
        raise ConfigError(
            f"remove_small: {value!r} is not a size; expected for example ['5vox'] or ['3mm3']"
        ) from None
    return {"unit": unit, "thr": sizes[0] if len(sizes) == 1 else sizes}


def recipe_with(options: Mapping[str, Any], recipe: Recipe) -> Recipe:
    """Windows of a model, changed by the options ``no_patch`` and ``overlap_2D``.

    Args:
        options: "no_patch": predict whole slices. "overlap_2D": overlap of neighboring 2D patches in voxels, along
            height and width.
        recipe: Recipe of the model.

    Raises:
        ConfigError: The overlap is as large as the patch.
    """
    if not recipe.is_2d or not recipe.length:
        return recipe
    if options.get("no_patch"):
        return replace(recipe, length=(), stride=())
    given = options.get("overlap_2D")
    if given is None or (isinstance(given, Sequence) and not given):
        return recipe
    try:
        overlap = [int(shared) for shared in given]
    except (TypeError, ValueError):
        overlap = []
    if len(overlap) != len(recipe.length) or min(overlap) < 0:
        raise ConfigError(f"overlap_2D: {given!r}; expected voxels (0 or more) along height and width")
    stride = tuple(n - shared for n, shared in zip(recipe.length, overlap, strict=True))
    if min(stride) <= 0:
        raise ConfigError(
            f"overlap_2D: {overlap} must be smaller than the patches of {list(recipe.length)} voxels"
        )
    return replace(recipe, stride=stride)


def mirror_axes_with(options: Mapping[str, Any], axes: Sequence[int] | None, is_2d: bool) -> tuple[int, ...]:
    """Axes of test-time mirroring, changed by the option ``mirror_axes``.

    Args:
        options: "mirror_axes": the axes, [] for none; None keeps those of the model.
        axes: Axes of the model.
        is_2d: Samples have height and width; otherwise also depth.

    Raises:
        ConfigError: A sample has no such axis.
    """
    given = options.get("mirror_axes")
    if given is None:
        return tuple(axes or ())
    there = (0, 1) if is_2d else (0, 1, 2)
    chosen = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    if (
        isinstance(given, bool | int)
        or any(axis not in there for axis in chosen)
        or len(set(chosen)) < len(chosen)
    ):
        raise ConfigError(
            f"mirror_axes: {given!r}; expected some of the axes {list(there)} of the samples of this "
            f"{2 if is_2d else 3}D model (height, width{'' if is_2d else ', depth'}), or [] for none"
        )
    return tuple(sorted(map(int, chosen)))


def pixel_size_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with the pixel size of a picture, from ``pixel_size`` and ``pixel_size_units``."""
    size = options.get("pixel_size")
    if size is None:
        return {}
    metadata = {"PixelSize": size, "PixelSizeUnits": options.get("pixel_size_units") or "mm"}
    pixel_size_mm(metadata, "pixel_size")
    return metadata
