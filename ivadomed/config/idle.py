"""Keys of the user's file that cannot have an effect, given the rest of it.

A value that equals the default says nothing that would be lost, and a section with ``applied: false`` says itself that
it is not used: neither is worth a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ivadomed.config import derived
from ivadomed.config.schema.models import SECTIONS, OwnModel
from ivadomed.config.schema.training import CyclicLR, OneCycleLR

if TYPE_CHECKING:
    from ivadomed.config.schema.run import RunConfig

_MODIFIED_3D_DEPTH = 4


def idle_keys(config: RunConfig, given: Mapping[str, Any]) -> list[str]:
    """Keys without effect, one line each: full path, value, why.

    Args:
        config: The validated configuration.
        given: What the user wrote, with today's names.
    """
    return [*_networks(config, given), *_loader(config), *_training(config), *_rest(config)]


def _networks(config: RunConfig, given: Mapping[str, Any]) -> Iterator[str]:
    name, kind = derived.architecture_name(config), "2D" if derived.is_2d(config) else "3D"
    for section in SECTIONS:
        content = given.get(section)
        if isinstance(content, Mapping) and content and "applied" not in content:
            yield f"{section}: has no effect without applied true"
    if isinstance(config.default_model, OwnModel):
        return
    other = "3D" if kind == "2D" else "2D"
    places = {"default_model": config.default_model}
    if getattr(getattr(config, name, None), "applied", False):
        places[name] = getattr(config, name)
    for place, content in places.items():
        for key in (f"length_{other}", f"stride_{other}"):
            if (value := getattr(content, key)) is not None:
                yield f"{place}.{key}: {list(value)} has no effect on a {kind} model"
        if name == "Modified3DUNet" and content.depth not in (None, 3, _MODIFIED_3D_DEPTH):
            yield f"{place}.depth: {content.depth} has no effect on Modified3DUNet, whose depth is 4"


def _loader(config: RunConfig) -> Iterator[str]:
    place, loader = "loader_parameters", config.loader_parameters
    roi = loader.roi_params
    if "ROICrop" not in config.transformation:
        if roi.slice_filter_roi is not None:
            yield (
                f"{place}.roi_params.slice_filter_roi: {roi.slice_filter_roi} has no effect without ROICrop in "
                "transformation"
            )
    elif roi.slice_filter_roi is not None and not derived.is_2d(config):
        yield f"{place}.roi_params.slice_filter_roi: {roi.slice_filter_roi} has no effect on a 3D model"
    filters = loader.slice_filter_params
    if filters.classifier_path is not None and not filters.filter_classification:
        yield f"{place}.slice_filter_params.classifier_path: has no effect without filter_classification true"
    if not derived.windows(config)[0]:
        for key, on in loader.patch_filter_params.model_dump().items():
            if on:
                yield f"{place}.patch_filter_params.{key}: has no effect without patches; set length_2D"
    several = loader.multichannel and len(loader.contrast_params.training_validation) != 1
    if loader.is_input_dropout and not several:
        yield f"{place}.is_input_dropout: true has no effect on a single channel"
    if loader.cache_dir is not None and loader.cache not in ("disk", "hdf5"):
        yield f"{place}.cache_dir: has no effect with cache {loader.cache!r}"


def _training(config: RunConfig) -> Iterator[str]:
    place, training = "training_parameters", config.training_parameters
    transfer = training.transfer_learning
    if transfer.retrain_model is None:
        if transfer.retrain_fraction != 1:
            yield (
                f"{place}.transfer_learning.retrain_fraction: {transfer.retrain_fraction:g} has no effect without "
                "retrain_model"
            )
        if not transfer.reset:
            yield f"{place}.transfer_learning.reset: false has no effect without retrain_model"
    schedule = training.scheduler.lr_scheduler
    lr = f"{place}.scheduler.lr_scheduler"
    if isinstance(schedule, (CyclicLR, OneCycleLR)) and not schedule.cycle_momentum:
        for key in ("base_momentum", "max_momentum"):
            if (value := getattr(schedule, key)) is not None:
                yield f"{lr}.{key}: {value:g} has no effect without cycle_momentum true"
    if isinstance(schedule, CyclicLR) and schedule.gamma != 1 and schedule.mode != "exp_range":
        yield f"{lr}.gamma: {schedule.gamma:g} has no effect with mode {schedule.mode!r}"
    if config.split_dataset.n_folds is None and config.split_dataset.fold:
        yield f"split_dataset.fold: {config.split_dataset.fold} has no effect without n_folds"


def _rest(config: RunConfig) -> Iterator[str]:
    detection, uncertainty = config.object_detection_params, config.uncertainty
    if detection.object_detection_path is None and set(detection.safety_factor) != {1.0}:
        yield (
            f"object_detection_params.safety_factor: {list(detection.safety_factor)} has no effect without "
            "object_detection_path"
        )
    for key in ("epistemic", "aleatoric"):
        if getattr(uncertainty, key) and not uncertainty.n_it:
            yield f"uncertainty.{key}: true has no effect with n_it 0"
    if uncertainty.n_it and not (uncertainty.epistemic or uncertainty.aleatoric):
        yield f"uncertainty.n_it: {uncertainty.n_it} has no effect without epistemic or aleatoric true"
    evaluation = config.evaluation_parameters
    if not evaluation.object_detection_metrics:
        for key in ("target_size", "overlap"):
            if getattr(evaluation, key) is not None:
                yield f"evaluation_parameters.{key}: has no effect with object_detection_metrics false"
    if not evaluation.surface_metrics and evaluation.surface_tolerance_mm != 1:
        yield (
            f"evaluation_parameters.surface_tolerance_mm: {evaluation.surface_tolerance_mm:g} has no effect with "
            "surface_metrics false"
        )
    for name, step in config.transformation.chain.items():
        for key in ("applied_to", "dataset_type"):
            if getattr(step, key) == ():
                yield f"transformation.{name}: has no effect, its {key} is empty"
