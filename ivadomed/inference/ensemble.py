"""Join packaged models to an ensemble, which is itself a packaged model."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ivadomed.errors import ConfigError, ModelError
from ivadomed.images.files import atomic_folder, atomic_path, write_json
from ivadomed.inference.members import KEY, Member, members_of
from ivadomed.inference.packaged import PackagedModel
from ivadomed.loader.conditions import FILM_ENCODER

if TYPE_CHECKING:
    from ivadomed.config import RunConfig


def join_models(
    folders: Sequence[str | Path],
    folder: str | Path,
    postprocessing: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Join packaged models to an ensemble that averages their soft predictions with equal weights.

    If one of them is an ensemble, its members become members of the new one. Settings are those of the first model,
    except for the preparation of images, for which each member keeps its own.

    Args:
        folders: Folders of packaged models that segment the same classes from the same channels.
        folder: ``NAME``, for ``NAME.json`` and the weights of each member; it is created atomically.
        postprocessing: Section of the ensemble; None for that of the first model.
        overwrite: Replace a nonempty folder.

    Returns:
        The folder.

    Raises:
        ConfigError: There is no model, one is given twice, or one differs from the first in classes, channels or
            additional inputs.
        ModelError: One cannot be opened, or is a classifier.
        OutputError: The folder is not empty, or cannot be written.
    """
    target = Path(folder).expanduser().resolve()
    if not folders:
        raise ConfigError("join_models: no model given; expected the folders of packaged models")
    places = [Path(one).resolve() for one in folders]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise ConfigError(f"{twice}: is given twice; it would count twice as much as the others")
    with atomic_folder(target, replace=overwrite) as partial:
        members = [member for one in folders for member in members_of(one)]
        entries: list[dict[str, Any]] = []
        first: PackagedModel | None = None
        for number, member in enumerate(members):
            # Only one is open at a time, in addition to the first.
            model = PackagedModel.of(member, torch.device("cpu"))
            first = first or model
            _refuse_unlike(first, model)
            _copy_weights(member, partial / f"{target.name}_{number}")
            own = {} if model.preparation == first.preparation else _own_settings(model, member)
            entries.append({"model": member.origin, **own})
        assert first is not None
        if first.encoder is not None:
            first.encoder.save(partial)
        settings = {**members[0].settings, "model_name": target.name}
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
        ConfigError: It has other classes, channels or additional inputs.
        ModelError: It is a classifier.
    """
    if other.config.task == "classification":
        raise ModelError(f"{other.file}: classifies slices; ensembles consist of networks that segment")
    for key, of in _COMPARED.items():
        one, two = of(first.config), of(other.config)
        if one != two:
            raise ConfigError(
                f"{other.file}: {key} is {two}, and {one} of {first.file}; all models of an ensemble must agree in it"
            )


def _channels(config: RunConfig) -> Any:
    """Contrasts used as channels; a single-channel network may be trained on several contrasts."""
    return list(config.channel_names) if config.in_channel > 1 else "one channel"


def _boxes(config: RunConfig) -> Any:
    """Everything that determines the box in which the second model of a cascade works; None without a cascade."""
    if config.object_detection_params.object_detection_path is None:
        return None
    plain = config.to_json()["object_detection_params"] | {"slice_axis": config.loader_parameters.slice_axis}
    return {key: value for key, value in plain.items() if key != "anchor"}


_COMPARED: dict[str, Callable[[RunConfig], Any]] = {
    "loader_parameters.target_suffix": lambda config: list(config.class_names),
    "loader_parameters.contrast_params.training_validation": _channels,
    "the task": lambda config: config.task,
    "object_detection_params": _boxes,
    "the need of a region of interest (ROICrop)": lambda config: (
        config.loader_parameters.roi_params.suffix is not None
    ),
    "metadata": lambda config: config.metadata_type,
    "the use of missing contrasts (HeMISUnet)": lambda config: config.network.missing_contrasts,
}
"""Inputs requested once for all members, and the meaning of the results."""
