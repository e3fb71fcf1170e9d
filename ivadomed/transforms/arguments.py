"""Checks of transform arguments, with errors that name the transform, the value and what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ivadomed.errors import ConfigError


def number(owner: str, name: str, value: Any, low: float = -np.inf, high: float = np.inf) -> float:
    """Return `value` as a float within [low, high].

    Raises:
        ConfigError: It is no number, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value <= high:
        raise ConfigError(
            f"transformation.{owner}.{name}: {value!r}; a number within [{low:g}, {high:g}] expected"
        )
    return float(value)


def interval(
    owner: str, name: str, value: Any, low: float = -np.inf, *, symmetric: bool = False
) -> tuple[float, float]:
    """Return `value` as (smallest, largest).

    Args:
        owner: Name of the transform.
        name: Name of the argument.
        value: Two numbers, or one number d for [-d, d] (`symmetric`) or [0, d].
        low: Lower bound of both.
        symmetric: What a single number means.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        end = number(owner, name, value, 0)
        return (-end if symmetric else 0.0, end)
    pair = numbers(owner, name, value, low)
    if len(pair) != 2 or pair[0] > pair[1]:
        raise ConfigError(f"transformation.{owner}.{name}: {value!r}; [smallest, largest] expected")
    return pair[0], pair[1]


def numbers(
    owner: str, name: str, value: Any, low: float = -np.inf, high: float = np.inf
) -> tuple[float, ...]:
    """Return a sequence of numbers within [low, high] as a tuple of floats."""
    if not isinstance(value, (Sequence, np.ndarray)) or isinstance(value, str):
        raise ConfigError(f"transformation.{owner}.{name}: {value!r}; a list of numbers expected")
    return tuple(number(owner, name, v, low, high) for v in value)


def flag(owner: str, name: str, value: Any) -> bool:
    """Return `value` if it is true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"transformation.{owner}.{name}: {value!r}; true or false expected")
    return bool(value)


def axes_of(owner: str, value: Any) -> tuple[int, ...] | None:
    """Return a list of different axes, 0 height, 1 width, 2 depth; None for all."""
    if value is None:
        return None
    valid = (
        isinstance(value, (list, tuple))
        and len(value) > 0
        and all(type(v) is int and 0 <= v <= 2 for v in value)
    )
    if not valid or len(set(value)) < len(value):
        raise ConfigError(
            f"transformation.{owner}.axes: {value!r}; different ones of 0 (height), 1 (width), 2 (depth) expected"
        )
    return tuple(value)
