"""The configuration's schema: one module per part of the JSON file."""

from __future__ import annotations

from ivadomed.config.schema.run import RunConfig

__all__ = ["RunConfig"]
