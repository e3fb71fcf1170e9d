"""Keys of older versions: renamed, moved or dropped, each with one warning.

Old names are read and never written. Plain dictionaries only; nothing is validated here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from ivadomed.config.legacy_keys import DROPPED, DROPPED_EVERYWHERE, MOVED, RENAMED

Tree = dict[str, Any]


def migrate(raw: Mapping[str, Any]) -> tuple[Tree, list[str]]:
    """Bring a configuration of an older version to today's keys.

    Args:
        raw: The JSON's content, complete or a part of it; not changed.

    Returns:
        A new dictionary, and one warning per key that was renamed, moved or dropped. A key without an old
        form, known or not, is kept as it is and in its place.
    """
    tree: Tree = deepcopy(dict(raw))
    warnings: list[str] = []
    own = _own_model(tree)
    if own is not None:  # its keys are arguments of a class that no older version knew
        tree["default_model"] = {}
    for step in _STEPS:
        tree = step(tree, warnings)
    return (tree if own is None else {**tree, "default_model": own}), warnings


def _own_model(tree: Tree) -> Tree | None:
    """`default_model` when it names a class of the user's own, as ``package.module:Class``."""
    default = _section(tree, "default_model")
    return default if default is not None and ":" in str(default.get("name")) else None


def _section(tree: Tree, path: str) -> Tree | None:
    node: Any = tree
    for key in filter(None, path.split(".")):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def _join(section: str, key: str) -> str:
    return f"{section}.{key}" if section else key


def _rename_keys(tree: Tree, warnings: list[str]) -> Tree:
    for section, names in RENAMED.items():
        node = _section(tree, section)
        if node is None or not names.keys() & node.keys():
            continue
        renamed: Tree = {}
        for key, value in node.items():
            new = names.get(key)
            if new is None:
                renamed[key] = value
            elif new in node or new in renamed:
                warnings.append(f"{_join(section, key)}: ignored, {_join(section, new)} is given too")
            else:
                warnings.append(f"{_join(section, key)}: old name, read as {_join(section, new)}")
                renamed[new] = value
        node.clear()
        node.update(renamed)
    return tree


def _move_keys(tree: Tree, warnings: list[str]) -> Tree:
    for (section, key), (target, new) in MOVED.items():
        node = _section(tree, section)
        if node is None or key not in node:
            continue
        home: Any = tree
        for part in target.split("."):
            home = home.setdefault(part, {}) if isinstance(home, dict) else None
        if not isinstance(home, dict):
            continue
        value = node.pop(key)
        if new in home:
            warnings.append(f"{_join(section, key)}: ignored, {_join(target, new)} is given too")
        else:
            home[new] = value
            warnings.append(f"{_join(section, key)}: old place, read as {_join(target, new)}")
    return tree


def _drop_everywhere(tree: Tree, warnings: list[str], place: str = "") -> Tree:
    kept: Tree = {}
    for key, value in tree.items():
        path = _join(place, key)
        if key in DROPPED_EVERYWHERE:
            warnings.append(f"{path}: dropped, {DROPPED_EVERYWHERE[key]}")
        else:
            kept[key] = _drop_everywhere(value, warnings, path) if isinstance(value, dict) else value
    return kept


def _drop_keys(tree: Tree, warnings: list[str]) -> Tree:
    for section, reasons in DROPPED.items():
        node = _section(tree, section) or {}
        for key in [key for key in node if key in reasons]:
            del node[key]
            warnings.append(f"{_join(section, key)}: dropped, {reasons[key]}")
    for name, arguments in (_section(tree, "transformation") or {}).items():
        if isinstance(arguments, dict) and "preprocessing" in arguments:
            del arguments["preprocessing"]
            warnings.append(f"transformation.{name}.preprocessing: dropped, it follows from the transform")
    return tree


def _gpu(tree: Tree, warnings: list[str]) -> Tree:
    ids = tree.get("gpu_ids")
    if isinstance(ids, int) and not isinstance(ids, bool):
        tree["gpu_ids"] = [ids] if ids >= 0 else []
        warnings.append(f"gpu_ids: {ids}, read as the list {tree['gpu_ids']}")
    if "gpu" not in tree:
        return tree
    gpu = tree["gpu"]
    if "gpu_ids" in tree:
        warnings.append("gpu: ignored, gpu_ids is given too")
        return {key: value for key, value in tree.items() if key != "gpu"}
    on_cpu = gpu is None or (isinstance(gpu, int) and gpu < 0)
    ids = gpu if isinstance(gpu, list) else [] if on_cpu else [gpu]
    warnings.append(f"gpu: old name, read as gpu_ids {ids}")
    return {
        ("gpu_ids" if key == "gpu" else key): (ids if key == "gpu" else value) for key, value in tree.items()
    }


def _split(tree: Tree, warnings: list[str]) -> Tree:
    split = _section(tree, "split_dataset")
    if split is None:
        return tree
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
    return tree


def _training(tree: Tree, warnings: list[str]) -> Tree:
    training = _section(tree, "training_parameters")
    if training is not None and isinstance(training.get("balance_samples"), bool):
        training["balance_samples"] = {"applied": training["balance_samples"], "type": "gt"}
        warnings.append("training_parameters.balance_samples: old form, read as {applied, type: 'gt'}")
    scheduler = _section(tree, "training_parameters.scheduler.lr_scheduler")
    if scheduler and "name" not in scheduler:
        scheduler["name"] = "CosineAnnealingLR"
        warnings.append(
            "training_parameters.scheduler.lr_scheduler.name: missing, read as 'CosineAnnealingLR'"
        )
    return tree


def _loader(tree: Tree, warnings: list[str]) -> Tree:
    loader = _section(tree, "loader_parameters")
    if loader is None or "roi_suffix" not in loader:
        return tree
    suffix = loader.pop("roi_suffix")
    roi = loader.setdefault("roi_params", {})
    if isinstance(roi, dict) and suffix is not None and roi.get("suffix") is None:
        roi["suffix"] = suffix
    warnings.append("loader_parameters.roi_suffix: old name, read as loader_parameters.roi_params.suffix")
    return tree


def _models(tree: Tree, warnings: list[str]) -> Tree:
    default = _section(tree, "default_model")
    if default is not None:
        if default.get("name") == "UNet3D":
            default["name"] = "Modified3DUNet"
            warnings.append("default_model.name: old name 'UNet3D', read as 'Modified3DUNet'")
        folder = default.get("folder_name")
        if isinstance(folder, str) and folder and "model_name" not in tree:
            tree["model_name"] = default.pop("folder_name")
            warnings.append("default_model.folder_name: old place, read as model_name")
        if "relu" in default:
            relu = default.pop("relu")
            if relu and "final_activation" not in default:
                default["final_activation"] = "relu"
            warnings.append("default_model.relu: old name, read as default_model.final_activation")
    film = _section(tree, "FiLMedUnet")
    if film is not None and film.get("metadata") == "contrast":
        film["metadata"] = "contrasts"
        warnings.append("FiLMedUnet.metadata: old value 'contrast', read as 'contrasts'")
    return tree


def _testing(tree: Tree, warnings: list[str]) -> Tree:
    testing = {} if tree.get("testing_parameters", 0) is None else _section(tree, "testing_parameters")
    if testing is None:
        return tree
    tree = {key: value for key, value in tree.items() if key != "testing_parameters"}
    testing = dict(testing)
    if "uncertainty" in testing:
        uncertainty = testing.pop("uncertainty")
        if "uncertainty" in tree:
            warnings.append("testing_parameters.uncertainty: ignored, uncertainty is given too")
        else:
            tree["uncertainty"] = uncertainty
            warnings.append("testing_parameters.uncertainty: old place, read as uncertainty")
    if "binarize_prediction" in testing:
        _binarize(tree, testing.pop("binarize_prediction"), warnings)
    for key, value in testing.items():  # Unknown there: kept in sight of the validation.
        tree.setdefault("testing_parameters", {})[key] = value
    return tree


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


_STEPS: tuple[Callable[[Tree, list[str]], Tree], ...] = (
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
