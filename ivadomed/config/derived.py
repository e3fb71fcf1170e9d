"""Values that follow from the configuration: model arguments, channels, patch size, transform chains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ivadomed.config.schema.models import CLASSIFIERS, SECTIONS, OwnModel
from ivadomed.config.schema.transforms import Crop
from ivadomed.sizing import N_FILTERS, UnetPlan, plan_unet

if TYPE_CHECKING:
    from ivadomed.config.schema.run import RunConfig

Task = Literal["segmentation", "classification", "regression"]
SLICE_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}

_UNET = ("depth", "dropout_rate", "bn_momentum", "final_activation", "n_filters")
# Constructor arguments that each architecture takes from its section or from default_model.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Unet": _UNET,
    "FiLMedUnet": (*_UNET, "film_layers"),
    "HeMISUnet": _UNET,
    "Modified3DUNet": (
        "n_filters",
        "attention",
        "dropout_rate",
        "bn_momentum",
        "final_activation",
        "film_layers",
    ),
    "ResidualEncoderUnet": ("dropout_rate", "final_activation", "max_filters", "deep_supervision"),
    "Countception": ("use_logits", "logits_per_output"),
    "resnet18": (),
    "densenet121": ("dropout_rate",),
}
# Keys for which the values of the other U-Nets in `default_model` do not count.
_NOT_SHARED = {"ResidualEncoderUnet": ("depth", "dropout_rate")}


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
    name = architecture_name(config)
    value = getattr(getattr(config, name, None), key, None)
    if value is None and key in _NOT_SHARED.get(name, ()) and config.default_model.name != name:
        return None
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
    """One per class; several classes add the background, which heat maps do not have."""
    n_classes = len(config.loader_parameters.target_suffix)
    return (
        n_classes + 1
        if n_classes > 1 and task(architecture_name(config)) != "regression"
        else max(n_classes, 1)
    )


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


def task(name: str) -> Task:
    """What an architecture predicts: masks, the classes of a slice, or heat maps."""
    if name in CLASSIFIERS:
        return "classification"
    return "regression" if name == "Countception" else "segmentation"


def architecture(config: RunConfig) -> Architecture:
    """The model's class with the section's keys over those of `default_model`."""
    name = architecture_name(config)
    if isinstance(config.default_model, OwnModel) and name == config.default_model.name:
        return Architecture(
            name, {**_channels(config), "is_2d": is_2d(config), **config.default_model.arguments}
        )
    arguments = {key: model_value(config, key) for key in _ARGUMENTS[name]}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if name == "HeMISUnet":
        arguments["contrasts"] = list(config.loader_parameters.contrast_params.training_validation)
        arguments["out_channel"] = out_channel(config)
    elif name in CLASSIFIERS:  # the first class is the background
        arguments |= {"in_channel": in_channel(config), "num_classes": len(class_names(config)) + 1}
    else:
        arguments |= _channels(config)
    if name in ("Unet", "FiLMedUnet", "HeMISUnet"):
        arguments["is_2d"] = is_2d(config)
        if "n_filters" not in arguments and not arguments["is_2d"]:
            arguments["n_filters"] = 16
    if name == "FiLMedUnet":
        arguments["film_layers"] = film_layers(config)
    if name == "ResidualEncoderUnet":
        arguments |= _residual_sizes(config)
    return Architecture(name, arguments)


def _channels(config: RunConfig) -> dict[str, Any]:
    return {"in_channel": in_channel(config), "out_channel": out_channel(config)}


def residual_plan(config: RunConfig) -> UnetPlan:
    """Topology of ResidualEncoderUnet.

    The voxel size is that of `transformation.Resample`; without it, voxels are taken to be isotropic. The patch is
    `length_2D` or `length_3D`, of whole slices the last crop of the transformation.

    Raises:
        ModelError: Patches are too small, or neither their size nor a depth is given.
    """
    n_axes = 2 if is_2d(config) else 3
    resample = config.transformation.Resample
    spacing = (1.0,) * 3 if resample is None else (resample.hspace, resample.wspace, resample.dspace)
    crops = [step.size for step in config.transformation.chain.values() if isinstance(step, Crop)]
    return plan_unet(
        windows(config)[0] or (crops[-1] if crops else None),
        spacing[:n_axes],
        model_value(config, "n_filters") or N_FILTERS,
        model_value(config, "max_filters"),
        model_value(config, "depth"),
    )


def _residual_sizes(config: RunConfig) -> dict[str, Any]:
    plan = residual_plan(config)
    return {
        "is_2d": is_2d(config),
        "depth": plan.depth,
        "n_filters": plan.features[0],
        "n_blocks": list(model_value(config, "n_blocks") or plan.n_blocks),
        "strides": [list(stride) for stride in plan.strides],
        "kernel_sizes": [list(kernel) for kernel in plan.kernel_sizes],
    }


def metadata_type(config: RunConfig) -> str | None:
    """What conditions a FiLM model; None for other models."""
    name = architecture_name(config)
    modulated = name == "Modified3DUNet" and any(model_value(config, "film_layers") or ())
    if name != "FiLMedUnet" and not modulated:
        return None
    return model_value(config, "metadata") or "contrasts"


def missing_contrasts(config: RunConfig) -> tuple[float, float]:
    """`missing_probability` and `missing_probability_growth` of HeMISUnet, (0, 1) for other networks."""
    if architecture_name(config) != "HeMISUnet":
        return 0.0, 1.0
    probability = model_value(config, "missing_probability")
    growth = model_value(config, "missing_probability_growth")
    return probability or 0.0, 1.0 if growth is None else growth


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
    arguments = architecture(config).arguments
    if "n_filters" in arguments or "n_filters" in _ARGUMENTS.get(architecture_name(config), ()):
        keys[f"{_section_of(config, 'n_filters')}.n_filters"] = arguments.get("n_filters", "the default")
    return keys


def _section_of(config: RunConfig, key: str) -> str:
    name = architecture_name(config)
    return name if getattr(getattr(config, name, None), key, None) is not None else "default_model"
