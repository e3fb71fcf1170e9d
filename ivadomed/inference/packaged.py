"""A packaged model: the folder that a training writes and toolboxes ship."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ivadomed import config as configuration
from ivadomed.inference.backends import OnnxForward, TorchForward, open_model
from ivadomed.inference.engine import Engine, Forward
from ivadomed.inference.options import recipe_with
from ivadomed.loader.recipe import MODEL_OF_2, conditioner_of, recipe_of, steps_of
from ivadomed.models import get_model_filenames
from ivadomed.runtime.device import batch_voxels

if TYPE_CHECKING:
    from ivadomed.config import RunConfig


@dataclass(frozen=True, eq=False)
class PackagedModel:
    """A packaged model, loaded.

    Args:
        config: What prediction takes of its JSON file, see ``config.packaged``.
        file: Its .pt or .onnx file.
        forward: The network.
    """

    config: RunConfig
    file: Path
    forward: TorchForward | OnnxForward


def open_packaged_model(folder: str | os.PathLike[str], device: torch.device) -> PackagedModel:
    """Load a packaged model of any version.

    Raises:
        ConfigError: Prediction needs a key of the JSON file that is wrong.
        ModelError: The folder or its files are absent, or no model.
    """
    file_model, file_config = get_model_filenames(os.fspath(folder))
    forward = open_model(Path(file_model), device)
    config = configuration.load_packaged(file_config, forward)
    return PackagedModel(config, Path(file_model), forward)


def load_packaged_model(folder: str | os.PathLike[str]) -> tuple[RunConfig, Path]:
    """Configuration and model file of a packaged model, see ``open_packaged_model``."""
    model = open_packaged_model(folder, torch.device("cpu"))
    return model.config, model.file


def packaged_engine(
    config: RunConfig,
    file_model: Path,
    device: torch.device,
    options: Mapping[str, Any],
    forward: Forward | None = None,
) -> Engine:
    """Prediction engine of a packaged model.

    Args:
        config: The model's configuration.
        file_model: Its .pt or .onnx file.
        device: Where it runs.
        options: "no_patch" and "overlap_2D", see ``segment_volume``.
        forward: The model, when it is loaded already.
    """
    anchor = config.object_detection_params.anchor or MODEL_OF_2.anchor
    recipe = recipe_with(options, replace(recipe_of(config, "testing", device), anchor=anchor))
    if recipe.fixed.needs_roi:  # what is empty in the prior is not segmented
        least = max(recipe.slice_filter.min_roi_voxels or 0, 1)
        recipe = replace(recipe, slice_filter=replace(recipe.slice_filter, min_roi_voxels=least))
    return Engine(
        recipe=recipe,
        steps=steps_of(config, "testing"),
        forward=forward or open_model(file_model, device),
        n_classes=len(config.loader_parameters.target_suffix),
        batch_size=config.training_parameters.batch_size,
        max_voxels=batch_voxels(device),
        blend=config.blend or MODEL_OF_2.blend,
        conditioner=conditioner_of(config, file_model.parent),
        source=os.fspath(file_model),
    )
