"""The JSON Schema of the configuration, for editors."""

from __future__ import annotations

from typing import Any

from ivadomed.config.schema.run import RunConfig


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a configuration file, generated from the models.

    Editors complete and check files whose ``$schema`` key names a file with this content.
    """
    schema = RunConfig.model_json_schema(mode="validation")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "ivadomed configuration"
    schema["properties"]["$schema"] = {"type": "string", "description": "Path or address of this schema."}
    return schema
