"""Configurations as plain dictionaries: reading from JSON, lookup by dotted paths, merging."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from ivadomed.errors import ConfigError, ConfigNotFoundError
from ivadomed.images.files import DuplicateKeyError, NestingError, parse_json

Tree = dict[str, Any]

_YAML = (".yaml", ".yml")


def section(tree: Mapping[str, Any], path: str) -> Tree:
    """Dictionary at a dotted path (the tree itself if empty); a new, empty one if missing."""
    node: Any = tree
    for key in filter(None, path.split(".")):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def join(path: str, key: str) -> str:
    """Dotted path of a key of a section."""
    return f"{path}.{key}" if path else key


def expand(overrides: Mapping[str, Any]) -> Tree:
    """Dotted paths as nested dictionaries: ``{"a.b": 1}`` becomes ``{"a": {"b": 1}}``.

    Later entries override earlier ones; the argument is not changed.
    """
    tree: Tree = {}
    for path, value in overrides.items():
        nested: Any = expand(value) if isinstance(value, Mapping) else deepcopy(value)
        for key in reversed(path.split(".")):
            nested = {key: nested}
        tree = merged(tree, nested)
    return tree


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Tree:
    """Copy of `base` updated with the leaves of `changes`; neither is changed.

    Keys keep the order of `base`; new ones follow. An object that names another class than its counterpart
    (``{"name": "FocalLoss"}`` over a TverskyLoss) replaces it, as the arguments belong to another class.
    """
    result = deepcopy(dict(base))
    for key, value in changes.items():
        old = result.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping) and not _other_class(old, value):
            result[key] = merged(old, value)
        else:
            result[key] = deepcopy(value)
    return result


def flattened(tree: Mapping[str, Any], prefix: str = "") -> Tree:
    """Values of a tree by their dotted paths; the inverse of ``expand``.

    >>> flattened({"a": {"b": 1}, "c": {}})
    {'a.b': 1, 'c': {}}
    """
    flat: Tree = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _other_class(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "name" in old and "name" in new and old["name"] != new["name"]


def read_json(path: str | Path, strict: bool = True) -> Tree:
    """Content of a JSON file that holds an object.

    Any line endings and a byte order mark are accepted.

    Args:
        path: File.
        strict: Refuse duplicate keys (otherwise the last one counts) and text that cannot be written to a file.

    Raises:
        ConfigError: The file is missing, is not valid JSON, holds no object, or see ``strict``.
    """
    path = Path(path)
    text = _text(path)
    try:
        content = parse_json(text, unique=strict)
        if strict:
            json.dumps(content, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ConfigError(_explained(path, text, error)) from None
    except DuplicateKeyError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (NestingError, RecursionError):
        raise ConfigError(f"{path}: is nested too deeply; expected a JSON object of a few levels") from None
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{path}: has half a character ({error.object[error.start]!r}); remove it"
        ) from None
    except ValueError as error:  # an integer of thousands of digits
        raise ConfigError(f"{path}: has a number that cannot be read ({str(error).split(':')[0]})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds a {type(content).__name__}; expected a JSON object {{...}}")
    return content


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigNotFoundError(
            f"{path}: no such file; expected the path of a JSON configuration file"
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; expected the path of a JSON configuration file") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    # Windows editors write UTF-16 with a byte order mark.
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: cannot be read as a text file (byte {error.start} is not UTF-8); save it as UTF-8"
        ) from error


def _explained(path: Path, text: str, error: json.JSONDecodeError) -> str:
    """Location and reason, with specific messages for common mistakes."""
    if not text.strip():
        return f"{path}: is empty; expected a JSON object {{...}}"
    place = f"{path}:{error.lineno}:{error.colno}"
    if path.suffix.lower() in _YAML:
        return f"{place}: is not valid JSON; ivadomed reads JSON, not YAML"
    return f"{place}: is not valid JSON: {_reason(text, error)}"


def _reason(text: str, error: json.JSONDecodeError) -> str:
    rest = text[error.pos :].lstrip()
    before = text[: error.pos].rstrip()
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments; remove it"
    if rest.startswith("'"):
        return "write text in double quotes, not single quotes"
    if word := re.match(r"(True|False|None)\b", rest):
        return f"{word[0]} is Python; JSON writes true, false and null"
    # Python 3.13 reports the comma, older versions what follows it.
    if error.msg.startswith("Illegal trailing comma") or (before.endswith(",") and rest[:1] in ("}", "]")):
        return "a comma too many before the end of the list or object"
    if error.msg.startswith("Expecting ',' delimiter"):
        return "a comma is missing before this, or a bracket" if rest else "the file ends too early"
    if not rest:
        return "the file ends too early; a bracket is not closed"
    return error.msg
