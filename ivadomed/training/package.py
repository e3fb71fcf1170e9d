"""The packaged model: the folder that toolboxes and ``--segment`` use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

from ivadomed.config import RunConfig
from ivadomed.errors import ModelError
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

    An ONNX model that does not agree with the PyTorch model is left out, with a warning.
    """
    model = cast(Network, load_model(weights, "cpu"))
    name = folder.name
    save_model(folder / f"{name}.pt", model, config.architecture.name, config.architecture.arguments)
    write_json(folder / f"{name}.json", config.to_json(hide_secrets=True))
    onnx = folder / f"{name}.onnx"
    onnx.unlink(missing_ok=True)  # one of an earlier training must not stay when the export fails
    try:
        export_onnx(model, onnx, config.in_channel, config.is_2d)
    except ModelError as error:
        log.warning("No ONNX model is packaged: %s", error)
    log.info("Packaged model: %s", folder)
