"""Types of arguments for signatures, readable by pydantic but without importing it.

Scalars are strict (``true`` is not an integer, ``"4"`` is not 4). JSON arrays become tuples, which makes a parsed
configuration deeply immutable. Bounds are those of `annotated_types`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

__all__ = [
    "INTERNAL",
    "STRICT",
    "WHOLE",
    "Any",
    "DatasetType",
    "Doc",
    "Flag",
    "Fraction",
    "Ge",
    "Gt",
    "Int",
    "Le",
    "Len",
    "Lt",
    "NonNegative",
    "NonNegativeReal",
    "Parsed",
    "Positive",
    "PositiveReal",
    "Real",
    "SizeThreshold",
    "Text",
]


@dataclass(frozen=True)
class Doc:
    """Description of an argument, including unit and range.

    Args:
        text: One or two sentences.
        example: Value other than the default, for the reference.
    """

    text: str
    example: Any = None


INTERNAL = "internal"
"""Metadata of an argument that a configuration cannot set."""


class _Strict:
    """No conversion between types; numbers are finite."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        schema = handler(source)
        schema["strict"] = True
        if schema["type"] == "float":
            schema["allow_inf_nan"] = False
        return schema


class _Whole:
    """Accepts 128.0 as an integer: JSON does not distinguish them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_whole, handler(source))


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


@dataclass(frozen=True)
class Parsed:
    """Metadata of a type parsed by a function; JSON Schema shows the type.

    Args:
        parse: Value of the configuration -> argument; raises ValueError with "expected ...".
    """

    parse: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        by_value = core_schema.plain_serializer_function_ser_schema(_same)
        return core_schema.no_info_plain_validator_function(
            self.parse, serialization=by_value, json_schema_input_schema=handler(source)
        )


def _same(value: Any) -> Any:
    return value


STRICT = _Strict()
WHOLE = _Whole()  # last in a type, so that the JSON Schema keeps the bounds

Int = Annotated[int, STRICT, WHOLE]
Real = Annotated[float, STRICT]
Text = Annotated[str, STRICT]
Flag = Annotated[bool, STRICT]
Positive = Annotated[int, STRICT, Gt(0), WHOLE]
NonNegative = Annotated[int, STRICT, Ge(0), WHOLE]
PositiveReal = Annotated[Real, Gt(0)]
NonNegativeReal = Annotated[Real, Ge(0)]
Fraction = Annotated[Real, Ge(0), Le(1)]
DatasetType = Literal["training", "validation", "testing"]


def _threshold(value: Any) -> int | float | tuple[int | float, ...]:
    entries = value if isinstance(value, (list, tuple)) else [value]
    for entry in entries or [None]:
        if isinstance(entry, bool) or not isinstance(entry, (int, float)) or entry < 0:
            raise ValueError("expected a number >= 0, or a list with one such number per class")
    return tuple(value) if isinstance(value, (list, tuple)) else value


SizeThreshold = Annotated[int | float | tuple[int | float, ...], Parsed(_threshold)]
