"""Sections that contradict each other in files of older versions, read as those versions read them.

`migrate` mends keys one by one; what is mended here follows from several keys of a whole configuration: which network
is applied, whether it is 2D. Plain dictionaries only, one warning per change; nothing is validated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from ivadomed.config.legacy_keys import OWN_ARGUMENTS
from ivadomed.models.specs import NETWORKS, OWN, NetworkSpec, spec_of

Tree = dict[str, Any]

_CROPS = ("CenterCrop", "ROICrop", "BoundingBoxCrop")
_EXTENSIONS = (".nii.gz", ".nii", ".ome.tiff", ".ome.tif", ".png", ".tiff", ".tif", ".jpeg", ".jpg")
_PER_AXIS = ("scale", "translate")
_SCHEDULES_WITHOUT_BOUNDS = ("CosineAnnealingLR", "CosineAnnealingWarmRestarts")


def reconcile(raw: Mapping[str, Any]) -> tuple[Tree, list[str]]:
    """Resolve contradictions between the sections of a complete configuration.

    Args:
        raw: Migrated content of the file with what wins over it; not changed.

    Returns:
        A new dictionary, and one warning per change. Contradictions that no version could read stay for the
        validation.
    """
    tree: Tree = deepcopy(dict(raw))
    warnings: list[str] = []
    for step in _STEPS:
        step(tree, warnings)
    return tree, warnings


def _section(tree: Tree, name: str) -> Tree:
    node = tree.get(name)
    return node if isinstance(node, dict) else {}


def _applied(tree: Tree) -> list[str]:
    return [name for name in OWN_ARGUMENTS if _section(tree, name).get("applied") is True]


def _name(tree: Tree) -> str:
    """The architecture; of several the first."""
    name = _section(tree, "default_model").get("name", "Unet")
    return (_applied(tree) or [name if isinstance(name, str) else "Unet"])[0]


def _value(tree: Tree, key: str) -> Any:
    """A key of the applied network's section, else of `default_model`."""
    own = _section(tree, _name(tree)).get(key)
    return _section(tree, "default_model").get(key) if own is None else own


def _is_2d(tree: Tree) -> bool:
    return _spec(tree).is_2d(_section(tree, "default_model").get("is_2d", True) is not False)


def _spec(tree: Tree) -> NetworkSpec:
    name = _name(tree)
    return spec_of(name) if ":" in name or name in NETWORKS else OWN


def _film_of_the_3d_network(tree: Tree, warnings: list[str]) -> None:
    if set(_applied(tree)) != {"Modified3DUNet", "FiLMedUnet"}:
        return
    film, network = tree["FiLMedUnet"], tree["Modified3DUNet"]
    film["applied"] = False
    layers = film.get("film_layers") or [1] * NETWORKS["Modified3DUNet"].count_film_places(0)
    for key, value in (("metadata", film.get("metadata")), ("film_layers", layers)):
        if network.get(key) is None and value is not None:
            network[key] = value
    warnings.append(
        "FiLMedUnet.applied, Modified3DUNet.applied: both true, read as Modified3DUNet with FiLM layers"
    )


def _name_of_the_applied(tree: Tree, warnings: list[str]) -> None:
    default, applied = _section(tree, "default_model"), _applied(tree)
    name = default.get("name", "Unet")
    if len(applied) == 1 and name in OWN_ARGUMENTS and name != applied[0]:
        default["name"] = applied[0]
        warnings.append(f"default_model.name: {name!r} ignored, {applied[0]} is applied")


def _arguments_of_other_networks(tree: Tree, warnings: list[str]) -> None:
    """Arguments of one network in `default_model`, where 2.x took them for whichever network was applied."""
    default, name = _section(tree, "default_model"), _name(tree)
    if default.get("name", "Unet") == name and name in OWN_ARGUMENTS:
        return  # they are arguments of this very section
    if ":" in str(default.get("name")):
        return
    for key in [key for key in default if any(key in keys for keys in OWN_ARGUMENTS.values())]:
        value = default.pop(key)
        if key not in OWN_ARGUMENTS.get(name, ()):
            if value not in (None, False):
                warnings.append(f"default_model.{key}: ignored, it has no effect on {name}")
        elif _section(tree, name).get(key) is not None:
            warnings.append(f"default_model.{key}: ignored, {name}.{key} is given too")
        else:
            tree[name][key] = value
            warnings.append(f"default_model.{key}: read as {name}.{key}")


def _dimensions_of_a_section(tree: Tree, warnings: list[str]) -> None:
    for name in OWN_ARGUMENTS:
        section = _section(tree, name)
        if "is_2d" not in section:
            continue
        value, default = section.pop("is_2d"), tree.setdefault("default_model", {})
        if name == _name(tree) and spec_of(name).dimensions != (3,) and isinstance(default, dict):
            default["is_2d"] = value
            warnings.append(f"{name}.is_2d: read as default_model.is_2d")
        else:
            warnings.append(f"{name}.is_2d: ignored, it has no effect there")


def _channels_of_hemis(tree: Tree, warnings: list[str]) -> None:
    if not _spec(tree).missing_contrasts:
        return
    loader = tree.setdefault("loader_parameters", {})
    if not isinstance(loader, dict) or loader.get("multichannel", False) is not False:
        return
    if "multichannel" in loader:
        warnings.append(
            f"loader_parameters.multichannel: false, read as true: {_name(tree)}'s channels are contrasts"
        )
    loader["multichannel"] = True


def _layers_of_film(tree: Tree, warnings: list[str]) -> None:
    name = _name(tree)
    if "film_layers" not in OWN_ARGUMENTS.get(name, ()):
        return
    place = name if isinstance(_section(tree, name).get("film_layers"), list) else "default_model"
    layers, depth = _section(tree, place).get("film_layers"), _value(tree, "depth")
    depth = 3 if depth is None else depth
    if not isinstance(layers, list) or not isinstance(depth, (int, float)):
        return
    count = _spec(tree).count_film_places(int(depth))
    if 0 < count < len(layers):
        tree[place]["film_layers"] = [*layers[: count - 1], layers[-1]]  # see models.film.film_switches
        warnings.append(
            f"{place}.film_layers: has {len(layers)} entries, the network {count} layers (2 * depth + 2); the first "
            f"{count - 1} and the last count"
        )


def _suffixes(tree: Tree, warnings: list[str]) -> None:
    """2.x looked for a suffix anywhere in the name of a label, so files leave out the leading _ or add an extension."""
    loader = _section(tree, "loader_parameters")

    def mended(place: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [mended(f"{place}[{index}]", entry) for index, entry in enumerate(value)]
        if not isinstance(value, str) or not value:
            return value
        suffix = value.removesuffix(next((end for end in _EXTENSIONS if value.endswith(end)), ""))
        suffix = suffix if suffix.startswith("_") else f"_{suffix}"
        if suffix != value:
            warnings.append(f"{place}: {value!r}, read as {suffix!r}")
        return suffix

    if loader.get("target_suffix"):
        loader["target_suffix"] = mended("loader_parameters.target_suffix", loader["target_suffix"])
    roi = _section(loader, "roi_params")
    if roi.get("suffix"):
        roi["suffix"] = mended("loader_parameters.roi_params.suffix", roi["suffix"])


def _third_axis_of_2d(tree: Tree, warnings: list[str]) -> None:
    if not _is_2d(tree):
        return
    steps = _section(tree, "transformation")
    places = [(name, "size") for name in _CROPS] + [("RandomAffine", key) for key in _PER_AXIS]
    for name, key in places:
        step = _section(steps, name)
        value = step.get(key)
        if isinstance(value, (list, tuple)) and len(value) == 3:
            step[key] = list(value[:2])
            if key == "size" or value[2]:
                warnings.append(
                    f"transformation.{name}.{key}: {list(value)}, read as {step[key]}: the model is 2D"
                )


def _bounds_of_the_cosine(tree: Tree, warnings: list[str]) -> None:
    """The examples of 2.x carry them with every scheduler."""
    scheduler = _section(_section(_section(tree, "training_parameters"), "scheduler"), "lr_scheduler")
    name = scheduler.get("name", "CosineAnnealingLR")
    if name not in _SCHEDULES_WITHOUT_BOUNDS:
        return
    found = [key for key in ("base_lr", "max_lr") if scheduler.pop(key, None) is not None]
    if found:
        place = "training_parameters.scheduler.lr_scheduler"
        what = "they have" if len(found) > 1 else "it has"
        warnings.append(f"{place}.{', '.join(found)}: dropped, {what} no effect on {name}")


_STEPS: tuple[Callable[[Tree, list[str]], None], ...] = (
    _film_of_the_3d_network,
    _name_of_the_applied,
    _dimensions_of_a_section,
    _arguments_of_other_networks,
    _channels_of_hemis,
    _layers_of_film,
    _suffixes,
    _third_axis_of_2d,
    _bounds_of_the_cosine,
)
