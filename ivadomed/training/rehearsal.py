"""The number of epochs that a rehearsal gave, kept for a training that is killed before its first checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivadomed.images.files import parse_json, write_json
from ivadomed.training.budget import Budget

REHEARSAL = "rehearsal.json"
"""File in the folder of a run; from the first checkpoint on, that one counts."""


def write_rehearsal(folder: Path, configuration: Mapping[str, Any], budget: Budget) -> None:
    """Write what a rehearsal found.

    Args:
        folder: Of the run.
        configuration: All that decides about the result.
        budget: Right after the rehearsal.
    """
    write_json(folder / REHEARSAL, {"configuration": configuration, "budget": budget.state_dict()})


def read_rehearsal(folder: Path, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
    """State of the budget after a rehearsal of this configuration; None without one.

    Args:
        folder: Of the run.
        configuration: JSON-ready; a rehearsal of another one says nothing.
    """
    try:
        kept = parse_json((folder / REHEARSAL).read_bytes())
        state = kept["budget"]
        history = {int(epoch): number for epoch, number in state["history"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return {**state, "history": history} if kept["configuration"] == configuration else None
