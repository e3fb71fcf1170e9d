"""Packaged models joined to an ensemble, which is a packaged model again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ivadomed.errors import ConfigError, ModelError
from ivadomed.images.files import atomic_folder, atomic_path, write_json
from ivadomed.inference.members import KEY, Member, members_of
from ivadomed.inference.packaged import PackagedModel
from ivadomed.loader.conditions import FILM_ENCODER


def join_models(
    folders: Sequence[str | Path],
    folder: str | Path,
    postprocessing: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Join packaged models to an ensemble, of which the soft predictions are averaged with equal weights.

    Members of an ensemble among them become members of the new one. The settings are those of the first model, but for
    those by which images are prepared: each member keeps its own.

    Args:
        folders: Folders of packaged models that segment the same classes of the same channels.
        folder: ``NAME``, which gets ``NAME.json`` and the weights of each member; it appears when it is whole.
        postprocessing: Section of the ensemble; None for that of the first model.
        overwrite: Replace a folder that holds something.

    Returns:
        The folder.

    Raises:
        ConfigError: There is no model, or one has other classes or channels than the first one.
        ModelError: One cannot be opened, or classifies.
        OutputError: The folder holds something already, or cannot be written.
    """
    target = Path(folder).expanduser().resolve()
    if not folders:
        raise ConfigError("join_models: no model given; expected the folders of packaged models")
    with atomic_folder(target, replace=overwrite) as partial:
        members = [(Path(one), member) for one in folders for member in members_of(one)]
        entries: list[dict[str, Any]] = []
        first: PackagedModel | None = None
        for number, (source, member) in enumerate(members):
            # One is open at a time, beside the first.
            model = PackagedModel.of(member, torch.device("cpu"))
            first = first or model
            _refuse_unlike(first, model)
            _copy_weights(member, partial / f"{target.name}_{number}")
            own = {} if model.preparation == first.preparation else _own_settings(model, member)
            entries.append({"model": source.resolve().name, **own})
        assert first is not None
        if first.encoder is not None:
            first.encoder.save(partial)
        settings = {**members[0][1].settings, "model_name": target.name}
        if postprocessing is not None:
            settings["postprocessing"] = dict(postprocessing)
        write_json(partial / f"{target.name}.json", {**settings, KEY: entries})
    return target


def _own_settings(model: PackagedModel, member: Member) -> dict[str, Any]:
    encoder = {} if model.encoder is None else {Path(FILM_ENCODER).stem: model.encoder.to_json()}
    return {"config": dict(member.settings), **encoder}


def _copy_weights(member: Member, stem: Path) -> None:
    for suffix in (".pt", ".onnx"):
        source = Path(f"{member.stem}{suffix}")
        if source.is_file():
            with atomic_path(f"{stem}{suffix}") as temporary:
                shutil.copyfile(source, temporary)


def _refuse_unlike(first: PackagedModel, other: PackagedModel) -> None:
    """Refuse a model whose predictions cannot be averaged with those of the first one.

    Raises:
        ConfigError: It has other classes, channels, or boxes to work in.
        ModelError: It classifies.
    """
    if other.config.task == "classification":
        raise ModelError(f"{other.file}: classifies slices; an ensemble is made of networks that segment")
    for things, of in _COMPARED.items():
        one, two = of(first), of(other)
        if one != two:
            raise ConfigError(
                f"{first.file} and {other.file}: {things} are {one} and {two}; models of an ensemble have the same"
            )


def _channels(model: PackagedModel) -> list[str]:
    """Contrasts that are channels; a network of one channel may have been trained on several."""
    return list(model.config.channel_names) if model.config.in_channel > 1 else ["one"]


_COMPARED: dict[str, Callable[[PackagedModel], Any]] = {
    "tasks": lambda model: model.config.task,
    "classes (loader_parameters.target_suffix)": lambda model: list(model.config.class_names),
    "channels (loader_parameters.contrast_params.training_validation)": _channels,
}
