"""From the configuration to the processing of a case by the loader and the engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ivadomed.loader.conditions import Conditioner, FilmEncoder, present_contrasts, unconditioned
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.slices import CPU, SliceClassifier, SliceRule
from ivadomed.transforms import Pipeline
from ivadomed.transforms.fixed import Anchor

if TYPE_CHECKING:
    from ivadomed.config import RunConfig
    from ivadomed.registry.types import DatasetType


@dataclass(frozen=True)
class WindowDefaults:
    """How a model uses patches if its configuration does not specify it.

    Args:
        blend: Averaging of overlapping patches, see ``windows.BLENDS``.
        anchor: Position of patches larger than the box of a cascade, see ``box_crop``.
    """

    blend: str
    anchor: Anchor


MODEL_OF_2 = WindowDefaults("mean", "corner")
"""Models of ivadomed 2, and packaged models that do not specify it."""
TRAINED = WindowDefaults("gaussian", "center")
"""Newly trained models."""


def recipe_of(config: RunConfig, dataset_type: DatasetType, device: torch.device = CPU) -> Recipe:
    """Fixed steps, windows and filters of "training", "validation" or "testing".

    Args:
        config: Configuration of the run, or of a packaged model.
        dataset_type: Name of the set.
        device: Device where a classifier of slices runs.

    Raises:
        ConfigError: The classifier does not exist.
    """
    loader = config.loader_parameters
    fixed, _ = Pipeline.from_config(config.transforms_for(dataset_type)).split_fixed()
    filters = loader.slice_filter_params
    return Recipe(
        fixed=fixed,
        slice_axis=config.slice_axis_index,
        is_2d=config.is_2d,
        soft_gt=loader.soft_gt,
        slice_filter=SliceRule(
            empty_input=filters.filter_empty_input,
            # Without labels there is nothing to filter by, and test sets are predicted in full.
            empty_mask=filters.filter_empty_mask and dataset_type != "testing",
            absent_class=filters.filter_absent_class and dataset_type != "testing",
            min_roi_voxels=loader.roi_params.slice_filter_roi if fixed.needs_roi else None,
        ),
        classifier=_classifier(config, device),
        length=config.length,
        stride=config.stride,
        anchor=config.object_detection_params.anchor or TRAINED.anchor,
    )


def steps_of(config: RunConfig, dataset_type: DatasetType) -> Pipeline:
    """Transforms per sample of "training", "validation" or "testing"."""
    _, steps = Pipeline.from_config(config.transforms_for(dataset_type)).split_fixed()
    return steps


def uncertain_steps_of(config: RunConfig) -> Pipeline | None:
    """Transforms per Monte Carlo sample: those of testing, or of training if testing has no random ones.

    None if the image is not augmented at test time.
    """
    if not config.uncertainty.aleatoric:
        return None
    testing, training = config.transforms_for("testing"), config.transforms_for("training")
    dataset_type: DatasetType = "training" if testing.keys() < training.keys() else "testing"
    return steps_of(config, dataset_type)


def conditioner_of(config: RunConfig, encoder: FilmEncoder | Path) -> Conditioner:
    """Inputs of a network in addition to the image, as a function of the case.

    Args:
        config: Configuration of a run or a packaged model.
        encoder: Encoder of a FiLM network, or its folder.

    Raises:
        ModelError: The encoder is missing.
    """
    if config.metadata_type is not None:
        return (FilmEncoder.load(encoder) if isinstance(encoder, Path) else encoder).encode
    return present_contrasts if config.network.missing_contrasts else unconditioned


def _classifier(config: RunConfig, device: torch.device) -> SliceClassifier | None:
    """Classifier that rejects slices; it sees the same slices in every set."""
    filters = config.loader_parameters.slice_filter_params
    if not filters.filter_classification or filters.classifier_path is None:
        return None
    return SliceClassifier(Path(filters.classifier_path), steps_of(config, "testing"), device)
