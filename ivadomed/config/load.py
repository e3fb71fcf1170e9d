"""Build a validated `RunConfig` from a file, a dictionary and the command line."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ivadomed.config import problems
from ivadomed.config.check import contradictions, idle_keys, refusal
from ivadomed.config.foreign import kind_of
from ivadomed.config.migrate import DROPPED_EVERYWHERE, RENAMED, migrate, reconcile
from ivadomed.config.schema.run import SECTIONS, RunConfig
from ivadomed.config.tree import expand, merged, read_json
from ivadomed.errors import ConfigError
from ivadomed.registry import nearest
from ivadomed.registry.section import FIRST_LOOK

logger = logging.getLogger(__name__)

__all__ = ["load_config", "load_section", "read_json"]

# A key moved to its probable name may be wrong there too.
_REPAIR_ROUNDS = 3
# Of older versions and of editors, at the top of a file.
_FURTHER_KEYS = ("gpu", "testing_parameters", "validate_BIDS")
# An object with fewer keys, none of them known, is a configuration with a misspelled key.
_SEVERAL_KEYS = 2


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    first_look: Callable[[RunConfig], None] | None = None,
) -> RunConfig:
    """Read, migrate and validate a configuration; missing keys take their defaults.

    Args:
        source: Path of a JSON file, or its content.
        overrides: Values that take precedence over the file's, with dotted paths
            (``{"training_parameters.batch_size": 4}``), nested, or both.
        first_look: Called once keys, types and ranges are valid, before torch is loaded: sections declared by a
            registry (network, loss, transforms, postprocessing) are still as written.

    Returns:
        The validated configuration. One warning is logged per key of an older version and per key without effect.

    Raises:
        ConfigError: The file is missing or not JSON, or keys or values are wrong; all problems are reported at once,
            one line each.
    """
    place, tree, warnings = _migrated(source, overrides or {})
    if first_look is not None:
        first_look(_validate(tree, place, FIRST_LOOK))
    for warning in warnings:
        logger.warning("%s: %s", place, warning)
    config = _validate(tree, place)
    # Files written by `RunConfig.to_json` have every key, and their warnings have been logged before.
    ours = isinstance(source, Mapping) and RunConfig.model_fields.keys() <= source.keys()
    for warning in () if ours else idle_keys(config, tree):
        logger.warning("%s: %s", place, warning)
    return config


def _migrated(
    source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any]
) -> tuple[str, dict[str, Any], list[str]]:
    """Location for messages, content in the documented shape, and warnings about it."""
    if isinstance(source, Mapping):
        place, raw = "configuration", dict(source)
    else:
        place, raw = str(source), read_json(source)
    _refuse_other_files(raw, place)
    tree, warnings = migrate(raw)
    if overrides:
        changes, more = migrate(expand(overrides))
        tree, warnings = merged(tree, changes), [*warnings, *more]
    tree.pop("$schema", None)  # Editors find the JSON Schema by this key.
    tree, more = reconcile(tree)
    return place, tree, [*warnings, *more]


def _refuse_other_files(raw: Mapping[str, Any], place: str) -> None:
    """Raise for a JSON object that is not a configuration, instead of naming each of its keys."""
    known = {*RunConfig.model_fields, *RENAMED[""], *DROPPED_EVERYWHERE, *_FURTHER_KEYS}
    if not known.isdisjoint(raw):
        return
    deeper = {path[-1] for path in problems.all_paths(RunConfig) if len(path) > 1}
    kind = kind_of(raw, known, deeper)
    if kind is not None:
        raise ConfigError(f"{place}: is not a configuration but {kind}")
    if len(raw) < _SEVERAL_KEYS or "$schema" in raw:
        return
    strange = [key for key in raw if key not in deeper and not nearest(key, list(known))]
    if len(strange) > len(raw) / 2:
        raise ConfigError(
            f"{place}: is not a configuration; it has none of its keys "
            f"({', '.join(sorted(RunConfig.model_fields)[:4])}, "
            f"...) but {', '.join([*map(repr, strange[:4]), *['...'] * (len(strange) > 4)])}"
        )


def _validate(tree: dict[str, Any], place: str, context: str | None = None) -> RunConfig:
    try:
        config = RunConfig.model_validate(tree, context=context)
        lines = [] if context == FIRST_LOOK else contradictions(config)
        if not lines:
            return config
    except ValidationError as error:
        lines = problems.lines(RunConfig, error)
        if context != FIRST_LOOK:
            lines += _further_problems(tree, error)
        if _compares_values(tree, error):
            raise ConfigError(
                f"{place}: holds lists of values to compare; such a file is the --config-hyper of "
                "ivadomed_automate_training, expected a configuration"
            ) from None
    raise refusal(place, lines)


def _compares_values(tree: Mapping[str, Any], error: ValidationError) -> bool:
    """True if the only errors are lists in place of values, in a file without a data set."""
    loader = tree.get("loader_parameters")
    if "command" in tree or (isinstance(loader, Mapping) and "path_data" in loader):
        return False
    return all(
        isinstance(entry["input"], list) and entry["type"] not in ("extra_forbidden", "value_error")
        for entry in error.errors(include_url=False)
    )


def _further_problems(tree: dict[str, Any], error: ValidationError) -> list[str]:
    """Contradictions between sections, which pydantic checks only if every section is valid on its own.

    Misspelled keys are read as their probable meaning and wrong values as the default. Contradictions that name such
    a repaired key are omitted, as the repair may have caused them; if it may have changed the network, on which most
    checks depend, all are.
    """
    repaired: dict[str, Any] = deepcopy(tree)
    touched: set[str] = set()
    for _ in range(_REPAIR_ROUNDS):
        for entry in error.errors(include_url=False):
            path, _ = problems.resolve(RunConfig, entry["loc"])
            if not _repair(repaired, entry, path):
                return []
            touched.add(next(str(key) for key in reversed(path) if isinstance(key, str)))
        try:
            lines = contradictions(RunConfig.model_validate(repaired))
        except ValidationError as remaining:
            error = remaining
        else:
            return [line for line in lines if touched.isdisjoint(re.findall(r"\w+", line))]
    return []


def _repair(tree: dict[str, Any], error: ErrorDetails, path: problems.Keys) -> bool:
    """Remove the faulty key from the tree, in place; a misspelled one moves to its probable name.

    Returns:
        False if the tree may now describe another network.
    """
    # A list or section with a missing entry is faulty as a whole.
    path = path[:-1] if error["type"] == "missing" else path
    while isinstance(path[-1], int):
        path = path[:-1]
    *parents, last = path
    node: Any = tree
    for key in parents:
        node = node.get(key) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        return True
    value = node.pop(last)
    if error["type"] == "extra_forbidden":
        meant = nearest(last, problems.known_keys(RunConfig, error["loc"]))
        if meant is not None:
            node.setdefault(meant, value)
        return meant is not None
    return path[0] not in ("default_model", *SECTIONS)


def load_section(name: str, content: Mapping[str, Any]) -> Any:
    """Validate a single section of a configuration; missing keys take their defaults.

    Args:
        name: Key at the top of a configuration, such as ``training_parameters``.
        content: Keys of the section, old or new.

    Raises:
        ConfigError: A key is unknown, or a value wrong.
    """
    place, tree, warnings = _migrated({name: dict(content)}, {})
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise refusal(place, problems.lines(RunConfig, error)) from None
    for warning in (*warnings, *idle_keys(config, tree)):
        logger.warning("%s: %s", place, warning)
    return getattr(config, name)
