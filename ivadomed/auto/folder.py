"""Folder of an ``--auto`` run: permitted existing content, and layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ivadomed.errors import ConfigError, OutputError
from ivadomed.images.files import data_path
from ivadomed.runtime.run_lock import LOCK

PLAN = "auto.json"
LOG = "log"
CANDIDATES = "candidates"
"""Folder of the configurations to compare."""

_OURS = {PLAN, LOG, CANDIDATES, LOCK}
"""Content left by a run interrupted before its plan was made, besides hidden temporary files."""


def refuse_useless(name: str, path_data: Sequence[str], hours: float | None) -> None:
    """Raise for errors that are detectable without reading images.

    Args:
        name: Folder of the run.
        path_data: Data sets; empty: those of the existing run.
        hours: Budget; None: not given.

    Raises:
        ConfigError: No data set or no budget.
        DataError: A data set is missing.
        OutputError: The folder has other content.
    """
    folder = Path(name)
    if hours is not None and not (math.isfinite(hours) and hours > 0):
        raise ConfigError(f"--hours: {hours:g}; expected a number above 0, such as 0.5")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; choose another NAME")
    if (folder / PLAN).is_file():
        return
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if any(name not in _OURS and not name.startswith(".") for name in names):
        raise OutputError(f"{folder}: holds something else than a run of --auto; choose another NAME")
    if not path_data:
        raise ConfigError("--auto: no data set given; add --path-data DATA")
    for path in path_data:
        data_path(path)


def candidate_file(folder: Path, name: str) -> Path:
    """Configuration of a candidate."""
    return folder / CANDIDATES / f"{name}.json"
