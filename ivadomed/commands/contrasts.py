"""A configuration that names no contrasts means all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ivadomed.config import RunConfig
from ivadomed.config.tree import expand, merged, read_json
from ivadomed.images.files import write_json
from ivadomed.loader.build import index_data
from ivadomed.runtime.ranks import is_first_process
from ivadomed.runtime.terminal import say

_KEY = "loader_parameters.contrast_params.training_validation"


def with_contrasts(config: RunConfig, folder: Path) -> RunConfig:
    """The configuration with its contrasts; where it names none those of the trained model, else of the data set.

    They are shown, and the run's configuration file keeps them: the channels of a network are contrasts.
    """
    if config.contrasts_for("training"):
        return config
    found = (_of_model(config.model_folder) if config.command != "train" else []) or _of_data(config, folder)
    say("Contrasts", f"all, for the configuration names none: {', '.join(found)}")
    plain = merged(config.to_json(), expand({_KEY: found}))
    if is_first_process():
        hidden = merged(config.to_json(hide_secrets=True), expand({_KEY: found}))
        write_json(folder / "config_file.json", hidden)
    return RunConfig.model_validate(plain)


def _of_model(folder: Path) -> list[str]:
    file = folder / f"{folder.name}.json"
    if not file.is_file():
        return []
    content: Any = read_json(file)
    for key in _KEY.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, list) else []


def _of_data(config: RunConfig, folder: Path) -> list[str]:
    return sorted({image.suffix for image in index_data(config, folder).images.values()})
