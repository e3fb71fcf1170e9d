"""The number of epochs from a rehearsal, stored in case the training is killed before its first checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivadomed.images.files import parse_json, write_json
from ivadomed.training.budget import Budget

REHEARSAL = "rehearsal.json"
"""File in the folder of a run; superseded by the first checkpoint."""


def write_rehearsal(folder: Path, configuration: Mapping[str, Any], budget: Budget) -> None:
    """Write the result of a rehearsal.

    Args:
        folder: Folder of the run.
        configuration: Everything that determines the result.
        budget: Budget right after the rehearsal.
    """
    write_json(folder / REHEARSAL, {"configuration": configuration, "budget": budget.state_dict()})


def read_rehearsal(folder: Path, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
    """State of the budget after a rehearsal of this configuration; None without one.

    Args:
        folder: Folder of the run.
        configuration: JSON-ready; a rehearsal of another configuration is ignored.
    """
    try:
        kept = parse_json((folder / REHEARSAL).read_bytes())
        state = kept["budget"]
        history = {int(epoch): number for epoch, number in state["history"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return {**state, "history": history} if kept["configuration"] == configuration else None
