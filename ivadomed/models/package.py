"""The packaged model: a folder of files named after it, which toolboxes and ``--segment`` use."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivadomed.errors import ModelError
from ivadomed.images.files import write_json
from ivadomed.models.base import Network
from ivadomed.models.checkpoint import save_model
from ivadomed.models.onnx import export_onnx

log = logging.getLogger(__name__)


def write_package(
    folder: str | os.PathLike[str],
    model: Network,
    name: str,
    arguments: Mapping[str, Any],
    in_channel: int,
    is_2d: bool,
    config: Mapping[str, Any] | None,
) -> bool:
    """Write ``NAME/NAME.pt``, ``NAME/NAME.onnx`` and ``NAME/NAME.json``; older ones are replaced.

    Args:
        folder: ``NAME``.
        model: The network.
        name: Of its class, see ``build_model``.
        arguments: Of its constructor.
        in_channel: Channels of the image.
        is_2d: Whether the images are [B, C, H, W].
        config: Content of the JSON file; None writes none.

    Returns:
        Whether there is an ONNX model. One that does not agree with PyTorch is left out, with a warning.
    """
    stem = Path(folder) / Path(folder).name
    save_model(f"{stem}.pt", model, name, arguments)
    if config is not None:
        write_json(f"{stem}.json", config)
    return write_onnx(folder, model, in_channel, is_2d)


def write_onnx(folder: str | os.PathLike[str], model: Network, in_channel: int, is_2d: bool) -> bool:
    """Write ``NAME/NAME.onnx``; see ``write_package`` for arguments and result."""
    onnx = Path(folder) / f"{Path(folder).name}.onnx"
    onnx.unlink(missing_ok=True)  # one of an earlier training must not stay when the export fails
    try:
        export_onnx(model, onnx, in_channel, is_2d)
    except ModelError as error:
        log.warning("No ONNX model is packaged: %s", error)
        return False
    return True
