"""A packaged model: the folder that a training writes and toolboxes ship, and the options it is applied with."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ivadomed import config as configuration
from ivadomed.errors import ConfigError
from ivadomed.inference.backends import OnnxForward, TorchForward, open_model
from ivadomed.inference.engine import Engine
from ivadomed.loader.cases.volumes import pixel_size_mm
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.recipe import MODEL_OF_2, conditioner_of, recipe_of, steps_of
from ivadomed.models import get_model_filenames
from ivadomed.registry import nearest
from ivadomed.runtime.device import batch_voxels

if TYPE_CHECKING:
    from ivadomed.config import RunConfig

log = logging.getLogger(__name__)

_STEPS = ("binarize_prediction", "binarize_maxpooling", "keep_largest", "fill_holes", "remove_small")
_OTHERS = ("fname_prior", "pixel_size", "pixel_size_units", "overlap_2D", "no_patch", "metadata")
_WHOLE_SLICES = "predict whole slices with --no-patch (option no_patch of segment_volume)"
_PADDED = "pad the image, or add CenterCrop to transformation in {}, which pads too"
_THRESHOLD = 0.5  # of the option that says yes and not how
_ALIKE = 0.8  # of letters in common: "binarise_prediction", but not "largest" for "keep_largest"


@dataclass(frozen=True, eq=False)
class PackagedModel:
    """A packaged model, loaded.

    Args:
        config: Part of its JSON file that prediction takes, see ``config.packaged``.
        file: Its .pt or .onnx file.
        forward: The network.
        device: Device of the network.
    """

    config: RunConfig
    file: Path
    forward: TorchForward | OnnxForward
    device: torch.device

    @classmethod
    def open(cls, folder: str | os.PathLike[str], device: torch.device) -> PackagedModel:
        """Load a packaged model of any version.

        Raises:
            ConfigError: Prediction needs a key of the JSON file that is wrong.
            ModelError: The folder or its files are absent, or no model.
        """
        file_model, file_config = get_model_filenames(os.fspath(folder))
        forward = open_model(Path(file_model), device)
        config = configuration.load_packaged(file_config, forward)
        return cls(config, Path(file_model), forward, device)

    def engine(self, options: Mapping[str, Any] | None = None) -> Engine:
        """Prediction engine; ``options`` are "no_patch" and "overlap_2D", see ``segment_volume``."""
        config = self.config
        anchor = config.object_detection_params.anchor or MODEL_OF_2.anchor
        recipe = replace(recipe_of(config, "testing", self.device), anchor=anchor)
        recipe = recipe_with(options or {}, recipe)
        if recipe.fixed.needs_roi:  # what is empty in the prior is not segmented
            least = max(recipe.slice_filter.min_roi_voxels or 0, 1)
            recipe = replace(recipe, slice_filter=replace(recipe.slice_filter, min_roi_voxels=least))
        return Engine(
            recipe=recipe,
            steps=steps_of(config, "testing"),
            forward=self.forward,
            n_classes=len(config.loader_parameters.target_suffix),
            batch_size=config.training_parameters.batch_size,
            max_voxels=batch_voxels(self.device),
            blend=config.blend or MODEL_OF_2.blend,
            conditioner=conditioner_of(config, self.file.parent),
            source=os.fspath(self.file),
            patch_remedy=_WHOLE_SLICES if recipe.is_2d else _PADDED.format(self.file.with_suffix(".json")),
        )


def postprocessing_with(options: Mapping[str, Any], steps: Mapping[str, Any]) -> dict[str, Any]:
    """Postprocessing steps of a model, changed by the options.

    An option that is absent or None keeps the model's step, a false one (0, False, negative threshold) removes
    it, any other sets it. New steps come after those of the model.

    Args:
        options: As given to ``segment_volume``; others than those of steps are ignored.
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
    """Unknown options that look like one of ours, and which.

    Toolboxes pass on all of their own variables, so that unknown options are the rule; those that are None, or that
    stand beside the right one, change nothing.
    """
    found = {}
    for name in options.keys() - {*_STEPS, *_OTHERS}:
        written = str(name).strip().replace("-", "_").replace(" ", "_")
        near = nearest(written, (*_STEPS, *_OTHERS), _ALIKE)
        if near and options[name] is not None and options.get(near) is None:
            found[name] = near
        else:
            log.debug("segment_volume: option %r is not one of ours and was ignored.", name)
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
        raise ConfigError(f"binarize_prediction: {value!r} is no threshold; expected a number from 0 to 1")
    return threshold


def _size(value: Any) -> dict[str, Any]:
    """ "5", 5, ["5mm3"] or ["3vox", "10vox"] (one per class) as arguments of ``remove_small``."""
    texts = [str(v) for v in (value if isinstance(value, (list, tuple)) else [value])]
    unit = "mm3" if "mm3" in texts[-1] else "vox"
    try:
        sizes = [float(text.removesuffix(unit)) for text in texts if text != unit]
    except ValueError:
        raise ConfigError(
            f"remove_small: {value!r} is no size; expected for example ['5vox'] or ['3mm3']"
        ) from None
    return {"unit": unit, "thr": sizes[0] if len(sizes) == 1 else sizes}


def recipe_with(options: Mapping[str, Any], recipe: Recipe) -> Recipe:
    """Windows of a model, changed by the options ``no_patch`` and ``overlap_2D``.

    Args:
        options: "no_patch": predict whole slices. "overlap_2D": voxels that neighbouring 2D patches share, along
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


def pixel_size_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata that give a picture its voxel size, from ``pixel_size`` and ``pixel_size_units``."""
    size = options.get("pixel_size")
    if size is None:
        return {}
    metadata = {"PixelSize": size, "PixelSizeUnits": options.get("pixel_size_units") or "mm"}
    pixel_size_mm(metadata, "pixel_size")
    return metadata
