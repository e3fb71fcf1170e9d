"""Checks across sections: every key is valid by itself, but together they make no sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ivadomed.config import derived
from ivadomed.config.schema.losses import MultiClassDiceLoss
from ivadomed.config.schema.transforms import Crop
from ivadomed.errors import ModelError

if TYPE_CHECKING:
    from ivadomed.config.schema.run import RunConfig


PREDICTION: Final = "prediction"
"""Validation context of a configuration that only predicts, with a network that has its arguments already."""


def problems(config: RunConfig, context: str | None = None) -> list[str]:
    """Contradictions between sections, one line each: full key path, value, expectation, remedy.

    Args:
        config: Of which every section is valid by itself.
        context: `PREDICTION`, or None for a configuration that is trained.
    """
    several = _architecture_choice(config)
    if several:  # With an ambiguous architecture the other checks would guess.
        return several
    if context == PREDICTION:
        return [*_windows(config), *_crops(config)]
    found = [
        *_windows(config),
        *_film(config),
        *_hemis(config),
        *_crops(config),
        *_classifier(config),
        *_loss(config),
        *_random_patches(config),
    ]
    # What it follows from must be right before the size of a network makes sense.
    return found or _residual(config)


def _architecture_choice(config: RunConfig) -> list[str]:
    chosen = derived.applied_sections(config)
    if len(chosen) > 1:
        return [f"{', '.join(f'{name}.applied' for name in chosen)}: are all true; expected at most one"]
    name = config.default_model.name
    if chosen and name not in ("Unet", chosen[0]):
        return [
            f"default_model.name: {name!r} contradicts {chosen[0]}.applied true; set the name to 'Unet' or "
            f"{chosen[0]!r}, or applied to false"
        ]
    return []


def _windows(config: RunConfig) -> list[str]:
    name, kind = derived.architecture_name(config), "2D" if derived.is_2d(config) else "3D"
    place = name if name in derived.applied_sections(config) else "default_model"
    length, stride = derived.windows(config)
    if kind == "3D" and not length:
        return [
            f"{place}.length_3D: is not set; expected the patch size [height, width, depth] of this 3D model"
        ]
    if name == "Modified3DUNet" and all(size <= 16 for size in length):
        return [
            f"{place}.length_3D: {list(length)} leaves a single voxel after four down-samplings; "
            "expected more than 16 voxels along one axis"
        ]
    if any(step > size for step, size in zip(stride, length, strict=True)):
        return [
            f"{place}.stride_{kind}: {list(stride)} exceeds length_{kind} {list(length)}; expected at most "
            "that"
        ]
    return []


def _film(config: RunConfig) -> list[str]:
    name = derived.architecture_name(config)
    if derived.metadata_type(config) is None:
        return []
    if name == "FiLMedUnet":
        layers, expected = derived.film_layers(config), 2 * derived.model_value(config, "depth") + 2
        places = f"{expected} (2 * depth + 2)"
    else:
        layers, expected, places = list(derived.model_value(config, "film_layers")), 10, "10"
    if len(layers) != expected:
        return [f"{name}.film_layers: {layers} has {len(layers)} entries; expected {places}, each 0 or 1"]
    return []


def _hemis(config: RunConfig) -> list[str]:
    if derived.architecture_name(config) == "HeMISUnet" and not config.loader_parameters.multichannel:
        return [
            "loader_parameters.multichannel: is false; expected true, HeMISUnet's channels are the contrasts"
        ]
    return []


def _loss(config: RunConfig) -> list[str]:
    loss, n_classes = config.training_parameters.loss, max(len(config.loader_parameters.target_suffix), 1)
    if isinstance(loss, MultiClassDiceLoss) and max(loss.classes_of_interest or (0,)) >= n_classes:
        return [
            f"training_parameters.loss.classes_of_interest: {list(loss.classes_of_interest or ())}; expected "
            f"positions in target_suffix, 0 to {n_classes - 1}"
        ]
    return []


def _residual(config: RunConfig) -> list[str]:
    name = "ResidualEncoderUnet"
    if derived.architecture_name(config) != name:
        return []
    place = name if config.ResidualEncoderUnet.applied else "default_model"
    if derived.is_2d(config) and config.ResidualEncoderUnet.length_3D:
        return [
            f"{name}.length_3D: has no effect on a 2D model; set default_model.is_2d to false for a 3D one, or "
            "give length_2D"
        ]
    try:
        plan = derived.residual_plan(config)
    except ModelError as error:
        return [f"{place}.{error}"]
    blocks = derived.model_value(config, "n_blocks")
    if blocks is not None and len(blocks) != plan.depth + 1:
        return [
            f"{place}.n_blocks: {list(blocks)} has {len(blocks)} entries; expected {plan.depth + 1}, one per stage "
            "(depth + 1)"
        ]
    return []


def _crops(config: RunConfig) -> list[str]:
    found = []
    n_axes = 2 if derived.is_2d(config) else 3
    for name, transform in config.transformation.chain.items():
        if isinstance(transform, Crop) and len(transform.size) != n_axes:
            found.append(
                f"transformation.{name}.size: {list(transform.size)} has {len(transform.size)} entries; "
                "expected "
                f"{n_axes} for a {n_axes}D model"
            )
    if "ROICrop" in config.transformation and config.loader_parameters.roi_params.suffix is None:
        found.append(
            "loader_parameters.roi_params.suffix: is null; expected the suffix of the region's file, e.g. "
            "'_seg-manual', because transformation has ROICrop"
        )
    return found


def _classifier(config: RunConfig) -> list[str]:
    if config.loader_parameters.slice_filter_params.filter_classification and not derived.is_2d(config):
        return [
            "loader_parameters.slice_filter_params.filter_classification: is true, but the model is 3D and has no "
            "slices; set it to false"
        ]
    return []


def _random_patches(config: RunConfig) -> list[str]:
    if not config.loader_parameters.random_patch_params.applied:
        return []
    place, found = "loader_parameters.random_patch_params.applied: is true, but", []
    if not derived.windows(config)[0]:
        found.append(f"{place} the samples are whole slices; set length_2D, or applied to false")
    filters = [name for name, on in config.loader_parameters.patch_filter_params.model_dump().items() if on]
    if filters:
        found.append(
            f"{place} patch_filter_params.{filters[0]} filters tiles, not patches at random places; set it to false "
            "(random_patch_params.foreground says how often a patch is on a label)"
        )
    balance = config.training_parameters.balance_samples
    if balance.applied and balance.type == "gt":
        found.append(
            f"{place} training_parameters.balance_samples balances tiles by their label; set it to false and use "
            "random_patch_params.foreground"
        )
    return found
