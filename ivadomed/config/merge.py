"""Nested dictionaries: dotted paths, and one laid over another."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any


def expand(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted paths as nested dictionaries: ``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``.

    Later entries win over earlier ones; the argument is not changed.
    """
    tree: dict[str, Any] = {}
    for path, value in overrides.items():
        nested: Any = expand(value) if isinstance(value, Mapping) else deepcopy(value)
        for key in reversed(path.split(".")):
            nested = {key: nested}
        tree = merged(tree, nested)
    return tree


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `changes` in place; neither is changed.

    Keys keep the order of `base`, new ones follow. An object that names another class than the one it is
    laid over (``{"name": "FocalLoss"}`` over a TverskyLoss) replaces it: the arguments are another class's.
    """
    result = deepcopy(dict(base))
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and not _other_class(old, value):
            result[key] = merged(old, value)
        else:
            result[key] = deepcopy(value)
    return result


def _other_class(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "name" in old and "name" in new and old["name"] != new["name"]
