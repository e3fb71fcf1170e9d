"""Requirements of each network on the configuration and the data. Readable without torch.

Arguments are declared by the constructors, see `ivadomed.models.base.MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ivadomed.errors import ModelError
from ivadomed.models.sizing import N_FILTERS, UnetPlan, plan_unet

Task = Literal["segmentation", "classification", "regression"]


class Setting(Protocol):
    """The part of a configuration that specs use."""

    @property
    def is_2d(self) -> bool: ...
    @property
    def in_channel(self) -> int: ...
    @property
    def out_channel(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def channel_names(self) -> tuple[str, ...]: ...
    @property
    def sample_size(self) -> tuple[int, ...] | None: ...
    @property
    def spacing(self) -> tuple[float, ...]: ...
    @property
    def network_place(self) -> str: ...
    @property
    def network_section(self) -> Any: ...
    def network_key(self, key: str) -> Any: ...


def _no_faults(setting: Setting) -> list[str]:
    return []


def image_channels(setting: Setting) -> dict[str, Any]:
    """Constructor arguments of a network that segments an image from all of its channels."""
    return {"in_channel": setting.in_channel, "out_channel": setting.out_channel}


@dataclass(frozen=True)
class NetworkSpec:
    """Requirements of a network.

    Args:
        task: Masks, classes of a slice, or heat maps.
        dimensions: Numbers of spatial axes of supported images.
        film: Modulated by metadata: always, or depending on `film_layers`.
        missing_contrasts: Predicts from any subset of its contrasts, which are its channels.
        fixed_depth: Number of downsampling steps if it is not an argument.
        sized: Keys for which null derives the value from the rest of the configuration.
        not_shared: Keys for which the values that `default_model` has for other networks are ignored.
        derived: Constructor arguments derived from the rest of a configuration.
        faults: Contradictions in a configuration, one line each, with full key paths.
    """

    task: Task = "segmentation"
    dimensions: tuple[int, ...] = (2, 3)
    film: Literal["always", "optional"] | None = None
    missing_contrasts: bool = False
    fixed_depth: int | None = None
    sized: tuple[str, ...] = ("n_filters",)
    not_shared: tuple[str, ...] = ()
    derived: Callable[[Setting], dict[str, Any]] = image_channels
    faults: Callable[[Setting], list[str]] = _no_faults

    def is_2d(self, wanted: bool) -> bool:
        """True if the network is 2D, given whether the configuration wants it 2D."""
        return wanted if len(self.dimensions) > 1 else self.dimensions == (2,)

    def arguments(self, setting: Setting, keys: Iterable[str]) -> dict[str, Any]:
        """Keyword arguments of the constructor; missing ones have the constructor's defaults.

        Args:
            setting: The configuration.
            keys: Arguments that are keys of the configuration.
        """
        given = {key: setting.network_key(key) for key in keys}
        return {key: value for key, value in given.items() if value is not None} | self.derived(setting)

    def film_layers(self, setting: Setting) -> list[int] | None:
        """0 or 1 for each place for FiLM; None if no metadata modulate the network."""
        layers = setting.network_key("film_layers") if self.film else None
        if self.film == "always" and layers is None:
            return [1] * self.count_film_places(setting.network_key("depth"))
        return list(layers) if layers is not None and (self.film == "always" or any(layers)) else None

    def count_film_places(self, depth: int) -> int:
        """Number of places for FiLM layers: each level of encoder and decoder, the bottom and the output."""
        return 2 * (self.fixed_depth or depth) + 2


def _unet(setting: Setting) -> dict[str, Any]:
    filters = {} if setting.is_2d or setting.network_key("n_filters") else {"n_filters": 16}
    return {**image_channels(setting), "is_2d": setting.is_2d, **filters}


def _filmed_unet(setting: Setting) -> dict[str, Any]:
    return {**_unet(setting), "film_layers": SPECS["FiLMedUnet"].film_layers(setting)}


def _hemis_unet(setting: Setting) -> dict[str, Any]:
    arguments = _unet(setting)
    del arguments["in_channel"]
    return {**arguments, "contrasts": list(setting.channel_names)}


def _residual_plan(setting: Setting) -> UnetPlan:
    return plan_unet(
        setting.sample_size,
        setting.spacing,
        setting.network_key("n_filters") or N_FILTERS,
        setting.network_key("max_filters"),
        setting.network_key("depth"),
    )


def _residual_unet(setting: Setting) -> dict[str, Any]:
    plan = _residual_plan(setting)
    return {
        **image_channels(setting),
        "is_2d": setting.is_2d,
        "depth": plan.depth,
        "n_filters": plan.features[0],
        "n_blocks": list(setting.network_key("n_blocks") or plan.n_blocks),
        "strides": [list(stride) for stride in plan.strides],
        "kernel_sizes": [list(kernel) for kernel in plan.kernel_sizes],
    }


def _residual_faults(setting: Setting) -> list[str]:
    name, place = "ResidualEncoderUnet", setting.network_place
    if setting.is_2d and setting.network_section.length_3D:
        return [
            f"{name}.length_3D: has no effect on a 2D model; set default_model.is_2d to false for a 3D one, or "
            "give length_2D"
        ]
    try:
        plan = _residual_plan(setting)
    except ModelError as error:
        return [f"{place}.{error}"]
    blocks = setting.network_key("n_blocks")
    if blocks is not None and len(blocks) != plan.depth + 1:
        return [
            f"{place}.n_blocks: {list(blocks)} has {len(blocks)} entries; expected {plan.depth + 1}, one per stage "
            "(depth + 1)"
        ]
    return []


def _classifier(setting: Setting) -> dict[str, Any]:
    # The first class is the background.
    return {"in_channel": setting.in_channel, "num_classes": len(setting.class_names) + 1}


SPECS: dict[str, NetworkSpec] = {
    "Unet": NetworkSpec(derived=_unet),
    "FiLMedUnet": NetworkSpec(film="always", derived=_filmed_unet),
    "HeMISUnet": NetworkSpec(missing_contrasts=True, derived=_hemis_unet),
    "Modified3DUNet": NetworkSpec(dimensions=(3,), film="optional", fixed_depth=4),
    "ResidualEncoderUnet": NetworkSpec(
        sized=("depth", "n_filters"),
        not_shared=("depth", "dropout_rate"),
        derived=_residual_unet,
        faults=_residual_faults,
    ),
    "Countception": NetworkSpec(task="regression", dimensions=(2,)),
    "resnet18": NetworkSpec(task="classification", dimensions=(2,), derived=_classifier),
    "densenet121": NetworkSpec(task="classification", dimensions=(2,), derived=_classifier),
}
"""Networks that a configuration can name."""

OWN = NetworkSpec(derived=lambda setting: {**image_channels(setting), "is_2d": setting.is_2d})
"""Requirements of a custom class, named ``package.module:Class``."""


def spec_of(name: str) -> NetworkSpec:
    """Requirements of a network of this package or ``package.module:Class``, by name."""
    return SPECS.get(name, OWN)
