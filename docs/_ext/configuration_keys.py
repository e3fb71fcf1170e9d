"""The keys of the schema in words, as the documentation prints them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ivadomed.config.problems import models_in
from ivadomed.config.schema.run import RunConfig

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_PLURAL = {"integer": "integers", "number": "numbers", "string": "strings", "boolean": "booleans"}


@dataclass(frozen=True)
class Key:
    """A key of a section, in words."""

    path: str
    type: str
    range: str
    default: str
    """JSON, or `required`."""
    description: str
    example: str
    """JSON."""

    @property
    def name(self) -> str:
        """The key itself."""
        return self.path.rpartition(".")[2]


@dataclass(frozen=True)
class Part:
    """A section, or what it holds when its `name` is `variant`; keys that hold sections are parts of their own."""

    path: str
    variant: str | None
    description: str
    keys: tuple[Key, ...]


def parts() -> Iterator[Part]:
    """All sections in the order of the schema, the keys of the top level first (path "")."""
    RunConfig.model_validate({})  # imports the rooms whose registries make sections
    yield from _parts(RunConfig, "", "What a run does and where its results go.", None)


def _parts(model: type[BaseModel], path: str, description: str, variant: str | None) -> Iterator[Part]:
    inner = {name: [] if _is_free(field) else models_in(field) for name, field in _fields(model)}
    keys = tuple(_key(model, _join(path, name), field) for name, field in _fields(model) if not inner[name])
    yield Part(path, variant, description, keys)
    for name, field in _fields(model):
        for section in inner[name]:
            words = section.__doc__ or field.description or ""
            line = words.partition("\n\n")[0].replace("\n", " ").strip()
            tag = _tag(section) if len(inner[name]) > 1 else None
            yield from _parts(section, _join(path, name), line, tag)


def _fields(model: type[BaseModel]) -> Iterable[tuple[str, FieldInfo]]:
    return model.model_fields.items()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _is_free(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is dict


def _tag(model: type[BaseModel]) -> str:
    return str(model.model_fields["name"].default)


def _key(model: type[BaseModel], path: str, field: FieldInfo) -> Key:
    name = path.rpartition(".")[2]
    schema = _schema(model)["properties"][name]
    default = (
        "required"
        if field.is_required()
        else json.dumps(_plain(field.get_default(call_default_factory=True)))
    )
    example = _example(field, default)
    return Key(
        path,
        _type(schema),
        ", ".join(dict.fromkeys(_ranges(schema))),
        default,
        field.description or "",
        example,
    )


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(mode="validation")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _type(schema: Mapping[str, Any], many: bool = False) -> str:
    """A JSON Schema in words: `integer`, `list of strings`, `"mean" or "gaussian"`."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(member, many) for member in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        fixed = schema.get("prefixItems")
        inner = _type(fixed[0] if fixed else schema.get("items", {}), many=True)
        return f"list of {len(fixed)} {inner}" if fixed else f"list of {inner}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"object of {_type(values, many=True)}" if isinstance(values, dict) else "object"
    return _PLURAL.get(kind, kind) if many else kind


def _ranges(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        bounds = [f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema]
        if bounds:
            yield " and ".join(bounds)
        for key in ("anyOf", "prefixItems"):
            for member in schema.get(key, ()):
                yield from _ranges(member)
        for key in ("items", "additionalProperties"):
            yield from _ranges(schema.get(key))


def _example(field: FieldInfo, default: str) -> str:
    """The schema's own example, else another choice than the default; of a name that is fixed the default."""
    for value in (*(field.examples or ()), *_choices(field.annotation)):
        if json.dumps(value) != default or field.examples:
            return json.dumps(value)
    return default


def _choices(annotation: Any) -> Iterator[Any]:
    if annotation is bool:
        yield from (True, False)
    for member in get_args(annotation):
        if isinstance(member, str):
            yield member
        else:
            yield from _choices(member)
