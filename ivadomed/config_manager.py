"""Configuration as plain dictionaries, under the names of ivadomed 2.9; implemented in `ivadomed.config`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivadomed.config.load import load_config, read_json
from ivadomed.config.migrate import migrate
from ivadomed.config.tree import merged

logger = logging.getLogger(__name__)


def load_json(config_path: str | Path) -> dict[str, Any]:
    """Content of a JSON file.

    Raises:
        ConfigError: The file is missing or is not a JSON object.
    """
    return read_json(config_path)


def update(source_dict: Mapping[str, Any], destination_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Update `destination_dict` with the values of `source_dict`, section by section.

    Returns:
        A new dictionary; the arguments are not changed.
    """
    return merged(destination_dict, source_dict)


def deep_dict_compare(
    source_dict: Mapping[str, Any], destination_dict: Mapping[str, Any], keyname: str | None = None
) -> list[str]:
    """Return and log the differences between two nested dictionaries.

    Args:
        source_dict: The dictionary to compare.
        destination_dict: The reference dictionary, e.g. the defaults.
        keyname: Path of both in the configuration, prefixed to the keys.

    Returns:
        One line per key that is missing on one side or differs, in key order.
    """
    differences = _differences(source_dict, destination_dict, keyname)
    for line in differences:
        logger.info(line)
    return differences


def _differences(source: Mapping[str, Any], other: Mapping[str, Any], keyname: str | None) -> list[str]:
    found: list[str] = []
    for key in [*source, *(key for key in other if key not in source)]:
        path = f"{keyname}.{key}" if keyname else str(key)
        if key not in other:
            found.append(f"{path}: {source[key]!r} is only in the source")
        elif key not in source:
            found.append(f"{path}: {other[key]!r} is only in the destination")
        elif isinstance(source[key], Mapping) and isinstance(other[key], Mapping):
            found += _differences(source[key], other[key], path)
        elif source[key] != other[key]:
            found.append(f"{path}: {source[key]!r} instead of {other[key]!r}")
    return found


class ConfigurationManager:
    """Reads a configuration file as a plain dictionary.

    Args:
        path_context: Path of the JSON file.
    """

    def __init__(self, path_context: str | Path) -> None:
        self.path_context = Path(path_context)

    def get_config(self) -> dict[str, Any]:
        """The configuration, with old keys migrated and missing keys set to their defaults.

        Raises:
            ConfigError: The file cannot be read, or has invalid keys or values.
        """
        return load_config(self.path_context).to_json()

    def change_keys(self, context: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
        """Replace old keys and old forms of values with the current ones.

        Args:
            context: A configuration, or a part of it with its sections; not changed.
            keys: Top-level keys to migrate; others are kept.

        Returns:
            A new dictionary.
        """
        chosen, _ = migrate({key: context[key] for key in context if key in keys})
        return {**{key: context[key] for key in context if key not in keys}, **chosen}

    def change_keys_values(self, config_updated: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
        """Same as `change_keys`: names and values are migrated together."""
        return self.change_keys(config_updated, keys)
