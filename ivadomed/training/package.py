"""The packaged model: the folder that toolboxes and ``--segment`` use."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import cast

from ivadomed.config import RunConfig
from ivadomed.images.files import atomic_path, write_json
from ivadomed.loader.conditions.film_encoder import FilmEncoder
from ivadomed.loader.recipe import TRAINED
from ivadomed.models.base import Network
from ivadomed.models.checkpoint import load_model
from ivadomed.models.package import write_onnx

log = logging.getLogger(__name__)


def package_model(config: RunConfig, weights: Path, folder: Path) -> None:
    """Write ``NAME/NAME.pt``, ``NAME/NAME.onnx`` and ``NAME/NAME.json``; of a FiLM network its encoder too.

    Args:
        config: Of the run.
        weights: Model file to package, such as ``best_model.pt``; the encoder lies beside it.
        folder: ``NAME``; its files are replaced.

    An ONNX model that does not agree with the PyTorch model is left out, with a warning.
    """
    model = cast(Network, load_model(weights, "cpu"))
    name = folder.name
    with atomic_path(folder / f"{name}.pt") as temporary:
        shutil.copyfile(weights, temporary)
    if config.metadata_type is not None:
        FilmEncoder.load(weights.parent).save(folder)
    packaged = config.to_json(hide_secrets=True)
    # Said, because a packaged model that does not say is one of ivadomed 2.
    packaged["blend"] = config.blend or TRAINED.blend
    packaged["object_detection_params"]["anchor"] = config.object_detection_params.anchor or TRAINED.anchor
    write_json(folder / f"{name}.json", packaged)
    write_onnx(folder, model, config.in_channel, config.is_2d)
    log.info("Packaged model: %s", folder)
