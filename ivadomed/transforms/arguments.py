"""Argument types shared by several transforms."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Any

from ivadomed.registry.types import Doc, Fraction, Ge, Le, Parsed, PositiveReal

Span = tuple[float, float]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _interval(value: Any, least: float = -math.inf, above: float = -math.inf) -> Span:
    entries = list(value) if isinstance(value, (list, tuple)) else []
    if len(entries) != 2 or not all(map(_is_number, entries)) or entries[0] > entries[1]:
        raise ValueError("expected [smallest, largest]")
    if entries[0] < least or entries[0] <= above:
        bound = f"from {least:g} upward" if entries[0] < least else f"above {above:g}"
        raise ValueError(f"expected [smallest, largest], with numbers {bound}")
    return float(entries[0]), float(entries[1])


def _interval_or_end(value: Any, least: float = -math.inf) -> float | Span:
    return value if _is_number(value) and value >= 0 else _interval(value, least)


def _axes(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    entries = list(value) if isinstance(value, (list, tuple)) else []
    if not entries or any(isinstance(axis, bool) or axis not in (0, 1, 2) for axis in entries):
        raise ValueError("expected a list of axes: 0 (height), 1 (width), 2 (depth); or null")
    if len(set(entries)) < len(entries):
        raise ValueError("expected different axes")
    return tuple(map(int, entries))


Interval = Annotated[Span, Parsed(_interval)]
Factors = Annotated[tuple[PositiveReal, PositiveReal], Parsed(partial(_interval, above=0))]
Thickness = Annotated[tuple[PositiveReal, PositiveReal], Parsed(partial(_interval, least=1))]
Widths = Annotated[float | Span, Parsed(partial(_interval_or_end, least=0))]
Symmetric = Annotated[float | Span, Parsed(_interval_or_end)]
Axes = Annotated[tuple[Annotated[int, Ge(0), Le(2)], ...] | None, Parsed(_axes)]
Probability = Annotated[Fraction, Doc("Probability (0 to 1).", 0.3)]
MaybeProbability = Annotated[Fraction | None, Doc("Probability (0 to 1); null: always.", 0.3)]


def symmetric(value: float | Span) -> Span:
    """Interpret a single number d as [-d, d]."""
    return value if isinstance(value, tuple) else (-value, value)


def from_zero(value: float | Span) -> Span:
    """Interpret a single number s as [0, s]."""
    return value if isinstance(value, tuple) else (0.0, value)
