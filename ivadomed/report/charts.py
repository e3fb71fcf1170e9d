"""Small charts as inline SVG: the distribution of a metric by group, and curves over epochs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from ivadomed.metrics.descriptions import Description, describe
from ivadomed.visualize import COLOURS, LINE_ORDER

WIDTH = 340
_DASH = "\u2013"
_ROW = 26
_MARGIN = 8
_MOST_POINTS = 150  # of a strip plot; more are drawn as a histogram
_BINS = 30
_LINE_HEIGHT = 150
_LINE_LEFT = 56
_LETTER = 6.5
_TICKS = 4
_SHIFTS = (0, 5, -5, 2.5, -2.5, 7, -7)


@dataclass(frozen=True, eq=False)
class Group:
    """Values of a metric in one row of a chart.

    Args:
        name: Label on the left.
        values: [n], no NaN.
        cases: [n] names of the images.
        colour: Index of the class.
        interval: Confidence interval of the mean; NaN if undefined.
    """

    name: str
    values: np.ndarray
    cases: Sequence[str]
    colour: int
    interval: tuple[float, float]

    @property
    def is_strip(self) -> bool:
        """True if each value is drawn as a point, False for a histogram."""
        return len(self.values) <= _MOST_POINTS

    def points(self) -> Iterator[tuple[float, str, float]]:
        """Yield value, case and vertical shift of each point, sorted by value.

        Neighbors are separated by a fixed pattern, so equal numbers give an equal page.
        """
        for place, i in enumerate(np.argsort(self.values, kind="stable")):
            yield self.values[i], self.cases[i], _SHIFTS[place % len(_SHIFTS)]

    def bars(self, low: float, high: float) -> Iterator[tuple[float, float, float, int]]:
        """Yield both edges, height and count of each nonempty bar."""
        counts, edges = np.histogram(self.values, bins=_BINS, range=(low, high))
        for start, end, count in zip(edges, edges[1:], counts, strict=False):
            if count:
                yield start, end, count / counts.max() * (_ROW - 6), count


@dataclass(frozen=True)
class Line:
    """A curve over epochs.

    Args:
        name: Name in the legend.
        points: (epoch, value), all finite, epochs increasing.
        colour: Index in ``LINE_ORDER``.
        dashed: True to distinguish it from another line of the same colour.
        best: Epoch whose model was kept; None if no point belongs to it.
    """

    name: str
    points: Sequence[tuple[int, float]]
    colour: int = 0
    dashed: bool = False
    best: int | None = None

    @property
    def best_value(self) -> float | None:
        """Value at the best epoch; None without one."""
        return dict(self.points).get(self.best) if self.best is not None else None

    @property
    def css(self) -> str:
        """Colour of the line."""
        return colour(LINE_ORDER[self.colour % len(LINE_ORDER)])

    @property
    def data(self) -> str:
        """Values to show on hover, as JSON."""
        return json.dumps([[epoch, number(value)] for epoch, value in self.points], separators=(",", ":"))


@dataclass(frozen=True)
class Scale:
    """Map values ``low`` to ``high`` to pixels ``start`` to ``end``; ``ticks`` are round numbers between them."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def of(
        cls,
        values: Sequence[float] | np.ndarray,
        start: float,
        end: float,
        metric: Description | None = None,
        whole: bool = False,
    ) -> Scale:
        """Scale with round limits that covers all values.

        Args:
            values: At least one, all finite.
            start: Pixel of the lower end.
            end: Pixel of the upper end.
            metric: Metric of the values: ratios get a scale from 0 to 1, distances and counts start at 0.
            whole: Ticks are integers, and the scale ends at the last value.
        """
        low, high = float(min(values)), float(max(values))
        if metric is not None and metric.ratio and low >= 0 and high <= 1:
            return cls(0, 1, start, end, (0, 0.25, 0.5, 0.75, 1))
        if metric is not None and not metric.ratio and low >= 0:
            low = 0.0
        if low == high:
            low, high = low - 0.5, high + 0.5
        step = _round_step((high - low) / _TICKS, whole)
        first, last = math.floor(low / step), math.ceil(high / step)
        ticks = tuple(round(k * step, 12) for k in range(first, last + 1))
        if whole:
            return cls(low, high, start, end, tuple(tick for tick in ticks if low <= tick <= high))
        return cls(ticks[0], ticks[-1], start, end, ticks)

    def __call__(self, value: float) -> float:
        """Pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _round_step(least: float, whole: bool) -> float:
    """Round up to 1, 2, 2.5 or 5 times a power of ten; for integers to 1, 2 or 5 times one."""
    magnitude = 10.0 ** math.floor(math.log10(least))
    steps = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = next(k * magnitude for k in steps if k * magnitude >= least * (1 - 1e-9))
    return max(step, 1.0) if whole else step


def colour(k: int) -> str:
    """CSS colour of a class, as in the pictures."""
    return "rgb({:.0f},{:.0f},{:.0f})".format(*COLOURS[k % len(COLOURS)])


def number(value: float, digits: int = 4) -> str:
    """Format a value with this many significant digits; a dash for NaN."""
    return _DASH if np.isnan(value) else f"{value:.{digits}g}"


def linked(text: str, images: Sequence[str]) -> Markup:
    """Turn the names of these images in a text into links to them."""
    if not images:
        return escape(text)
    names = "|".join(re.escape(image) for image in sorted(images, key=len, reverse=True))
    parts = re.split(f"(?<![\\w-])({names})(?![\\w-])", text)
    link = Markup('<a href="#image={}">{}</a>')
    return Markup().join(link.format(quote(part), part) if k % 2 else part for k, part in enumerate(parts))


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {"colour": colour, "number": number, "described": describe, "linked": linked}


def distribution(
    title: str, groups: Sequence[Group], metric: Description | None = None, zero: bool = False
) -> Markup:
    """Strip plot (histogram for many values) with mean and confidence interval, one row per group.

    Args:
        title: Title of the chart.
        groups: Rows of the chart.
        metric: Metric of the values: determines the axis limits, and is explained on hover.
        zero: The values are differences: draw a line at zero, in the middle.
    """
    left = _MARGIN + 8 + _LETTER * max(len(group.name) for group in groups)
    left = min(left, WIDTH * 0.6)
    values = np.concatenate([group.values for group in groups])
    if zero:
        values = np.append(values, -values)
    x = Scale.of(values, left, WIDTH - 2 * _MARGIN, None if zero else metric)
    return _macro("distribution", title, metric, groups=groups, x=x, row=_ROW, margin=_MARGIN, zero=zero)


def lines(title: str, series: Sequence[Line], metric: Description | None = None) -> Markup:
    """Curves over epochs with a legend; empty if there is no finite value.

    Args:
        title: Title of the chart.
        series: The lines; non-finite values are left out.
        metric: Metric of the values, see ``distribution``.
    """
    finite = (
        replace(line, points=[(epoch, value) for epoch, value in line.points if np.isfinite(value)])
        for line in series
    )
    kept = [line for line in finite if line.points]
    if not kept:
        return Markup()
    epochs = [epoch for line in kept for epoch, _ in line.points]
    x = Scale.of(epochs, _LINE_LEFT, WIDTH - 2 * _MARGIN, whole=True)
    scaled = metric if metric is not None and metric.ratio else None  # losses may be far from 0
    y = Scale.of([value for line in kept for _, value in line.points], _LINE_HEIGHT, 10, scaled)
    return _macro("lines", title, metric, series=kept, x=x, y=y)


def _macro(name: str, title: str, metric: Description | None, **values: object) -> Markup:
    module: object = TEMPLATES.get_template("charts.html").make_module({"width": WIDTH})
    return getattr(module, name)(title=title, hint=metric.hint if metric else "", **values)
