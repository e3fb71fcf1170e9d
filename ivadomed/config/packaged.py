"""Read the JSON file of a packaged model of any version for prediction.

Training refuses unknown keys. Prediction uses only the keys it needs and ignores the rest: a model must not fail on
a loss, a tracker or an augmentation used only in training. Anything that would change the prediction (an unknown
preprocessing transform, a wrong size) is still an error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ivadomed.config import problems
from ivadomed.config.check import contradictions, refusal
from ivadomed.config.migrate import RENAMED, migrate, reconcile
from ivadomed.config.schema.models import PatchSizes
from ivadomed.config.schema.run import SECTIONS, RunConfig
from ivadomed.config.tree import Tree, join, read_json, section
from ivadomed.errors import ConfigError
from ivadomed.images.label_suffix import LabelSuffix
from ivadomed.models.specs import SPECS, spec_of
from ivadomed.postprocessing import STEPS
from ivadomed.registry import parameters
from ivadomed.transforms import TRANSFORMS

logger = logging.getLogger(__name__)

_NETWORK = (*PatchSizes.model_fields, "metadata", "film_layers")
# Section ("" is the top level) -> keys used for prediction.
_TAKEN: dict[str, tuple[str, ...]] = {
    "": ("blend", "mirror_axes"),
    "object_detection_params": ("object_detection_path", "safety_factor", "anchor"),
    "loader_parameters": ("target_suffix", "slice_axis", "multichannel"),
    "loader_parameters.contrast_params": ("training_validation",),
    "loader_parameters.roi_params": ("suffix", "slice_filter_roi"),
    "loader_parameters.slice_filter_params": (
        "filter_empty_input",
        "filter_classification",
        "classifier_path",
    ),
    "training_parameters": ("batch_size", "precision"),
    "default_model": ("name", "is_2d", *_NETWORK),
    **dict.fromkeys(SECTIONS, ("applied", *_NETWORK)),
}
# Keys that affect neither predictions nor their names; a wrong value is replaced by the default.
_INDIFFERENT = {"training_parameters.batch_size", "training_parameters.precision", "blend"}
_SEEN_BY_A_NETWORK = {"im", "roi"}


class OpenedNetwork(Protocol):
    """Channels and dimensions of a network; None where its file does not specify them.

    Attributes:
        in_channel: Channels of the image.
        is_2d: True where the images are [B, C, H, W].
    """

    @property
    def in_channel(self) -> int | None: ...

    @property
    def is_2d(self) -> bool | None: ...

    def count_classes(self) -> int | None:
        """Channels of the prediction."""
        ...


def load_packaged(path: str | Path, network: OpenedNetwork) -> RunConfig:
    """Configuration of a packaged model for prediction, from its JSON file; see ``packaged_config``.

    Args:
        path: JSON file.
        network: Network of the model.

    Raises:
        ConfigError: The file is not a JSON object, or prediction needs a key that is wrong.
    """
    return packaged_config(read_json(path, strict=False), network, str(path))


def packaged_config(settings: Mapping[str, Any], network: OpenedNetwork, place: str) -> RunConfig:
    """Configuration of a packaged model for prediction: the settings that it uses, completed by defaults.

    Args:
        settings: Content of its JSON file.
        network: Network of the model; it decides where the JSON is silent or contradicts it.
        place: Location of the settings, for messages.

    Returns:
        The configuration. Ignored settings are logged at debug level, and as one warning if they may change a
        prediction.

    Raises:
        ConfigError: Prediction needs a key that is wrong.
    """
    raw = dict(settings)
    # 2.x read this section in training only: a packaged model with no other section predicts soft values.
    testing = raw.pop("testing_parameters", None)
    if testing is not None:
        logger.debug("%s: testing_parameters: not used by prediction", place)
    kept = {
        key: value
        for key, value in raw.items()
        if isinstance(value, (dict, str, int, float)) or key in _TAKEN[""]
    }
    tree, notes = migrate(kept)
    doubts: list[str] = []
    taken = _take(tree, notes)
    taken["postprocessing"] = _steps(section(tree, "postprocessing"), notes, doubts)
    _drop_unknown_network(taken, notes)
    # Suffixes name results here and are kept as written; training searches for files with these suffixes.
    suffixes = taken["loader_parameters"].pop("target_suffix", None)
    taken, more = reconcile(taken)
    _fit(taken, network, notes, place)
    # Only now is the number of axes of its sizes certain.
    taken["transformation"] = _transforms(section(tree, "transformation"), notes, place)
    taken, last = reconcile(taken)
    taken["loader_parameters"]["target_suffix"] = _class_names(suffixes, network, notes)
    _drop_idle_sections(taken, notes)
    notes += [*more, *last]
    config = _validated(taken, notes, place)
    for note in notes:
        logger.debug("%s: %s", place, note)
    if doubts:
        logger.warning("%s: ignored for prediction: %s", place, "; ".join(doubts))
    return config


def _take(tree: Tree, notes: list[str]) -> Tree:
    """Keys of `_TAKEN` that are not null."""
    taken: Tree = {}
    for place, keys in _TAKEN.items():
        target = taken
        for name in filter(None, place.split(".")):
            target = target.setdefault(name, {})
        below = {inner for outer, _, inner in (name.rpartition(".") for name in _TAKEN) if outer == place}
        for key, value in section(tree, place).items():
            if key in keys and value is not None:
                target[key] = value
            elif key not in below and not (place == "" and key in ("transformation", "postprocessing")):
                notes.append(f"{join(place, key)}: not used by prediction")
    return taken


def _transforms(chain: Tree, notes: list[str], place: str) -> Tree:
    """Transforms applied to images of the test set, by name, in order."""
    renamed = RENAMED["transformation"]
    chosen: Tree = {}
    for name, arguments in _switched_on(chain).items():
        if not isinstance(arguments, dict):
            raise ConfigError(
                f"{place}: transformation.{name}: {arguments!r:.80}; expected an object {{...}}"
            )
        sets, kinds = (_names(arguments.get(key)) for key in ("dataset_type", "applied_to"))
        if sets and "testing" not in sets:
            notes.append(
                f"transformation.{name}: not used by prediction, it is for {', '.join(sorted(sets))}"
            )
        elif kinds and not kinds & _SEEN_BY_A_NETWORK:
            notes.append(
                f"transformation.{name}: not used by prediction, it changes {', '.join(sorted(kinds))}"
            )
        else:
            if ":" in name:
                TRANSFORMS.find(name, allow_import=False)
            kept = {key: argument for key, argument in arguments.items() if key != "dataset_type"}
            chosen[renamed.get(name) or name] = kept | ({"applied_to": sorted(kinds)} if kinds else {})
    return chosen


def _switched_on(chain: Tree) -> Tree:
    """Arguments of each step, none for a step that is just true; steps that are null or false are omitted."""
    return {
        name: {} if value is True else value for name, value in chain.items() if value not in (None, False)
    }


def _names(value: Any) -> set[str]:
    """Names in a list, or a single name; empty for anything else."""
    names = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return {str(name) for name in names}


def _steps(chain: Tree, notes: list[str], doubts: list[str]) -> Tree:
    """Postprocessing steps by name, in order, with the arguments they accept."""
    chosen: Tree = {}
    for name, arguments in _switched_on(chain).items():
        if not (name in STEPS or ":" in name) or not isinstance(arguments, dict):
            doubts.append(f"postprocessing.{name}")
            continue
        STEPS.find(name, allow_import=False)
        surplus = [key for key in arguments if name in STEPS and key not in parameters(STEPS[name])[0]]
        notes += [f"postprocessing.{name}.{key}: not used by prediction" for key in surplus]
        chosen[name] = {
            key: argument
            for key, argument in arguments.items()
            if key not in surplus and argument is not None
        }
    threshold = chosen.get("binarize_prediction", {}).get("thr")
    if isinstance(threshold, (int, float)) and not isinstance(threshold, bool) and threshold <= 0:
        # A threshold that every voxel reaches means soft predictions, not a mask of ones.
        del chosen["binarize_prediction"]
        notes.append(f"postprocessing.binarize_prediction.thr: {threshold}, predictions stay soft")
    return chosen


def _fit(taken: Tree, network: OpenedNetwork, notes: list[str], place: str) -> None:
    """Complete a configuration, in place, from the network."""
    loader, model = taken["loader_parameters"], taken["default_model"]
    name = next((name for name in SECTIONS if taken[name].get("applied")), model.get("name", "Unet"))
    told = spec_of(name).is_2d(model.get("is_2d", True) is not False)
    if network.is_2d not in (None, told):
        notes.append(f"the network is {'2D' if network.is_2d else '3D'}, which decides")
        _set_dimensions(taken, name, network.is_2d, place)
    contrasts = loader["contrast_params"].get("training_validation")
    if isinstance(contrasts, str):
        contrasts = loader["contrast_params"]["training_validation"] = [contrasts]
    n_channels = network.in_channel
    if n_channels is not None:
        known = contrasts if isinstance(contrasts, list) else []
        if n_channels > 1 and len(known) != n_channels:
            spare = [f"channel_{channel}" for channel in range(len(known), n_channels)]
            known = [*known, *spare][:n_channels]
            notes.append(
                f"loader_parameters.contrast_params: the channels are called {', '.join(map(str, known))}"
            )
            loader["contrast_params"]["training_validation"] = known
        loader["multichannel"] = n_channels > 1


def _class_names(suffixes: Any, network: OpenedNetwork, notes: list[str]) -> list[Any]:
    if isinstance(suffixes, str) and suffixes:
        return [suffixes]
    if isinstance(suffixes, list) and suffixes and all(suffixes):
        return [name if _is_label(name) else str(name).replace(":", "-") for name in suffixes]
    names = [f"class_{number}" for number in range(network.count_classes() or 1)]
    notes.append(f"loader_parameters.target_suffix: the classes are called {names}")
    return names


def _is_label(name: Any) -> bool:
    try:
        return isinstance(name, list) or bool(LabelSuffix.parse(name))
    except (ValueError, AttributeError):
        return False


def _drop_idle_sections(taken: Tree, notes: list[str]) -> None:
    """Remove, in place, sections that the rest of the file disables: other networks, an unused cascade."""
    for name in SECTIONS:
        if taken[name] and not taken[name].get("applied"):
            del taken[name]
            notes.append(f"{name}: not used by prediction, it is not applied")
    if not taken["object_detection_params"].get("object_detection_path"):
        del taken["object_detection_params"]
    roi = taken["loader_parameters"]["roi_params"]
    if "ROICrop" in taken["transformation"] and not roi.get("suffix"):
        # Any name will do: the region is the prior passed with the image.
        roi["suffix"] = "_prior"


def _drop_unknown_network(taken: Tree, notes: list[str]) -> None:
    """Remove the name of an unknown architecture: the file of the network is enough."""
    name = taken["default_model"].get("name")
    if name is not None and not (isinstance(name, str) and (":" in name or name in SPECS)):
        notes.append(f"default_model.name: {name!r} not used by prediction")
        del taken["default_model"]["name"]


def _set_dimensions(taken: Tree, name: str, is_2d: bool, place: str) -> None:
    """Set the dimensions of the architecture, in place."""
    model, others = taken["default_model"], [taken[other] for other in SECTIONS]
    model["is_2d"] = is_2d
    if len(spec_of(name).dimensions) == 1:
        model["name"] = "Unet"
        for other in others:
            other["applied"] = False
    if not is_2d and not model.get("length_3D"):
        windows = next((other for other in others if other.get("length_3D")), None)
        if windows is None:
            raise ConfigError(
                f"{place}: default_model.length_3D: is missing, and the network is 3D; expected the size of the "
                "patches that it was trained with"
            )
        model |= {key: windows[key] for key in ("length_3D", "stride_3D") if key in windows}


def _validated(taken: Tree, notes: list[str], place: str) -> RunConfig:
    """Typed configuration; keys that this architecture does not have are removed one at a time."""
    while True:
        entries: list[ErrorDetails] = []
        try:
            config = RunConfig.model_validate(taken)
            lines = contradictions(config, only_predicts=True)
            if not lines:
                return config
        except ValidationError as error:
            entries = error.errors(include_url=False)
            lines = problems.lines(RunConfig, error)
        removed = False
        for entry in entries:
            path, _ = problems.resolve(RunConfig, entry["loc"])
            name = problems.render_path(path)
            surplus = entry["type"] == "extra_forbidden" and path[0] != "transformation"
            if surplus or name in _INDIFFERENT:
                parent: Any = taken
                for key in path[:-1]:
                    parent = parent[key]
                removed = parent.pop(path[-1], None) is not None or removed
                notes.append(f"{name}: not used by prediction")
        if not removed:
            raise refusal(place, lines)
