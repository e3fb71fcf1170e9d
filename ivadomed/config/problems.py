"""Validation errors as lines for the user: full key path, value, expectation, probable meaning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ivadomed.config.foreign import meaning
from ivadomed.config.migrate import RENAMED
from ivadomed.registry import nearest
from ivadomed.registry.registry import similarity
from ivadomed.registry.section import FromRegistry, expectation, shown

Keys = tuple[str | int, ...]

_SECTION = ("model_type", "model_attributes_type")
_SHOWN_KEYS = 3  # of a section that is not an object, in the message
_VERY_CLOSE = 0.9
_BAD_TAG = ("union_tag_invalid", "union_tag_not_found")


def models_in(field: FieldInfo) -> Sequence[type[BaseModel]]:
    """Models that a value may have; for a registry that is not imported yet, those of its outlines."""
    for entry in field.metadata:
        if isinstance(entry, FromRegistry):
            return entry.models_of({}, entry.known_entries)
    return _models_in(field.annotation)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for member in get_args(annotation) for model in _models_in(member)]


def _tag(model: type[BaseModel]) -> Any:
    field = model.model_fields.get("name")
    return field.default if field is not None else None


def resolve(root: type[BaseModel], location: Keys) -> tuple[Keys, list[type[BaseModel]]]:
    """Follow a pydantic location from the root model.

    Args:
        root: Model at which the location starts.
        location: Keys, indices, and the tags that pydantic inserts for a section chosen by its `name`.

    Returns:
        The location as the user wrote it (without tags), and the possible models of its last section.
    """
    path: list[str | int] = []
    models, parents = [root], [root]
    for key in location:
        children = [model.model_fields[key] for model in models if key in model.model_fields]
        chosen = [model for model in models if _tag(model) == key]
        if not children and chosen and len(models) > 1:
            models = parents = chosen
            continue
        path.append(key)
        if not isinstance(key, int):
            parents = models
        models = [model for child in children for model in models_in(child)]
    return tuple(path), parents


def render_path(path: Keys) -> str:
    """`loader_parameters.path_data[0]` for `("loader_parameters", "path_data", 0)`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def all_paths(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key path of the schema."""
    for name, field in model.model_fields.items():
        yield (*prefix, name)
        for child in models_in(field):
            yield from all_paths(child, (*prefix, name))


def suggestion(word: Any, known: list[str]) -> str:
    """End of a message about an unknown word: its probable meaning, or "" if unknown."""
    hit, meant = nearest(word, known), meaning(word) if isinstance(word, str) else None
    if meant and (hit is None or meant.startswith(hit) or not _very_close(word, hit)):
        return f"; {meant}"
    return f"; did you mean {hit!r}?" if hit else ""


def _very_close(word: str, hit: str) -> bool:
    return similarity(word, hit) >= _VERY_CLOSE


def known_keys(root: type[BaseModel], location: Keys) -> list[str]:
    """Valid keys in place of the last key of a location."""
    _, parents = resolve(root, location)
    return list(dict.fromkeys(key for model in parents for key in model.model_fields))


def _unknown_key(root: type[BaseModel], location: Keys, path: Keys) -> str:
    key, known = path[-1], known_keys(root, location)
    hint = _exactly_elsewhere(root, path) if meaning(str(key)) is None else ""
    hint = _of_a_sibling(root, location, path) or _old_name(key) or hint
    hint = hint or suggestion(key, known) or _almost_elsewhere(root, path)
    return f"unknown key{hint or '; expected one of ' + (', '.join(known) or 'none')}"


def _of_a_sibling(root: type[BaseModel], location: Keys, path: Keys) -> str:
    """Owners of a key in a section chosen by its `name`, e.g. another loss that has the key."""
    _, siblings = resolve(root, path)
    _, chosen = resolve(root, location)
    owners = [str(_tag(model)) for model in siblings if path[-1] in model.model_fields and _tag(model)]
    keys = list(dict.fromkeys(key for model in chosen for key in model.model_fields))
    return (
        f"; it is a key of {', '.join(owners)}, here are {', '.join(keys)}"
        if owners and chosen != siblings
        else ""
    )


def _old_name(key: Any) -> str:
    """Place of a key that an older version had in another section."""
    found = [(section, names[key]) for section, names in RENAMED.items() if key in names]
    return f"; did you mean {'.'.join(filter(None, found[0]))!r}?" if len(found) == 1 else ""


def _places(root: type[BaseModel], path: Keys) -> dict[str, str]:
    """Full path -> key for the whole schema, except the place itself: its class may not have the key."""
    places = {".".join(place): place[-1] for place in all_paths(root)}
    places.pop(render_path(path), None)
    return places


def _exactly_elsewhere(root: type[BaseModel], path: Keys) -> str:
    """Correct place of a key in the wrong section, or with a stray character."""
    key = re.sub(r"\W", "", str(path[-1]))
    found = [place for place, name in _places(root, path).items() if name == key]
    own = render_path((*path[:-1], key))
    return f"; did you mean {min(found, key=lambda place: (place != own, len(place)))!r}?" if found else ""


def _almost_elsewhere(root: type[BaseModel], path: Keys) -> str:
    """Correct place of a key that is both misspelled and in the wrong section."""
    key, places = str(path[-1]), _places(root, path)
    near = nearest(key, places.values(), _VERY_CLOSE)
    found = [place for place, last in places.items() if last == near]
    return f"; did you mean {min(found, key=len)!r}?" if found else ""


def _tag_problem(root: type[BaseModel], error: ErrorDetails) -> tuple[str, str]:
    """Key and message for a section whose `name` is unknown."""
    location = tuple(error["loc"])
    _, parents = resolve(root, location)
    fields = [model.model_fields[str(location[-1])] for model in parents]
    known = [str(_tag(model)) for field in fields for model in models_in(field)]
    if not isinstance(error["input"], dict):
        return "", f"{shown(error['input'])}; expected an object like {{'name': {known[0]!r}}}"
    given = error["input"].get("name")
    return (
        ".name",
        f"{shown(given)} is unknown; expected one of {', '.join(known)}{suggestion(given, known)}",
    )


def lines_of(root: type[BaseModel], error: ErrorDetails) -> list[str]:
    """Lines for the user about one error; a cross-check may report several problems at once."""
    location: Keys = tuple(error["loc"])
    path, _ = resolve(root, location)
    place = render_path(path)
    if error["type"] == "extra_forbidden":
        return [f"{place}: {_unknown_key(root, location, path)}"]
    if error["type"] == "missing":
        return [f"{place}: is missing; {_purpose(root, path, location)}"]
    if error["type"] in _SECTION:
        return [f"{place}: {shown(error['input'])}; expected an object {_outline(root, location)}"]
    if error["type"] in _BAD_TAG:
        key, message = _tag_problem(root, error)
        return [f"{place}{key}: {message}"]
    if error["type"] == "value_error" and isinstance(error["input"], dict):
        reasons = str(error["ctx"]["error"]).split("\n")
        return [f"{place}.{reason}" if place else reason for reason in reasons]
    hint = ""
    if error["type"] == "literal_error":
        choices = [choice.strip("' ") for choice in error["ctx"]["expected"].replace(" or ", ",").split(",")]
        hint = suggestion(error["input"], choices)
    return [f"{place}: {shown(error['input'])}; {expectation(error)}{hint}"]


def _outline(root: type[BaseModel], location: Keys) -> str:
    """The first keys of a section, as ``{"unit": ..., "thr": ...}``."""
    _, models = resolve(root, (*location, ""))
    fields = dict.fromkeys(key for model in models for key in model.model_fields)
    inherited = {key for model in models for key in model.model_fields if key not in model.__annotations__}
    keys = sorted(fields, key=inherited.__contains__)
    begin = [f'"{key}": ...' for key in keys[:_SHOWN_KEYS]] + ["..."] * (len(keys) > _SHOWN_KEYS)
    return f"{{{', '.join(begin)}}}"


def _purpose(root: type[BaseModel], path: Keys, location: Keys) -> str:
    """Purpose of a missing key or entry, from the schema's description."""
    _, parents = resolve(root, location)
    name = next(str(key) for key in reversed(path) if isinstance(key, str))
    for model in parents:
        field = model.model_fields.get(name)
        if field is not None and field.description:
            return f"expected {field.description[0].lower()}{field.description[1:].rstrip('.')}"
    return "it is required"


def lines(root: type[BaseModel], error: ValidationError) -> list[str]:
    """All problems of a validation, one line each, in the order of the schema."""
    entries = error.errors(include_url=False)
    # Pydantic drops wrong entries of a list, then reports the list as too short.
    wrong_inside = {entry["loc"][:end] for entry in entries for end in range(len(entry["loc"]))}
    return [
        line
        for entry in entries
        if entry["type"] != "too_short" or entry["loc"] not in wrong_inside
        for line in lines_of(root, entry)
    ]
