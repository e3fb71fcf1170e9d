"""The folder of a run of ``--auto``: what may be in it before, and where things lie."""

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
"""Folder of the configurations that are compared."""

_OURS = {PLAN, LOG, CANDIDATES, LOCK}
"""What a run leaves that was stopped before it had a plan, besides hidden files that were being written."""


def refuse_useless(name: str, path_data: Sequence[str], hours: float | None) -> None:
    """Refuse what can be seen without looking at images.

    Args:
        name: Folder of the run.
        path_data: Data sets; none: those of the existing run.
        hours: The budget; None: not given.

    Raises:
        ConfigError: No data set or no budget.
        DataError: A data set is not there.
        OutputError: The folder holds something else.
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
