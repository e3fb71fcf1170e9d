"""``ivadomed.training`` of 2.x: metadata of a batch, and the checkpoint of a run."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler

from ivadomed.errors import ModelError
from ivadomed.models.torch_file import TorchFile

log = logging.getLogger(__name__)


def _table(factory: type) -> dict[Any, Any]:
    """What stands for a ``defaultdict`` of a checkpoint, which PyTorch's safe reader cannot fill."""
    return {}


# A scheduler of 2.x holds its optimizer, and that its table of states: classes that are filled with data.
_DATA: list[Any] = [
    (_table, "collections.defaultdict"),
    dict,
    *(
        value
        for value in (*vars(lr_scheduler).values(), *vars(torch.optim).values())
        if isinstance(value, type) and issubclass(value, (lr_scheduler.LRScheduler, torch.optim.Optimizer))
    ),
]


def get_metadata(
    metadata: Sequence[Sequence[Any]], model_params: Mapping[str, Any]
) -> list[list[float]] | np.ndarray:
    """What the network of a batch is told besides the image.

    Args:
        metadata: Per sample the metadata of its channels, of which the first counts.
        model_params: ``name`` of the network; of a FiLM network ``film_onehotencoder``.

    Returns:
        HeMISUnet: [B, contrasts], 1 where a contrast is there. FiLM: the vector of each sample, of the labels
        ``film_input``.
    """
    if model_params["name"] == "HeMISUnet":
        return np.array([record[0]["missing_mod"] for record in metadata])
    encoder = model_params["film_onehotencoder"]
    rows = [list(encoder.transform([record[0]["film_input"]])[0]) for record in metadata]
    return [[float(value) for value in row] for row in rows]


def load_checkpoint(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    gif_dict: dict[str, Any],
    scheduler: Any,
    fname: str | os.PathLike[str],
) -> tuple[nn.Module, torch.optim.Optimizer, dict[str, Any], int, float, Any, int]:
    """Continue a training loop of one's own from ``checkpoint.pth.tar``, of this version or of 2.9.10.

    Args:
        model: Network; its weights are loaded.
        optimizer: Its state is loaded.
        gif_dict: What the loop has of its animations; returned as the checkpoint has it, if it does.
        scheduler: Its state is loaded.
        fname: The checkpoint. Without one the loop starts anew, with a warning.

    Returns:
        Model, optimizer, ``gif_dict``, the epoch to go on with (from 1), the best validation loss so far (inf
        without a checkpoint), scheduler, and the epochs without an improvement.

    Raises:
        ModelError: The file is damaged, or of another network.
    """
    if not Path(fname).is_file():
        log.warning("No checkpoint found at %s; the training starts anew.", os.fspath(fname))
        return model, optimizer, gif_dict, 1, math.inf, scheduler, 0
    state = _read(fname)
    try:
        if "format_version" in state:
            parts, best = state["optimization"], state["best"]["validation_loss"]
            weights, optimizer_state, schedule = parts["model"], parts["optimizer"], parts["scheduler"]
            patience, first_epoch = state["stopping"]["count"], state["epoch"] + 1
        else:
            weights, optimizer_state, best = state["state_dict"], state["optimizer"], state["validation_loss"]
            schedule = state["scheduler"].state_dict()
            patience, gif_dict = state["patience_count"], state["gif_dict"]
            first_epoch = state["epoch"]  # 2.x counted on before it saved
        model.load_state_dict(weights)
        optimizer.load_state_dict(optimizer_state)
        scheduler.load_state_dict(schedule)
    except (KeyError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{os.fspath(fname)}: does not fit this network and optimizer ({str(error).splitlines()[0]})"
        ) from error
    return model, optimizer, gif_dict, first_epoch, float(best), scheduler, int(patience)


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Content of a checkpoint; no code in it is run. Checkpoints of 2.x hold their scheduler as an object."""
    try:
        with torch.serialization.safe_globals(_DATA):
            content = TorchFile(path).plain()
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # of a damaged file torch raises whatever comes
        raise ModelError(f"{os.fspath(path)}: damaged or no checkpoint of a training") from error
    if not isinstance(content, dict) or "epoch" not in content:
        raise ModelError(f"{os.fspath(path)}: is no checkpoint of a training")
    return content
