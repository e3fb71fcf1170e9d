"""Schema of the configuration, one module per part of the JSON file; here, types that need pydantic: paths, sizes,
scalars."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from ivadomed.images.files import expand_home
from ivadomed.registry.types import Parsed, Positive
from ivadomed.runtime.failures import is_utf8, utf8_remedy


def _scalar(value: Any) -> str | int | float | bool:
    if isinstance(value, (str, int, float)):
        return value
    raise ValueError("expected a string, a number or a boolean")


Scalar = Annotated[str | int | float | bool, Parsed(_scalar)]


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, (list, tuple)) and not value else value


def _path(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _file_name(value: str) -> str:
    if value in (".", "..") or not value.isprintable() or set(value) & set("/\\"):
        raise ValueError("expected a plain name, without / or unprintable characters")
    return value


def _usable_path(value: str) -> str:
    """Path with ``~`` replaced by the user's home folder."""
    if "\0" in value:
        raise ValueError("expected a path, without null characters")
    if not is_utf8(value):
        raise ValueError(f"expected a path in UTF-8, as it is written to the files of a run; {utf8_remedy()}")
    return expand_home(value)


def _paths(value: Any) -> tuple[Any, ...]:
    if isinstance(value, (str, os.PathLike)):
        return (_usable_path(_path(value)),)
    if isinstance(value, (list, tuple)) and all(isinstance(entry, (str, os.PathLike)) for entry in value):
        return tuple(_usable_path(_path(entry)) for entry in value)
    raise ValueError("expected a path or a list of paths")


def _different(axes: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(axes)) < len(axes):
        raise ValueError("expected each axis once")
    return tuple(sorted(axes))


Size2D = Annotated[tuple[Positive, Positive] | None, BeforeValidator(_empty_is_none)]
Size3D = Annotated[tuple[Positive, Positive, Positive] | None, BeforeValidator(_empty_is_none)]
MirrorAxes = Annotated[tuple[Literal[0, 1, 2], ...], AfterValidator(_different)]
PathText = Annotated[
    str, Strict(), BeforeValidator(_path, json_schema_input_type=str), AfterValidator(_usable_path)
]
PathTexts = Annotated[tuple[str, ...], BeforeValidator(_paths, json_schema_input_type=str | list[str])]
FileName = Annotated[str, Strict(), Field(min_length=1), AfterValidator(_file_name)]
