"""Members of a packaged model: one for a plain model, several for an ensemble.

An ensemble is a folder ``NAME`` with ``NAME.json`` and the weights ``NAME_0.pt`` or ``NAME_0.onnx``, ``NAME_1.pt`` and
so on. The JSON is that of the first member. Its list ``ensemble`` has one object per member, in order, whose ``model``
is the folder in which the member was packaged; a member with another preparation of images than the first one has its
own JSON under ``config`` and, with FiLM, its ``film_encoder``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivadomed.config.tree import read_json
from ivadomed.errors import ConfigError, DataError, ModelNotFoundError
from ivadomed.loader.conditions import FILM_ENCODER, FilmEncoder
from ivadomed.models import get_model_filenames
from ivadomed.models.checkpoint import model_stem, preferred_weights

KEY = "ensemble"
"""Key of the list of members in the JSON file of an ensemble."""


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a packaged model.

    Args:
        weights: Its .pt or .onnx file.
        settings: Its JSON.
        place: File, and key in it, of the settings.
        origin: Folder in which it was packaged, with its parent: "fold_0/seg_sc".
        encoder: Content of the encoder of a FiLM network if stored in the JSON of an ensemble, else None.
        alone: The model has no other member.
        as_first: It has the settings of the first member, not its own.
    """

    weights: Path
    settings: Mapping[str, Any]
    place: str
    origin: str
    encoder: Mapping[str, Any] | None = None
    alone: bool = True
    as_first: bool = False

    @property
    def stem(self) -> Path:
        """Path of the weights without the extension."""
        return self.weights.parent / self.weights.name.removesuffix(self.weights.suffix)

    def film_encoder(self) -> FilmEncoder:
        """Encoder of a FiLM network.

        Raises:
            ConfigError: The encoder in the JSON is invalid.
            ModelError: The encoder is missing.
        """
        if self.encoder is None:
            return FilmEncoder.load(self.weights.parent)
        try:
            return FilmEncoder.from_json(self.encoder)
        except DataError as error:
            raise ConfigError(f"{self.place}.{Path(FILM_ENCODER).stem}: {error}") from error


def members_of(folder: str | os.PathLike[str]) -> list[Member]:
    """Members of a packaged model, one of a plain one.

    Raises:
        ConfigError: The JSON file or its list of members is invalid.
        ModelError: The folder or one of its files is missing.
    """
    stem = model_stem(folder)
    file = Path(f"{stem}.json")
    settings = read_json(file, strict=False) if file.is_file() else {}
    if KEY not in settings:
        weights, _ = get_model_filenames(folder)
        return [Member(Path(weights), settings, str(file), "/".join(stem.parent.resolve().parts[-2:]))]
    entries = settings.pop(KEY)
    if not (isinstance(entries, list) and entries and all(isinstance(entry, dict) for entry in entries)):
        raise ConfigError(f"{file}: {KEY}: {entries!r:.80}; expected a list with an object for each member")
    return [_member(stem, number, entry, settings) for number, entry in enumerate(entries)]


def _member(stem: Path, number: int, entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Member:
    weights = preferred_weights(Path(f"{stem}_{number}"))
    if weights is None:
        raise ModelNotFoundError(
            f"{stem.parent}: neither {stem.name}_{number}.pt nor {stem.name}_{number}.onnx found, a member of this "
            "ensemble; copy it again, or join its models again with ivadomed_ensemble"
        )
    own, encoder = entry.get("config"), entry.get(Path(FILM_ENCODER).stem)
    origin = str(entry.get("model", weights.name))
    if own is None:
        return Member(weights, settings, f"{stem}.json", origin, encoder, alone=False, as_first=number > 0)
    place = f"{stem}.json: {KEY}[{number}].config"
    if not isinstance(own, dict):
        raise ConfigError(
            f"{place}: {own!r:.80}; expected the configuration of this member, an object {{...}}"
        )
    return Member(weights, own, place, origin, encoder, alone=False)
