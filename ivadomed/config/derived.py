"""Values that follow from the configuration: model arguments, channels, patch size, transform chains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ivadomed.config.schema.models import CLASSIFIERS, SECTIONS

if TYPE_CHECKING:
    from ivadomed.config.schema.run import RunConfig

SLICE_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}

_UNET = ("depth", "dropout_rate", "bn_momentum", "final_activation", "n_filters")
# Constructor arguments that each architecture takes from its section or from default_model.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Unet": _UNET,
    "FiLMedUnet": (*_UNET, "film_layers"),
    "HeMISUnet": _UNET,
    "Modified3DUNet": ("n_filters", "attention", "dropout_rate", "bn_momentum", "final_activation"),
    "Countception": ("use_logits", "logits_per_output"),
    "resnet18": (),
    "densenet121": (),
}


@dataclass(frozen=True)
class Architecture:
    """A class of `ivadomed.models` and its constructor arguments.

    Args:
        name: Name of the class.
        arguments: Keyword arguments; what is left out has the class's own default.
    """

    name: str
    arguments: dict[str, Any]


def applied_sections(config: RunConfig) -> list[str]:
    """Architectures whose section says `applied: true`."""
    return [name for name in SECTIONS if getattr(config, name).applied]


def architecture_name(config: RunConfig) -> str:
    """The applied section, else `default_model.name`."""
    return next(iter(applied_sections(config)), config.default_model.name)


def model_value(config: RunConfig, key: str) -> Any:
    """A model key: from the chosen architecture's section, else from `default_model`, else None."""
    section = getattr(config, architecture_name(config), None)
    value = getattr(section, key, None)
    return getattr(config.default_model, key, None) if value is None else value


def is_2d(config: RunConfig) -> bool:
    """Modified3DUNet is 3D, Count-ception and the classifiers are 2D, others follow `default_model.is_2d`."""
    name = architecture_name(config)
    if name == "Modified3DUNet":
        return False
    if name == "Countception" or name in CLASSIFIERS:
        return True
    return config.default_model.is_2d


def in_channel(config: RunConfig) -> int:
    """One, or the number of contrasts when they are stacked as channels."""
    loader = config.loader_parameters
    return max(len(loader.contrast_params.training_validation), 1) if loader.multichannel else 1


def out_channel(config: RunConfig) -> int:
    """One per class; several classes add the background."""
    n_classes = len(config.loader_parameters.target_suffix)
    return n_classes + 1 if n_classes > 1 else 1


def class_names(config: RunConfig) -> tuple[str, ...]:
    """Suffix of each class; of a class with several raters the first."""
    suffixes = config.loader_parameters.target_suffix
    return tuple(suffix if isinstance(suffix, str) else suffix[0] for suffix in suffixes)


def windows(config: RunConfig) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Patch length and stride, both empty for whole 2D slices."""
    kind = "2D" if is_2d(config) else "3D"
    length = model_value(config, f"length_{kind}") or ()
    return length, (model_value(config, f"stride_{kind}") or length) if length else ()


def film_layers(config: RunConfig) -> list[int]:
    """Which layers FiLM modulates, 2 * depth + 2 entries of 0 or 1; every layer when not given."""
    layers = model_value(config, "film_layers")
    return list(layers) if layers is not None else [1] * (2 * model_value(config, "depth") + 2)


def task(name: str) -> Literal["segmentation", "classification"]:
    """What an architecture predicts."""
    return "classification" if name in CLASSIFIERS else "segmentation"


def architecture(config: RunConfig) -> Architecture:
    """The model's class with the section's keys over those of `default_model`."""
    name = architecture_name(config)
    arguments = {key: model_value(config, key) for key in _ARGUMENTS[name]}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if name == "HeMISUnet":
        arguments["contrasts"] = list(config.loader_parameters.contrast_params.training_validation)
        arguments["out_channel"] = out_channel(config)
    elif name not in CLASSIFIERS:
        arguments["in_channel"] = in_channel(config)
        arguments["out_channel"] = out_channel(config)
    if name in ("Unet", "FiLMedUnet", "HeMISUnet"):
        arguments["is_2d"] = is_2d(config)
        if "n_filters" not in arguments and not arguments["is_2d"]:
            arguments["n_filters"] = 16
    if name == "FiLMedUnet":
        arguments["film_layers"] = film_layers(config)
    return Architecture(name, arguments)


def metadata_type(config: RunConfig) -> str | None:
    """What conditions a FiLM model; None for other models."""
    if architecture_name(config) != "FiLMedUnet":
        return None
    return model_value(config, "metadata") or "contrasts"


def contrasts_for(config: RunConfig, dataset_type: str) -> tuple[str, ...]:
    """Contrasts of a set; the test set has those of training unless it lists its own."""
    contrasts = config.loader_parameters.contrast_params
    own = contrasts.testing if dataset_type == "testing" else ()
    return own or contrasts.training_validation


def transforms_for(config: RunConfig, dataset_type: str) -> dict[str, dict[str, Any]]:
    """Name -> arguments of the transforms of a set, in their order."""
    chain = config.transformation.chain
    return {name: transform.arguments for name, transform in chain.items() if transform.used_in(dataset_type)}


def memory_keys(config: RunConfig) -> dict[str, Any]:
    """Keys that decide how much memory a training takes, by their full paths, with their values."""
    keys: dict[str, Any] = {"training_parameters.batch_size": config.training_parameters.batch_size}
    kind = "2D" if is_2d(config) else "3D"
    if length := windows(config)[0]:
        keys[f"{_section_of(config, f'length_{kind}')}.length_{kind}"] = list(length)
    else:
        crops = transforms_for(config, "training")
        crop = next((name for name in ("CenterCrop", "ROICrop") if name in crops), "CenterCrop")
        keys[f"transformation.{crop}.size"] = crops[crop]["size"] if crop in crops else "none"
    architecture_of = architecture(config)
    if "n_filters" in _ARGUMENTS[architecture_of.name]:
        filters = architecture_of.arguments.get("n_filters", "the default")
        keys[f"{_section_of(config, 'n_filters')}.n_filters"] = filters
    return keys


def _section_of(config: RunConfig, key: str) -> str:
    name = architecture_name(config)
    return name if getattr(getattr(config, name, None), key, None) is not None else "default_model"
