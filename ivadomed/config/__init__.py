"""The configuration of a run: schema, defaults, migration of old keys, example files.

What needs pydantic is resolved on first use, so that ``import ivadomed.config`` does not load pydantic.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivadomed.config.migrate import migrate

if TYPE_CHECKING:
    from ivadomed.config.editor_schema import json_schema
    from ivadomed.config.load import load_config
    from ivadomed.config.packaged import load_packaged
    from ivadomed.config.schema.run import RunConfig

__all__ = ["CONFIG_DIR", "RunConfig", "json_schema", "load_config", "load_packaged", "migrate"]

CONFIG_DIR = Path(__file__).parent
"""Folder of the example configurations."""

_SOURCES = {
    "RunConfig": "ivadomed.config.schema.run",
    "json_schema": "ivadomed.config.editor_schema",
    "load_config": "ivadomed.config.load",
    "load_packaged": "ivadomed.config.packaged",
}


def __getattr__(name: str) -> Any:
    if name not in _SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_SOURCES[name]), name)
