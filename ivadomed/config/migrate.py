"""Read configurations of older versions with their original meaning.

`migrate` moves keys one by one to their current names and places; `reconcile` resolves contradictions between the
sections of a complete configuration. Old names are read, never written. Both work on plain dictionaries, give one
warning per change and validate nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from ivadomed.config.tree import Tree, join, section
from ivadomed.models.specs import SPECS, NetworkSpec, spec_of

Steps = tuple[Callable[[Tree, list[str]], None], ...]

_TABLES = json.loads(Path(__file__).with_name("tables").joinpath("old_keys.json").read_text(encoding="utf-8"))
OWN_ARGUMENTS: dict[str, list[str]] = _TABLES["own_arguments"]
"""Section of a network -> keys that only some networks have."""
DROPPED_EVERYWHERE: dict[str, str] = _TABLES["dropped_everywhere"]
"""Key -> reason why it is dropped in every section."""


def _by_section(table: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Section -> key -> value, from dotted paths; the section ``*`` means the sections of all networks."""
    found: dict[str, dict[str, str]] = {}
    for path, value in table.items():
        place, _, key = path.rpartition(".")
        for name in ("default_model", *OWN_ARGUMENTS) if place == "*" else (place,):
            found.setdefault(name, {})[key] = value
    return found


RENAMED = _by_section(_TABLES["renamed"])
"""Section ("" is the top level) -> old key -> new key."""
_DROPPED = _by_section({path: reason for reason, paths in _TABLES["dropped"].items() for path in paths})
_MOVED: dict[str, str] = _TABLES["moved"]

_CROPS = ("CenterCrop", "ROICrop", "BoundingBoxCrop")
_EXTENSIONS = (".nii.gz", ".nii", ".ome.tiff", ".ome.tif", ".png", ".tiff", ".tif", ".jpeg", ".jpg")
_SCHEDULES_WITHOUT_BOUNDS = ("CosineAnnealingLR", "CosineAnnealingWarmRestarts")


def migrate(raw: Mapping[str, Any]) -> tuple[Tree, list[str]]:
    """Convert a configuration of an older version to the current keys.

    Args:
        raw: Content of the JSON file, complete or in part; not changed.

    Returns:
        A new dictionary, and one warning per key that was renamed, moved or dropped. All other keys, known or not,
        are kept unchanged.
    """
    tree = deepcopy(dict(raw))
    default = tree.get("default_model")
    is_own = ":" in str(section(tree, "default_model").get("name"))
    if is_own:  # its keys are arguments of a class unknown to older versions
        tree["default_model"] = {}
    warnings = _run(_MIGRATION, tree)
    return ({**tree, "default_model": default} if is_own else tree), warnings


def reconcile(raw: Mapping[str, Any]) -> tuple[Tree, list[str]]:
    """Resolve contradictions between the sections of a complete configuration.

    Args:
        raw: Migrated content of the file with the overrides applied; not changed.

    Returns:
        A new dictionary, and one warning per change. Contradictions that no version could read are left to
        validation.
    """
    tree = deepcopy(dict(raw))
    return tree, _run(_RECONCILIATION, tree)


def _run(steps: Steps, tree: Tree) -> list[str]:
    warnings: list[str] = []
    for step in steps:
        step(tree, warnings)
    return warnings


def _drop_everywhere(tree: Tree, warnings: list[str], place: str = "") -> None:
    for key, value in list(tree.items()):
        if key in DROPPED_EVERYWHERE:
            del tree[key]
            warnings.append(f"{join(place, key)}: dropped, {DROPPED_EVERYWHERE[key]}")
        elif isinstance(value, dict):
            _drop_everywhere(value, warnings, join(place, key))


def _rename_keys(tree: Tree, warnings: list[str]) -> None:
    for place, names in RENAMED.items():
        node = section(tree, place)
        if names.keys().isdisjoint(node):
            continue
        renamed: Tree = {}
        for key, value in node.items():
            new = names.get(key)
            if new is None:
                renamed[key] = value
            elif new in node or new in renamed:
                warnings.append(f"{join(place, key)}: ignored, {join(place, new)} is given too")
            else:
                warnings.append(f"{join(place, key)}: old name, read as {join(place, new)}")
                renamed[new] = value
        node.clear()
        node.update(renamed)


def _move_keys(tree: Tree, warnings: list[str]) -> None:
    for old, path in _MOVED.items():
        (source, _, key), (target, _, new) = old.rpartition("."), path.rpartition(".")
        node: Tree = section(tree, source)
        home: Any = tree
        if key not in node:
            continue
        for part in filter(None, target.split(".")):
            home = home.setdefault(part, {}) if isinstance(home, dict) else None
        if not isinstance(home, dict):
            continue
        value = node.pop(key)
        if new in home:
            warnings.append(f"{old}: ignored, {path} is given too")
        else:
            home[new] = value
            warnings.append(f"{old}: old place, read as {path}")


def _drop_keys(tree: Tree, warnings: list[str]) -> None:
    for place, reasons in _DROPPED.items():
        node = section(tree, place)
        for key in [key for key in node if key in reasons]:
            del node[key]
            warnings.append(f"{join(place, key)}: dropped, {reasons[key]}")
    for name, arguments in section(tree, "transformation").items():
        if isinstance(arguments, dict) and "preprocessing" in arguments:
            del arguments["preprocessing"]
            warnings.append(f"transformation.{name}.preprocessing: dropped, it follows from the transform")


def _gpu(tree: Tree, warnings: list[str]) -> None:
    ids = tree.get("gpu_ids")
    if isinstance(ids, int) and not isinstance(ids, bool):
        tree["gpu_ids"] = [ids] if ids >= 0 else []
        warnings.append(f"gpu_ids: {ids}, read as the list {tree['gpu_ids']}")
    if "gpu" not in tree:
        return
    gpu = tree.pop("gpu")
    if "gpu_ids" in tree:
        warnings.append("gpu: ignored, gpu_ids is given too")
        return
    on_cpu = gpu is None or (isinstance(gpu, int) and gpu < 0)
    tree["gpu_ids"] = gpu if isinstance(gpu, list) else [] if on_cpu else [gpu]
    warnings.append(f"gpu: old name, read as gpu_ids {tree['gpu_ids']}")


def _split(tree: Tree, warnings: list[str]) -> None:
    split = section(tree, "split_dataset")
    columns = {"per_patient": "participant_id", "per_center": "institution_id"}
    for key in ("method", "split_method"):
        method = split.get(key)
        if key in split and (key == "method" or (isinstance(method, str) and method in columns)):
            del split[key]
            if key == "method" and "split_method" in split:
                warnings.append("split_dataset.method: ignored, split_dataset.split_method is given too")
                continue
            split["split_method"] = columns.get(method, method) if isinstance(method, str) else method
            warnings.append(f"split_dataset.{key}: old form, read as split_method {split['split_method']!r}")
    if "center_test" in split:
        centers = split.pop("center_test")
        if "data_testing" in split:
            warnings.append("split_dataset.center_test: ignored, split_dataset.data_testing is given too")
        else:
            split["data_testing"] = {
                "data_type": "institution_id" if centers else None,
                "data_value": centers or [],
            }
            warnings.append("split_dataset.center_test: old name, read as split_dataset.data_testing")


def _training(tree: Tree, warnings: list[str]) -> None:
    training = section(tree, "training_parameters")
    if isinstance(training.get("balance_samples"), bool):
        training["balance_samples"] = {"applied": training["balance_samples"], "type": "gt"}
        warnings.append("training_parameters.balance_samples: old form, read as {applied, type: 'gt'}")
    scheduler = section(training, "scheduler.lr_scheduler")
    if scheduler and "name" not in scheduler:
        scheduler["name"] = "CosineAnnealingLR"
        warnings.append(
            "training_parameters.scheduler.lr_scheduler.name: missing, read as 'CosineAnnealingLR'"
        )


def _loader(tree: Tree, warnings: list[str]) -> None:
    loader = section(tree, "loader_parameters")
    if "roi_suffix" not in loader:
        return
    suffix = loader.pop("roi_suffix")
    roi = loader.setdefault("roi_params", {})
    if isinstance(roi, dict) and suffix is not None and roi.get("suffix") is None:
        roi["suffix"] = suffix
    warnings.append("loader_parameters.roi_suffix: old name, read as loader_parameters.roi_params.suffix")


def _models(tree: Tree, warnings: list[str]) -> None:
    default, film = section(tree, "default_model"), section(tree, "FiLMedUnet")
    if default.get("name") == "UNet3D":
        default["name"] = "Modified3DUNet"
        warnings.append("default_model.name: old name 'UNet3D', read as 'Modified3DUNet'")
    folder = default.get("folder_name")
    if isinstance(folder, str) and folder and "model_name" not in tree:
        tree["model_name"] = default.pop("folder_name")
        warnings.append("default_model.folder_name: old place, read as model_name")
    if "relu" in default:
        if default.pop("relu"):
            default.setdefault("final_activation", "relu")
        warnings.append("default_model.relu: old name, read as default_model.final_activation")
    if film.get("metadata") == "contrast":
        film["metadata"] = "contrasts"
        warnings.append("FiLMedUnet.metadata: old value 'contrast', read as 'contrasts'")


def _testing(tree: Tree, warnings: list[str]) -> None:
    testing = section(tree, "testing_parameters")
    if "binarize_prediction" in testing:
        _binarize(tree, testing.pop("binarize_prediction"), warnings)
    if tree.get("testing_parameters") in (None, {}):  # otherwise validation must see it
        tree.pop("testing_parameters", None)


def _binarize(tree: Tree, binarize: Any, warnings: list[str]) -> None:
    if "postprocessing" in tree:
        warnings.append("testing_parameters.binarize_prediction: ignored, postprocessing is given too")
        return
    threshold = 0.5 if binarize is True else binarize
    soft = threshold is None or threshold is False or threshold == -1
    tree["postprocessing"] = {} if soft else {"binarize_prediction": {"thr": threshold}}
    warnings.append(
        "testing_parameters.binarize_prediction: old place, read as "
        + ("soft predictions (no step)" if soft else f"postprocessing.binarize_prediction.thr {threshold}")
    )


_MIGRATION: Steps = (
    _drop_everywhere,
    _rename_keys,
    _move_keys,
    _gpu,
    _split,
    _training,
    _loader,
    _models,
    _testing,
    _drop_keys,
)


def _applied(tree: Tree) -> list[str]:
    return [name for name in OWN_ARGUMENTS if section(tree, name).get("applied") is True]


def _name(tree: Tree) -> str:
    """Name of the architecture; the first of several."""
    name = section(tree, "default_model").get("name", "Unet")
    return (_applied(tree) or [name if isinstance(name, str) else "Unet"])[0]


def _value(tree: Tree, key: str) -> Any:
    """Value of a key in the applied network's section, else in `default_model`."""
    own = section(tree, _name(tree)).get(key)
    return section(tree, "default_model").get(key) if own is None else own


def _is_2d(tree: Tree) -> bool:
    return _spec(tree).is_2d(section(tree, "default_model").get("is_2d", True) is not False)


def _spec(tree: Tree) -> NetworkSpec:
    return spec_of(_name(tree))


def _film_of_the_3d_network(tree: Tree, warnings: list[str]) -> None:
    if set(_applied(tree)) != {"Modified3DUNet", "FiLMedUnet"}:
        return
    film, network = tree["FiLMedUnet"], tree["Modified3DUNet"]
    film["applied"] = False
    layers = film.get("film_layers") or [1] * SPECS["Modified3DUNet"].count_film_places(0)
    for key, value in (("metadata", film.get("metadata")), ("film_layers", layers)):
        if network.get(key) is None and value is not None:
            network[key] = value
    warnings.append(
        "FiLMedUnet.applied, Modified3DUNet.applied: both true, read as Modified3DUNet with FiLM layers"
    )


def _name_of_the_applied(tree: Tree, warnings: list[str]) -> None:
    default, applied = section(tree, "default_model"), _applied(tree)
    name = default.get("name", "Unet")
    if len(applied) == 1 and isinstance(name, str) and name in OWN_ARGUMENTS and name != applied[0]:
        default["name"] = applied[0]
        warnings.append(f"default_model.name: {name!r} ignored, {applied[0]} is applied")


def _arguments_of_other_networks(tree: Tree, warnings: list[str]) -> None:
    """Arguments of one network in `default_model`, which 2.x passed to whichever network was applied."""
    default, name = section(tree, "default_model"), _name(tree)
    if default.get("name", "Unet") == name and name in OWN_ARGUMENTS:
        return  # the arguments belong to this section
    if ":" in str(default.get("name")):
        return
    for key in [key for key in default if any(key in keys for keys in OWN_ARGUMENTS.values())]:
        value = default.pop(key)
        if key not in OWN_ARGUMENTS.get(name, ()):
            if value not in (None, False):
                warnings.append(f"default_model.{key}: ignored, it has no effect on {name}")
        elif section(tree, name).get(key) is not None:
            warnings.append(f"default_model.{key}: ignored, {name}.{key} is given too")
        else:
            tree[name][key] = value
            warnings.append(f"default_model.{key}: read as {name}.{key}")


def _dimensions_of_a_section(tree: Tree, warnings: list[str]) -> None:
    for name in OWN_ARGUMENTS:
        own = section(tree, name)
        if "is_2d" not in own:
            continue
        value, default = own.pop("is_2d"), tree.setdefault("default_model", {})
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
    place = name if isinstance(section(tree, name).get("film_layers"), list) else "default_model"
    layers, depth = section(tree, place).get("film_layers"), _value(tree, "depth")
    depth = 3 if depth is None else depth
    is_whole = isinstance(depth, int) or (isinstance(depth, float) and depth.is_integer())
    if not isinstance(layers, list) or not is_whole:
        return
    count = _spec(tree).count_film_places(int(depth))
    if 0 < count < len(layers):
        tree[place]["film_layers"] = [*layers[: count - 1], layers[-1]]  # see models.film.film_switches
        warnings.append(
            f"{place}.film_layers: has {len(layers)} entries, the network {count} layers (2 * depth + 2); the first "
            f"{count - 1} and the last count"
        )


def _suffixes(tree: Tree, warnings: list[str]) -> None:
    """2.x searched label names for a suffix, so configurations omit the leading _ or add an extension."""
    loader = section(tree, "loader_parameters")

    def fixed(place: str, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [fixed(f"{place}[{index}]", entry) for index, entry in enumerate(value)]
        if not isinstance(value, str) or not value:
            return value
        suffix = value.removesuffix(next((end for end in _EXTENSIONS if value.endswith(end)), ""))
        suffix = suffix if suffix.startswith("_") else f"_{suffix}"
        if suffix != value:
            warnings.append(f"{place}: {value!r}, read as {suffix!r}")
        return suffix

    if loader.get("target_suffix"):
        loader["target_suffix"] = fixed("loader_parameters.target_suffix", loader["target_suffix"])
    roi = section(loader, "roi_params")
    if roi.get("suffix"):
        roi["suffix"] = fixed("loader_parameters.roi_params.suffix", roi["suffix"])


def _third_axis_of_2d(tree: Tree, warnings: list[str]) -> None:
    if not _is_2d(tree):
        return
    steps = section(tree, "transformation")
    places = [(name, "size") for name in _CROPS] + [("RandomAffine", key) for key in ("scale", "translate")]
    for name, key in places:
        step = section(steps, name)
        value = step.get(key)
        if isinstance(value, (list, tuple)) and len(value) == 3:
            step[key] = list(value[:2])
            if key == "size" or value[2]:
                warnings.append(
                    f"transformation.{name}.{key}: {list(value)}, read as {step[key]}: the model is 2D"
                )


def _bounds_of_the_cosine(tree: Tree, warnings: list[str]) -> None:
    """The example configurations of 2.x have them with every scheduler."""
    scheduler = section(tree, "training_parameters.scheduler.lr_scheduler")
    name = scheduler.get("name", "CosineAnnealingLR")
    if name not in _SCHEDULES_WITHOUT_BOUNDS:
        return
    found = [key for key in ("base_lr", "max_lr") if scheduler.pop(key, None) is not None]
    if found:
        place = "training_parameters.scheduler.lr_scheduler"
        what = "they have" if len(found) > 1 else "it has"
        warnings.append(f"{place}.{', '.join(found)}: dropped, {what} no effect on {name}")


_RECONCILIATION: Steps = (
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
