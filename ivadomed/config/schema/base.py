"""What all sections share: the strict base model, scalar types and sections whose key order has a meaning.

Scalars are strict (``true`` is not an integer, ``"4"`` is not 4) while JSON arrays become tuples, so that a
parsed configuration is immutable all the way down.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from ivadomed.runtime.failures import is_utf8, utf8_remedy


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON knows numbers only: 128.0 is a whole number too. It comes last, so that the JSON Schema keeps the bounds.
WHOLE = BeforeValidator(_whole)
Int = Annotated[int, Strict(), WHOLE]
Real = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Text = Annotated[str, Strict()]
Flag = Annotated[bool, Strict()]

Positive = Annotated[int, Strict(), Field(gt=0), WHOLE]
NonNegative = Annotated[int, Strict(), Field(ge=0), WHOLE]
PositiveReal = Annotated[Real, Field(gt=0)]
NonNegativeReal = Annotated[Real, Field(ge=0)]
Fraction = Annotated[Real, Field(ge=0, le=1)]
DatasetType = Literal["training", "validation", "testing"]


def _same(value: Any) -> Any:
    return value


# For unions: serialize by the value's own type, not by trying the members.
BY_VALUE = PlainSerializer(_same, return_type=Any)


def _scalar(value: Any) -> str | int | float | bool:
    if isinstance(value, (str, int, float)):
        return value
    raise ValueError("expected a string, a number or a boolean")


def _threshold(value: Any) -> int | float | tuple[int | float, ...]:
    entries = value if isinstance(value, (list, tuple)) else [value]
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, (int, float)) or entry < 0:
            raise ValueError("expected a number >= 0, or a list with one such number per class")
    if not entries:
        raise ValueError("expected a number >= 0, or a list with one such number per class")
    return tuple(value) if isinstance(value, (list, tuple)) else value


Scalar = Annotated[
    str | int | float | bool,
    PlainValidator(_scalar, json_schema_input_type=str | int | float | bool),
    BY_VALUE,
]
SizeThreshold = Annotated[
    int | float | tuple[int | float, ...],
    PlainValidator(_threshold, json_schema_input_type=int | float | list[int | float]),
    BY_VALUE,
]


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, (list, tuple)) and not value else value


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _file_name(value: str) -> str:
    if value in (".", "..") or not value.isprintable() or set(value) & set("/\\"):
        raise ValueError("expected a plain name, without / and what cannot be printed")
    return value


def _usable_path(value: str) -> str:
    if "\0" in value:
        raise ValueError("expected a path, which has no character 0")
    if not is_utf8(value):
        raise ValueError(f"expected a path in UTF-8, for the files of a run name it; {utf8_remedy()}")
    return value


def _paths(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, os.PathLike)):
        return (_usable_path(_path(value)),)
    if isinstance(value, (list, tuple)) and all(isinstance(entry, (str, os.PathLike)) for entry in value):
        return tuple(_usable_path(_path(entry)) for entry in value)
    raise ValueError("expected a path or a list of paths")


Size2D = Annotated[tuple[Positive, Positive] | None, BeforeValidator(_empty_is_none)]
Size3D = Annotated[tuple[Positive, Positive, Positive] | None, BeforeValidator(_empty_is_none)]
PathText = Annotated[
    str, Strict(), BeforeValidator(_path, json_schema_input_type=str), AfterValidator(_usable_path)
]
PathTexts = Annotated[tuple[str, ...], BeforeValidator(_paths, json_schema_input_type=str | list[str])]
FileName = Annotated[str, Strict(), Field(min_length=1), AfterValidator(_file_name)]


def _holds_several(annotation: Any) -> bool:
    """Whether a type is a section, a list or an object, and null is none of its values."""
    if get_origin(annotation) is Annotated:
        return _holds_several(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return all(_holds_several(member) for member in get_args(annotation))
    kind = get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, (BaseModel, tuple, dict))


class Section(BaseModel):
    """A JSON object of the configuration: frozen, and every key in it is known.

    A section or a list that is null has its default, as if the key were not there.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        validate_default=False,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_the_default(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or None not in value.values():
            return value
        return {key: entry for key, entry in value.items() if entry is not None or not cls._leaves_out(key)}

    @classmethod
    def _leaves_out(cls, key: str) -> bool:
        field = cls.model_fields.get(key)
        return field is not None and not field.is_required() and _holds_several(field.annotation)


def section(model: type[Section], description: str) -> Any:
    """A field that holds a section, by default with all of its keys at their defaults."""
    return Field(default_factory=model, description=description)


class Named(Section):
    """A section of which `name` picks a class and the other keys are that class's arguments."""

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the class, JSON-ready; keys left at null are absent."""
        return self.model_dump(mode="json", exclude={"name"}, exclude_none=True)


def name_or(default: str) -> Callable[[Any], str | None]:
    """Discriminator of a union of `Named` sections; an object without `name` means `default`."""

    def pick(value: Any) -> str | None:
        if isinstance(value, Mapping):
            return value.get("name", default)
        return getattr(value, "name", None)

    return pick


class OrderedSteps(Section):
    """A section whose keys are steps, run in the order in which they are written.

    Every field is a step or null; null means that the step is not run.
    """

    _order: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _remember_order(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        section = handler(value)
        if isinstance(value, Mapping):
            section._order = tuple(key for key in value if value[key] is not None)
        return section

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain = handler(self)
        return {name: plain[name] for name in self._order if name in plain}

    @property
    def steps(self) -> dict[str, Section]:
        """Name -> step, in the order in which they run."""
        return {name: getattr(self, name) for name in self._order}

    def __contains__(self, name: object) -> bool:
        return name in self._order


def refuse(problems: list[str]) -> None:
    """Raise when a section's keys contradict each other.

    Args:
        problems: One entry per problem, ``"key: what is wrong"`` with the key relative to the section.

    Raises:
        ValueError: All problems, one line each; pydantic adds the section's place.
    """
    if problems:
        raise ValueError("\n".join(problems))
