"""Small charts as inline SVG: the distribution of a metric by group, and curves over epochs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ivadomed.visualize import COLOURS, LINE_ORDER

WIDTH = 340
_DASH = "\u2013"
_ROW = 26
_MARGIN = 8
_MOST_POINTS = 150  # of a strip; more are drawn as a histogram
_BINS = 30
_LINE_HEIGHT = 150
_LINE_LEFT = 56
_LETTER = 6.5
_SHIFTS = (0, 5, -5, 2.5, -2.5, 7, -7)


@dataclass(frozen=True, eq=False)
class Group:
    """Values of a metric in one row of a chart.

    Args:
        name: Shown at the left.
        values: [n], no NaN.
        cases: [n] names of the images.
        colour: Number of the class.
        interval: Confidence interval of the mean; NaN when there is none.
    """

    name: str
    values: np.ndarray
    cases: Sequence[str]
    colour: int
    interval: tuple[float, float]

    @property
    def is_strip(self) -> bool:
        """True when each value gets a point, and there is no histogram."""
        return len(self.values) <= _MOST_POINTS

    def points(self) -> Iterator[tuple[float, str, float]]:
        """Value, case and vertical shift of each point, by value.

        Neighbours are set apart by a fixed pattern: the same page for the same numbers.
        """
        for place, i in enumerate(np.argsort(self.values, kind="stable")):
            yield self.values[i], self.cases[i], _SHIFTS[place % len(_SHIFTS)]

    def bars(self, low: float, high: float) -> Iterator[tuple[float, float, float, int]]:
        """Both edges, height and count of each bar that is not empty."""
        counts, edges = np.histogram(self.values, bins=_BINS, range=(low, high))
        for start, end, count in zip(edges, edges[1:], counts, strict=False):
            if count:
                yield start, end, count / counts.max() * (_ROW - 6), count


@dataclass(frozen=True)
class Scale:
    """Values ``low`` to ``high`` on the pixels ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    single: bool = False  # there is but one value, in the middle

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray, start: float, end: float) -> Scale:
        """Scale that just holds all values; a single value lies in the middle."""
        low, high = float(min(values)), float(max(values))
        if low == high:
            return cls(low - 0.5, high + 0.5, start, end, single=True)
        return cls(low, high, start, end)

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def colour(k: int) -> str:
    """CSS colour of a class, the one that it has in the pictures."""
    return "rgb({:.0f},{:.0f},{:.0f})".format(*COLOURS[k % len(COLOURS)])


def number(value: float, digits: int = 4) -> str:
    """A value with so many significant digits; a dash for NaN."""
    return _DASH if np.isnan(value) else f"{value:.{digits}g}"


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"colour": colour, "number": number}


def distribution(title: str, groups: Sequence[Group]) -> Markup:
    """Strip plot (histogram of many values) with mean and confidence interval, one row per group."""
    left = _MARGIN + 8 + _LETTER * max(len(group.name) for group in groups)
    x = Scale.of(np.concatenate([group.values for group in groups]), left, WIDTH - 2 * _MARGIN)
    return _macro("distribution", title=title, groups=groups, x=x, row=_ROW, margin=_MARGIN)


def lines(title: str, series: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> Markup:
    """Curves over epochs with a legend; empty without a finite value.

    Args:
        title: Of the chart.
        series: Name and (epoch, value) points of each line; values that are not finite are left out.
    """
    kept = [(name, [(e, v) for e, v in points if np.isfinite(v)]) for name, points in series]
    kept = [(name, points) for name, points in kept if points]
    if not kept:
        return Markup()
    x = Scale.of([epoch for _, points in kept for epoch, _ in points], _LINE_LEFT, WIDTH - 2 * _MARGIN)
    y = Scale.of([value for _, points in kept for _, value in points], _LINE_HEIGHT, 10)
    colours = [colour(LINE_ORDER[k % len(LINE_ORDER)]) for k in range(len(kept))]
    return _macro("lines", title=title, series=kept, x=x, y=y, colours=colours)


def _macro(name: str, **values: object) -> Markup:
    module: object = TEMPLATES.get_template("charts.html").make_module({"width": WIDTH})
    return getattr(module, name)(**values)
