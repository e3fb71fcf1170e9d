"""From a file, a dictionary and the command line to a validated `RunConfig`."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ivadomed.config import problems
from ivadomed.config.merge import expand, merged
from ivadomed.config.migrate import migrate
from ivadomed.config.schema.run import RunConfig
from ivadomed.errors import ConfigError

logger = logging.getLogger(__name__)

# A key that moves to its probable name may be wrong there too.
_REPAIR_ROUNDS = 3


def load_config(
    source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> RunConfig:
    """Read, migrate and validate a configuration; what it leaves out has the schema's default.

    Args:
        source: Path of a JSON file, or its content.
        overrides: Values that win over the file's, with dotted paths
            (``{"training_parameters.batch_size": 4}``), nested, or both.

    Returns:
        The validated configuration. One warning is logged per key of an older version.

    Raises:
        ConfigError: The file is missing or is no JSON, or keys or values are wrong; then all problems are
            reported at once, one line each.
    """
    if isinstance(source, Mapping):
        place, raw = "configuration", dict(source)
    else:
        place, raw = str(source), read_json(source)
    tree, warnings = migrate(raw)
    if overrides:
        changes, more = migrate(expand(overrides))
        tree, warnings = merged(tree, changes), [*warnings, *more]
    tree.pop("$schema", None)  # Editors find the JSON Schema by this key.
    for warning in warnings:
        logger.warning("%s: %s", place, warning)
    return _validate(tree, place)


def read_json(path: str | Path) -> dict[str, Any]:
    """Content of a JSON file that holds an object.

    Raises:
        ConfigError: The file is missing, is no valid JSON, holds a key twice, or holds no object.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; expected the path of a JSON configuration file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a text file: {error}") from error
    try:
        content = json.loads(text, object_pairs_hook=_unique)
        json.dumps(content, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}:{error.colno}: is not valid JSON: {error.msg}") from None
    except _DuplicateKey as error:
        raise ConfigError(f"{path}: the key {error.args[0]!r} stands twice in one object; keep one") from None
    except RecursionError:
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


class _DuplicateKey(ValueError):
    """JSON parsers silently keep the last of two equal keys."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _DuplicateKey(next(key for key in keys if keys.count(key) > 1))
    return content


def _validate(tree: dict[str, Any], place: str) -> RunConfig:
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        lines = list(dict.fromkeys([*problems.lines(RunConfig, error), *_further_problems(tree, error)]))
    count = "1 problem" if len(lines) == 1 else f"{len(lines)} problems"
    raise ConfigError("\n".join([f"{place}: {count}", *(f"  {line}" for line in lines)]))


def _further_problems(tree: dict[str, Any], error: ValidationError) -> list[str]:
    """Contradictions between sections, which pydantic checks only when every section is valid by itself.

    Misspelt keys are read as what they probably mean and wrong values as their default; a contradiction that
    names a key repaired in this way is left out, for it may be a consequence of the repair.
    """
    repaired: dict[str, Any] = deepcopy(tree)
    touched: set[str] = set()
    for _ in range(_REPAIR_ROUNDS):
        for entry in error.errors(include_url=False):
            path, _ = problems.resolve(RunConfig, entry["loc"])
            if not path:
                lines = problems.lines_of(RunConfig, entry)
                return [line for line in lines if touched.isdisjoint(re.findall(r"\w+", line))]
            touched.add(next(str(key) for key in reversed(path) if isinstance(key, str)))
            _repair(repaired, entry, path)
        try:
            RunConfig.model_validate(repaired)
        except ValidationError as remaining:
            error = remaining
        else:
            break
    return []


def _repair(tree: dict[str, Any], error: ErrorDetails, path: problems.Keys) -> None:
    """Take the faulty key out of the tree in place; a misspelt one moves to its probable name."""
    # A list or a section with something missing is faulty as a whole.
    path = path[:-1] if error["type"] == "missing" else path
    while isinstance(path[-1], int):
        path = path[:-1]
    *parents, last = path
    node: Any = tree
    for key in parents:
        node = node.get(key) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        return
    value = node.pop(last)
    if error["type"] == "extra_forbidden":
        meant = problems.closest(last, problems.known_keys(RunConfig, error["loc"]))
        if meant is not None:
            node.setdefault(meant, value)
