"""Conversion of model files of ivadomed 2.9.10 or older to packaged models."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from ivadomed.config import RunConfig, load_config, load_packaged
from ivadomed.errors import ConfigError, ModelError, OutputError
from ivadomed.images.files import write_json
from ivadomed.inference.backends import TorchForward
from ivadomed.models.base import Network, example_inputs
from ivadomed.models.checkpoint import load_model, save_model
from ivadomed.models.describe import Description, describe
from ivadomed.models.onnx import write_onnx
from ivadomed.models.registry import build_model

log = logging.getLogger(__name__)

_TOLERANCE = 1e-6


def convert_model(model: str | Path, folder: str | Path, config: str | Path | None = None) -> list[Path]:
    """Write a packaged model with the weights of an old file, and check that its output is the same.

    Args:
        model: Model file.
        folder: ``NEW``; gets ``NEW.pt``, ``NEW.onnx`` and, with a configuration, ``NEW.json``.
        config: JSON configuration; None for the one next to the model, if any.

    Returns:
        The files written.

    Raises:
        ModelError: The file is refused, or the output of the new one differs.
        ConfigError: The configuration is wrong, or belongs to another model.
        OutputError: The folder already has a model.
    """
    old, folder = Path(model), Path(folder)
    stem = folder / folder.resolve().name
    new, onnx, settings = (Path(f"{stem}{suffix}") for suffix in (".pt", ".onnx", ".json"))
    for there in (new, onnx, settings):
        if there.exists():
            raise OutputError(f"{there}: exists already; choose another folder or delete it")
    network = load_model(old)
    try:
        description = describe(network)
    except ModelError as error:
        raise ModelError(f"{old}: {error}") from error
    run = _configuration(old, config, network)
    if run is not None:
        _check_fits(run, description, old)
    rebuilt = build_model(description.name, description.arguments).eval()
    rebuilt.load_state_dict(network.state_dict())
    _check_same_output(rebuilt, network, description, old)
    save_model(new, rebuilt, description.name, description.arguments)
    if run is not None:
        write_json(settings, run.to_json(hide_secrets=True))
    has_onnx = write_onnx(folder, rebuilt, description.in_channel, description.is_2d)
    return [new, *([onnx] if has_onnx else []), *([settings] if run is not None else [])]


def _configuration(old: Path, config: str | Path | None, network: Network) -> RunConfig | None:
    """Complete configuration, or only the keys for prediction if it can no longer be trained.

    In both cases, the postprocessing is that of the packaged model in older versions.
    """
    path = old.with_suffix(".json") if config is None else Path(config)
    if config is None and not path.is_file():
        return None
    predicting = load_packaged(path, TorchForward(network, torch.device("cpu")))
    try:
        run = load_config(path)
    except ConfigError as error:
        log.warning("%s\nThe packaged model gets only the keys for prediction.", error)
        return predicting
    return run.model_copy(update={"postprocessing": predicting.postprocessing})


def _check_fits(run: RunConfig, description: Description, old: Path) -> None:
    """Refuse a configuration of another model, which would preprocess images wrongly."""
    found = (description.name, description.in_channel, description.out_channel, description.is_2d)
    wanted = (run.architecture.name, run.in_channel, run.out_channel, run.is_2d)
    if found != wanted:
        texts = [
            "{}, {} input and {} output channels, {}D".format(*v[:3], 2 if v[3] else 3)
            for v in (wanted, found)
        ]
        raise ConfigError(f"the configuration is of another model: {texts[0]}; {old} holds {texts[1]}")


def _check_same_output(rebuilt: Network, network: Network, description: Description, old: Path) -> None:
    size = network.example_size(2 if description.is_2d else 3)
    inputs = example_inputs(network, (2, description.in_channel, *size))
    with torch.no_grad():
        one, two = (model(*model.inputs(inputs)) for model in (rebuilt, network))
    difference = float((one - two).abs().max())
    if not difference <= _TOLERANCE:  # also true for NaN
        raise ModelError(
            f"{old}: rebuilt from {description.arguments} its output differs by {difference:.2g}, at most "
            f"{_TOLERANCE} was expected; nothing was written"
        )
