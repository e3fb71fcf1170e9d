"""The packaged model: the folder that toolboxes and ``--segment`` use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

from ivadomed.config import RunConfig
from ivadomed.files import write_json
from ivadomed.models.base import Network
from ivadomed.models.checkpoint import load_model, save_model
from ivadomed.models.onnx import export_onnx

log = logging.getLogger(__name__)


def package_model(config: RunConfig, weights: Path, folder: Path) -> None:
    """Write ``NAME/NAME.pt``, ``NAME/NAME.onnx`` and ``NAME/NAME.json``.

    Args:
        config: Of the run.
        weights: Model file to package, such as ``best_model.pt``.
        folder: ``NAME``; its files are replaced.

    Raises:
        ModelError: The ONNX model does not agree with the PyTorch model.
    """
    model = cast(Network, load_model(weights, "cpu"))
    name = folder.name
    save_model(folder / f"{name}.pt", model, config.architecture.name, config.architecture.arguments)
    write_json(folder / f"{name}.json", config.to_json(hide_secrets=True))
    export_onnx(model, folder / f"{name}.onnx", config.in_channel, config.is_2d)
    log.info("Packaged model: %s", folder)
