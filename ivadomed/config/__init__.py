"""The configuration of a run: schema, defaults, migration of old keys, example files.

Names that need pydantic are resolved on first use: ``import ivadomed.config`` does not load it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivadomed.config.migrate import migrate
from ivadomed.runtime.moved import moved_names

if TYPE_CHECKING:
    from ivadomed.config.load import load_config
    from ivadomed.config.packaged import load_packaged, packaged_config
    from ivadomed.config.reference import json_schema
    from ivadomed.config.schema.run import RunConfig

__all__ = [
    "CONFIG_DIR",
    "RunConfig",
    "json_schema",
    "load_config",
    "load_packaged",
    "migrate",
    "packaged_config",
]

CONFIG_DIR = Path(__file__).parent
"""Folder of the example configurations."""

__getattr__ = moved_names(
    __name__,
    {},
    {
        "ivadomed.config.schema.run": "RunConfig",
        "ivadomed.config.reference": "json_schema",
        "ivadomed.config.load": "load_config",
        "ivadomed.config.packaged": "load_packaged packaged_config",
    },
)
