"""Checks across sections: contradictions, which stop a run, and keys without effect, which cause a warning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ivadomed.config.schema.models import OwnModel
from ivadomed.config.schema.run import SECTIONS, RunConfig
from ivadomed.config.schema.training import CyclicLR, OneCycleLR
from ivadomed.errors import ConfigError


def refusal(place: str, lines: Iterable[str]) -> ConfigError:
    """Error that lists each problem of a configuration once."""
    found = list(dict.fromkeys(lines))
    count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
    return ConfigError("\n".join([f"{place}: {count}", *(f"  {line}" for line in found)]))


def contradictions(config: RunConfig, only_predicts: bool = False) -> list[str]:
    """Contradictions between sections, one line each: full key path, value, expectation, remedy.

    Args:
        config: Configuration whose sections are each valid on their own.
        only_predicts: The configuration is only used for prediction, by a network that already has its arguments.
    """
    several = list(_several_networks(config))
    if several:  # With an ambiguous architecture the other checks would guess.
        return several
    if only_predicts:
        return [*_windows(config), *_mirroring(config), *_crops(config)]
    checks = (
        _windows,
        _mirroring,
        _film,
        _hemis,
        _crops,
        _classifier,
        _loss,
        _random_patches,
        _ignored,
        _steps,
    )
    found = [line for check in checks for line in check(config)]
    # The size of a network makes sense only once the keys that determine it are valid.
    return found or config.network.faults(config)


def _several_networks(config: RunConfig) -> Iterator[str]:
    applied, name = config.applied_networks, config.default_model.name
    if len(applied) > 1:
        yield f"{', '.join(f'{name}.applied' for name in applied)}: are all true; expected at most one"
    elif applied and name not in ("Unet", applied[0]):
        yield (
            f"default_model.name: {name!r} contradicts {applied[0]}.applied true; set the name to 'Unet' or "
            f"{applied[0]!r}, or applied to false"
        )


def _windows(config: RunConfig) -> Iterator[str]:
    kind, place, depth = _kind(config), config.network_place, config.network.fixed_depth
    if kind == "3D" and not config.length:
        yield f"{place}.length_3D: is not set; expected the patch size [height, width, depth] of this 3D model"
    elif depth is not None and all(size <= 2**depth for size in config.length):
        yield (
            f"{place}.length_{kind}: {list(config.length)} leaves a single voxel after {depth} down-samplings; "
            f"expected more than {2**depth} voxels along one axis"
        )
    elif any(step > size for step, size in zip(config.stride, config.length, strict=True)):
        yield (
            f"{place}.stride_{kind}: {list(config.stride)} exceeds length_{kind} {list(config.length)}; expected at "
            "most that"
        )


def _mirroring(config: RunConfig) -> Iterator[str]:
    axes = config.mirror_axes or ()
    if axes and config.task == "classification":
        yield f"mirror_axes: {list(axes)}, but {config.architecture_name} classifies whole slices; set it to null"
    elif config.is_2d and 2 in axes:
        yield (
            f"mirror_axes: {list(axes)}, but samples of this 2D model have the axes 0 (height) and 1 (width) only; "
            "remove 2"
        )


def _kind(config: RunConfig) -> str:
    return "2D" if config.is_2d else "3D"


def _film(config: RunConfig) -> Iterator[str]:
    network, layers = config.network, config.network.film_layers(config)
    if layers is None:
        return
    count = network.count_film_places(config.network_key("depth"))
    if len(layers) != count:
        rule = " (2 * depth + 2)" if network.fixed_depth is None else ""
        yield (
            f"{config.architecture_name}.film_layers: {layers} has {len(layers)} entries; expected {count}{rule}, "
            "each 0 or 1"
        )


def _hemis(config: RunConfig) -> Iterator[str]:
    if config.network.missing_contrasts and not config.loader_parameters.multichannel:
        yield (
            "loader_parameters.multichannel: is false; expected true, "
            f"{config.architecture_name}'s channels are the contrasts"
        )


def _loss(config: RunConfig) -> Iterator[str]:
    n_classes = max(len(config.class_names), 1)
    chosen = getattr(config.training_parameters.loss, "classes_of_interest", None) or (0,)
    if max(chosen) >= n_classes:
        yield (
            f"training_parameters.loss.classes_of_interest: {list(chosen)}; expected "
            f"positions in target_suffix, 0 to {n_classes - 1}"
        )


def _steps(config: RunConfig) -> Iterator[str]:
    n_classes = max(len(config.class_names), 1)
    for name, arguments in config.postprocessing.arguments.items():
        is_own = ":" in name  # a user's step may define "classes" differently
        chosen = (None if is_own else arguments.get("classes")) or (0,)
        if max(chosen) >= n_classes:
            yield (
                f"postprocessing.{name}.classes: {list(chosen)}; expected positions in target_suffix, 0 to "
                f"{n_classes - 1}"
            )


def _crops(config: RunConfig) -> Iterator[str]:
    n_axes = 2 if config.is_2d else 3
    for name, transform in config.transformation.chain.items():
        if transform.crops and len(transform.size) != n_axes:
            yield (
                f"transformation.{name}.size: {list(transform.size)} has {len(transform.size)} entries; expected "
                f"{n_axes} for a {n_axes}D model"
            )
        if transform.needs_roi and config.loader_parameters.roi_params.suffix is None:
            yield (
                "loader_parameters.roi_params.suffix: is null; expected the suffix of the region's file, e.g. "
                f"'_seg-manual', because transformation has {name}"
            )


def _classifier(config: RunConfig) -> Iterator[str]:
    if config.loader_parameters.slice_filter_params.filter_classification and not config.is_2d:
        yield (
            "loader_parameters.slice_filter_params.filter_classification: is true, but the model is 3D and has no "
            "slices; set it to false"
        )


def _random_patches(config: RunConfig) -> Iterator[str]:
    if not config.loader_parameters.random_patch_params.applied:
        return
    place = "loader_parameters.random_patch_params.applied: is true, but"
    if not config.length:
        yield f"{place} the samples are whole slices; set length_2D, or applied to false"
    filters = [name for name, on in config.loader_parameters.patch_filter_params if on]
    if filters:
        yield (
            f"{place} patch_filter_params.{filters[0]} filters tiles, not patches at random positions; set it to false "
            "(random_patch_params.foreground sets how often a patch is centered on a label)"
        )
    balance = config.training_parameters.balance_samples
    if balance.applied and balance.type == "gt":
        yield (
            f"{place} training_parameters.balance_samples balances tiles by their label; set it to false and use "
            "random_patch_params.foreground"
        )


def _ignored(config: RunConfig) -> Iterator[str]:
    label = config.loader_parameters.ignore_label
    if label is None:
        return
    place = f"loader_parameters.ignore_label: is {label!r}, but"
    if config.task == "classification":
        yield f"{place} {config.architecture_name} classifies whole slices; set it to null"
    # Imported here because these modules load torch, which is only needed for ignored voxels.
    from ivadomed.losses import losses_without_mask
    from ivadomed.metrics import metrics_without_mask

    loss = config.training_parameters.loss
    for name in losses_without_mask(loss.name, loss.arguments):
        yield (
            f"{place} the forward of {name} takes no mask of the voxels that count; expected "
            "forward(prediction, target, mask=None), or choose another training_parameters.loss"
        )
    for name in metrics_without_mask(config.evaluation_parameters.metrics):
        yield (
            f"{place} evaluation_parameters.metrics: {name} takes no mask of the voxels that count; expected "
            "(prediction, groundtruth, mask=None), or leave it out"
        )


def idle_keys(config: RunConfig, given: Mapping[str, Any]) -> list[str]:
    """Keys of the user's file that have no effect given the rest of it, one line each.

    Values equal to the default and sections with ``applied: false`` are not reported.

    Args:
        config: The validated configuration.
        given: Content of the user's file, with current key names.
    """
    checks = (_idle_in_loader, _idle_in_training, _idle_elsewhere)
    return [*_idle_networks(config, given), *(line for check in checks for line in check(config))]


def _idle_networks(config: RunConfig, given: Mapping[str, Any]) -> Iterator[str]:
    for section in SECTIONS:
        content = given.get(section)
        if isinstance(content, Mapping) and content and "applied" not in content:
            yield f"{section}: has no effect without applied true"
    if isinstance(config.default_model, OwnModel):
        return
    kind, other = _kind(config), "3D" if config.is_2d else "2D"
    depth = config.network.fixed_depth
    for place in ("default_model", *config.applied_networks):
        content = getattr(config, place)
        for key in (f"length_{other}", f"stride_{other}"):
            if (value := getattr(content, key)) is not None:
                yield f"{place}.{key}: {list(value)} has no effect on a {kind} model"
        if depth is not None and content.depth not in (None, 3, depth):
            name = config.architecture_name
            yield f"{place}.depth: {content.depth} has no effect on {name}, whose depth is {depth}"


def _idle_in_loader(config: RunConfig) -> Iterator[str]:
    place, loader = "loader_parameters", config.loader_parameters
    roi = loader.roi_params
    if not any(step.needs_roi for step in config.transformation.chain.values()):
        if roi.slice_filter_roi is not None:
            yield (
                f"{place}.roi_params.slice_filter_roi: {roi.slice_filter_roi} has no effect without ROICrop in "
                "transformation"
            )
    elif roi.slice_filter_roi is not None and not config.is_2d:
        yield f"{place}.roi_params.slice_filter_roi: {roi.slice_filter_roi} has no effect on a 3D model"
    filters = loader.slice_filter_params
    if filters.classifier_path is not None and not filters.filter_classification:
        yield f"{place}.slice_filter_params.classifier_path: has no effect without filter_classification true"
    if not config.length:
        for key, on in loader.patch_filter_params:
            if on:
                yield f"{place}.patch_filter_params.{key}: has no effect without patches; set length_2D"
    several = loader.multichannel and len(loader.contrast_params.training_validation) != 1
    if loader.is_input_dropout and not several:
        yield f"{place}.is_input_dropout: true has no effect on a single channel"
    if loader.cache_dir is not None and loader.cache not in ("disk", "hdf5"):
        yield f"{place}.cache_dir: has no effect with cache {loader.cache!r}"


def _idle_in_training(config: RunConfig) -> Iterator[str]:
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
    split = config.split_dataset
    if split.n_folds is None and split.fname_split is None and split.fold:
        yield f"split_dataset.fold: {split.fold} has no effect without n_folds"


def _idle_elsewhere(config: RunConfig) -> Iterator[str]:
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
