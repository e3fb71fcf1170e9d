"""Tracking of a run with Weights & Biases; without its service everything is kept in the folder of the run."""

from __future__ import annotations

import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivadomed.config.schema.wandb import Wandb
from ivadomed.config.section import wandb_section
from ivadomed.images.files import write_text
from ivadomed.runtime.terminal import say

log = logging.getLogger(__name__)

_HOST = "api.wandb.ai"
_SECONDS = 20  # that the service has to answer
_ID = "run_id.txt"


def initialize_wandb(
    wandb_params: Mapping[str, Any] | None, folder: str | os.PathLike[str] = ".", resume: bool = False
) -> Any:
    """Start a run of wandb by its section as a dictionary, see ``start_tracking``; None: no tracking."""
    return None if wandb_params is None else start_tracking(wandb_section(wandb_params), folder, resume)


def start_tracking(section: Wandb, folder: str | os.PathLike[str], resume: bool = False) -> Any:
    """Start a run of wandb.

    It is online where a key is known (the section's, WANDB_API_KEY, or that of ``wandb login``) and offline where the
    service does not answer: ``wandb sync`` sends it later. The variable WANDB_MODE wins over that. No training stops
    for its tracking: without a key or without the package it goes on untracked, with a warning.

    Args:
        section: The ``wandb`` section.
        folder: Folder of the run; wandb's files go into ``wandb`` in it.
        resume: Go on with the wandb run that is in the folder.

    Returns:
        A ``wandb.Run``, or None: the run is not tracked.
    """
    try:
        import wandb
    except ImportError:
        log.warning(
            "wandb: the package of this name is not installed, so the run is not tracked; pip install "
            "'ivadomed[wandb]', or remove the section"
        )
        return None
    key = section.wandb_api_key or os.environ.get("WANDB_API_KEY") or _key_of_login()
    chosen = os.environ.get("WANDB_MODE")
    if not key and not chosen:
        log.warning(
            "wandb: there is no key, so the run is not tracked; set WANDB_API_KEY or use `wandb login`, "
            "WANDB_MODE=offline keeps the run in its folder"
        )
        return None
    file = Path(folder) / "wandb" / _ID
    known = file.read_text(encoding="utf-8") if resume and file.is_file() else None

    def start(mode: Any) -> Any:
        return wandb.init(
            project=section.project_name,
            group=section.group_name,
            name=section.run_name,
            dir=str(folder),
            id=known,
            resume="allow" if known else None,
            mode=mode,
            settings=wandb.Settings(init_timeout=_SECONDS, silent=True, console="off", api_key=key),
        )

    mode = chosen or "online"
    try:
        run = start(mode)
    except (wandb.errors.Error, OSError, ValueError) as error:  # among them a key that is none
        if mode != "online":
            log.warning("wandb: cannot be used (%s), so the run is not tracked.", error)
            return None
        log.warning("wandb: the service cannot be used (%s); this run is kept offline.", error)
        mode = "offline"
        run = start(mode)
    write_text(file, run.id)
    if mode == "offline":
        say("wandb", f"offline; `wandb sync {Path(run.dir).parent}` sends the run later")
    return run


def _key_of_login() -> str | None:
    """The key that ``wandb login`` left in the user's netrc file."""
    try:
        entry = netrc.netrc().authenticators(_HOST)
    except (OSError, netrc.NetrcParseError):
        return None
    return entry[2] if entry else None
