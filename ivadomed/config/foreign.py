"""Input from users of other libraries and versions: JSON files that are not configurations, and foreign names.

TorchIO, MONAI, nnU-Net, torchvision and branches of ivadomed 2.x use other names for the same things. The message
about an unknown name suggests our equivalent; one that is merely similar (RandomTranslation, RandomContrast) would
not help.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

Content = Mapping[str, Any]

_SIDECAR = {
    *("Manufacturer", "ManufacturersModelName", "MagneticFieldStrength", "EchoTime", "RepetitionTime"),
    *(
        "InversionTime",
        "FlipAngle",
        "SliceThickness",
        "SeriesDescription",
        "ProtocolName",
        "ConversionSoftware",
    ),
    *("PixelSize", "PixelSizeUnits", "SampleStaining", "Modality", "ImageType"),
}
_LABEL = {"Author", "Label", "RawSources", "Sources", "Type", "Space", "GeneratedBy"}
_METRICS = ("dice", "iou", "loss", "recall", "precision", "specificity", "hausdorff", "accuracy", "auc")
_COLUMN = {"Description", "LongName", "Levels", "Units"}


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _all(content: Content, test: Callable[[Any], bool]) -> bool:
    return bool(content) and all(map(test, content.values()))


def _is_metrics(content: Content) -> bool:
    return any(
        _is_metrics(value)
        if isinstance(value, Mapping)
        else _number(value) and any(word in key.lower() for word in _METRICS)
        for key, value in content.items()
    )


_CONTRASTS = "a table of contrasts and their ids (contrast_dct.json), which belongs to a FiLM model"
_SCORES = "a table of metrics or losses of a model"
_BY_VALUES = (_CONTRASTS, _SCORES)
# First the kinds with distinctive keys, then those recognized by their values.
_KINDS: tuple[tuple[Callable[[Content], bool], str], ...] = (
    (
        lambda c: {"properties", "$defs"} <= c.keys() or {"properties", "type"} <= c.keys(),
        "a JSON Schema; a configuration names it under the key $schema",
    ),
    (
        lambda c: "BIDSVersion" in c,
        "the dataset_description.json of a BIDS data set; the folder it lies in belongs into "
        "loader_parameters.path_data",
    ),
    (
        lambda c: "labels" in c and not c.keys().isdisjoint(("channel_names", "modality")),
        "the dataset.json of a data set of nnU-Net or the Decathlon; the folder it lies in belongs into "
        "loader_parameters.path_data",
    ),
    (
        lambda c: isinstance(c.get("entities"), list) or "default_path_patterns" in c,
        "a BIDS layout; its path belongs into loader_parameters.bids_config",
    ),
    (
        lambda c: all(isinstance(c.get(side), list) for side in ("train", "valid", "test")),
        "the split of a run; its path belongs into split_dataset.fname_split",
    ),
    (
        lambda c: isinstance(c.get("config"), Mapping) and "libraries" in c,
        "the manifest of a run; its configuration is config_file.json next to it",
    ),
    (lambda c: {"cells", "nbformat"} <= c.keys(), "a Jupyter notebook"),
    (
        lambda c: _all(c, lambda value: isinstance(value, Mapping) and bool(_COLUMN & value.keys())),
        "the description of a table's columns (such as participants.json of a BIDS data set)",
    ),
    (
        lambda c: bool(_SIDECAR & c.keys()),
        "the sidecar of an image; the folder of its data set belongs into loader_parameters.path_data",
    ),
    (
        lambda c: _all(c, lambda box: isinstance(box, list) and len(box) == 6 and all(map(_number, box))),
        "a table of bounding boxes, which a cascade keeps in its path_output",
    ),
    (_is_metrics, _SCORES),
    (lambda c: _all(c, lambda value: _number(value) and isinstance(value, int)), _CONTRASTS),
    (lambda c: bool(_LABEL & c.keys()), "the sidecar of a label"),
)


def kind_of(content: Content, known: set[str], deeper: set[str]) -> str | None:
    """Kind of a JSON object that is not a configuration, in words.

    Args:
        content: Content of the file.
        known: Keys that a configuration may have.
        deeper: Keys of its sections; a file that has one may be a section without its name.

    Returns:
        None if a key is one of a configuration's, or if the kind of file is unknown.
    """
    if not content or known & content.keys():
        return None
    kind = next((words for fits, words in _KINDS if fits(content)), None)
    return kind if kind not in _BY_VALUES or not deeper & content.keys() else None


def meaning(name: str) -> str | None:
    """Our equivalent of a foreign name, with a short explanation; None for an unknown name."""
    lower, names = name.lower(), _other_names()
    # MONAI appends a "d" to its dictionary transforms, batchgenerators "Transform"; some libraries omit "Random".
    ends = ("", *(end for end in ("d", "transform") if lower.endswith(end)))
    words = [before + lower.removesuffix(end) for before in ("", "random", "rand") for end in ends]
    return next((names[word] for word in words if word in names), None)


@cache
def _other_names() -> dict[str, str]:
    table = Path(__file__).with_name("tables") / "other_names.json"
    return dict(json.loads(table.read_text(encoding="utf-8")))
