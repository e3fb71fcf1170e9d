"""What differs between two configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 6


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Keys that differ between two trees, with both values; of many keys the first ones.

    A key that is not there is as good as null: so are those that a newer version brings.

    >>> changes({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})
    ['a.b was 1 and is 3']
    """
    old, new = _flat(before), _flat(now)
    keys = [key for key in [*old, *(key for key in new if key not in old)] if old.get(key) != new.get(key)]
    lines = [f"{key} was {_shown(old, key)} and is {_shown(new, key)}" for key in keys[:_SHOWN]]
    return [*lines, f"{len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else lines


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "not there"
