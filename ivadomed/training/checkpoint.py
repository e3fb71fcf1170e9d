"""The state of a run between two epochs, from which it continues with identical results."""

from __future__ import annotations

import os
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivadomed.config.run_files import BEST
from ivadomed.config.tree import flattened
from ivadomed.errors import ModelError, ModelNotFoundError
from ivadomed.models.checkpoint import write_torch
from ivadomed.models.files import TorchFile

FORMAT = 2
_KEY_OF_2 = b"gif_dict"
"""A key that all checkpoints of ivadomed 1 and 2 have, and no others."""
_KEY_OF_MODELS = b"format_version"
"""A key that all model files of this version have, see ``models.checkpoint``."""
KEYS = ("configuration", "epoch", "best", "optimization", "stopping", "rng")
_SHOWN = 6


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write ``state`` atomically.

    Args:
        path: File to replace.
        state: Tensors, numbers, strings and containers of them.
    """
    write_torch(path, {"format_version": FORMAT, **state})


def refuse_old_checkpoint(path: Path) -> None:
    """Raise if a checkpoint was written by ivadomed 1 or 2.

    It contains scheduler objects of that version and no random states, so the result of an uninterrupted training
    cannot be reproduced from it.

    Raises:
        ModelError: It was; the message says how to continue training from its weights.
    """
    if not is_old_checkpoint(path):
        return
    transfer = f'{{"retrain_model": "{path.with_name(BEST)}", "retrain_fraction": 1.0, "reset": false}}'
    raise ModelError(
        f"{path}: is of ivadomed 2, whose trainings cannot be resumed; to continue from its best weights, set "
        f"training_parameters.transfer_learning to {transfer} and train into another --path-output"
    )


def is_old_checkpoint(path: Path) -> bool:
    """True for a checkpoint of ivadomed 1 or 2; nothing in it is unpickled."""
    return _KEY_OF_2 in (_pickled(path) or b"")


def is_old_model(path: Path) -> bool:
    """True for a whole-module model file, as written by ivadomed 1 and 2; nothing in it is unpickled."""
    pickled = _pickled(path)
    return pickled is not None and _KEY_OF_MODELS not in pickled


def _pickled(path: Path) -> bytes | None:
    """The pickle of a torch file, without tensors if they are stored separately; None if unreadable."""
    try:
        if not zipfile.is_zipfile(path):  # before torch 1.6
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(next(name for name in archive.namelist() if name.endswith("/data.pkl")))
    except (OSError, StopIteration, zipfile.BadZipFile):
        return None


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint without running code from it.

    Raises:
        ModelError: The file is missing, damaged, or not a checkpoint of this format.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelNotFoundError(f"{path}: no checkpoint to resume from; start without --resume-training")
    refuse_old_checkpoint(path)
    try:
        state = TorchFile(path).plain()
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # torch may raise anything for a damaged file
        raise ModelError(
            f"{path}: damaged or no checkpoint of this version; train again without it"
        ) from error
    if not isinstance(state, dict) or state.get("format_version") != FORMAT:
        raise ModelError(f"{path}: written by another version; train again without --resume-training")
    if missing := [key for key in KEYS if key not in state]:
        raise ModelError(f"{path}: has no {', '.join(missing)}; train again without it")
    return state


def rng_state() -> dict[str, Any]:
    """The states of all random number generators of this process."""
    python_version, python_words, python_gauss = random.getstate()
    numpy_state = np.random.get_state(legacy=False)
    assert isinstance(numpy_state, dict)
    return {
        "python": [python_version, list(python_words), python_gauss],
        "numpy": {
            "key": torch.from_numpy(numpy_state["state"]["key"].astype(np.int64)),
            "pos": int(numpy_state["state"]["pos"]),
            "has_gauss": int(numpy_state["has_gauss"]),
            "gauss": float(numpy_state["gauss"]),
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng(state: Mapping[str, Any]) -> None:
    """Restore all random number generators to the state returned by ``rng_state``."""
    python_version, python_words, python_gauss = state["python"]
    random.setstate((python_version, tuple(python_words), python_gauss))
    numpy_state = state["numpy"]
    np.random.set_state(
        (
            "MT19937",
            numpy_state["key"].numpy().astype(np.uint32),
            numpy_state["pos"],
            numpy_state["has_gauss"],
            numpy_state["gauss"],
        )
    )
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def seed_all(seed: int) -> None:
    """Seed every generator that a run may use."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys that differ between two trees, with both values; only the first ones if there are many.

    A missing key equals null, as do keys added by a newer version.

    >>> changes({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b was 1 and is 3']
    """
    old, new = flattened(before), flattened(now)
    keys = [key for key in [*old, *(key for key in new if key not in old)] if old.get(key) != new.get(key)]
    lines = [f"{key} was {_shown(old, key)} and is {_shown(new, key)}" for key in keys[:_SHOWN]]
    return [*lines, f"{len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else lines


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "not there"
