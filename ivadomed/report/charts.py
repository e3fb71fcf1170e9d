"""Small charts as inline SVG: the distribution of a metric by group, and curves over epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from ivadomed.visualize.colours import COLOURS, LINE_ORDER

WIDTH = 340
_DASH = "\u2013"
_ROW = 26
_AXIS = 22
_MARGIN = 8
_MOST_POINTS = 150  # of a strip; more are drawn as a histogram
_BINS = 30
_LINE_HEIGHT = 150
_LINE_LEFT = 56
_LETTER = 6.5


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
        """Place of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def colour(k: int) -> str:
    """CSS colour of a class, the one that it has in the pictures."""
    return "rgb({:.0f},{:.0f},{:.0f})".format(*COLOURS[k % len(COLOURS)])


def number(value: float, digits: int = 4) -> str:
    """A value with so many significant digits; a dash for NaN."""
    return _DASH if np.isnan(value) else f"{value:.{digits}g}"


def distribution(title: str, groups: Sequence[Group]) -> str:
    """Strip plot (histogram of many values) with mean and confidence interval, one row per group."""
    left = _MARGIN + 8 + _LETTER * max(len(group.name) for group in groups)
    x = Scale.of(np.concatenate([group.values for group in groups]), left, WIDTH - 2 * _MARGIN)
    parts = []
    for row, group in enumerate(groups):
        middle = _ROW * row + _ROW / 2
        parts.append(f'<text x="{_MARGIN}" y="{middle + 4:.0f}">{escape(group.name)}</text>')
        drawn = _strip if len(group.values) <= _MOST_POINTS else _bars
        parts.append(f'<g fill="{colour(group.colour)}">{drawn(group, x, middle)}</g>')
        parts.append(_mean(group, x, middle))
    height = _ROW * len(groups)
    parts.append(_x_axis(x, height))
    return _figure(title, height + _AXIS, "".join(parts))


def _strip(group: Group, x: Scale, middle: float) -> str:
    # Neighbours are set apart by a fixed pattern: the same page for the same numbers.
    shifts = np.array([0, 5, -5, 2.5, -2.5, 7, -7])
    order = np.argsort(group.values, kind="stable")
    points = []
    for place, i in enumerate(order):
        value = group.values[i]
        points.append(
            f'<circle cx="{x(value):.1f}" cy="{middle + shifts[place % len(shifts)]:.1f}" r="2.6">'
            f"<title>{escape(group.cases[i])}: {number(value)}</title></circle>"
        )
    return "".join(points)


def _bars(group: Group, x: Scale, middle: float) -> str:
    counts, edges = np.histogram(group.values, bins=_BINS, range=(x.low, x.high))
    heights = counts / counts.max() * (_ROW - 6)
    base = middle + (_ROW - 6) / 2
    return "".join(
        f'<rect x="{x(edge):.1f}" y="{base - bar:.1f}" width="{x(following) - x(edge) - 0.5:.1f}" '
        f'height="{bar:.1f}"><title>{number(edge)} to {number(following)}: {count}</title></rect>'
        for edge, following, bar, count in zip(edges, edges[1:], heights, counts, strict=False)
        if count
    )


def _mean(group: Group, x: Scale, middle: float) -> str:
    mean = float(group.values.mean())
    text = f"mean {number(mean)}"
    line = ""
    if not np.isnan(group.interval[0]):
        first, last = (x(end) for end in group.interval)
        text += f" [{number(group.interval[0])}, {number(group.interval[1])}]"
        line = f'<path class="interval" d="M{first:.1f} {middle}H{last:.1f}"/>'
    at = x(mean)
    return f'<g>{line}<path class="mean" d="M{at:.1f} {middle - 8}v16"/><title>{text}</title></g>'


def lines(title: str, series: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> str:
    """Curves over epochs with a legend.

    Args:
        title: Of the chart.
        series: Name and (epoch, value) points of each line; values that are not finite are left out.
    """
    kept = [(name, [(e, v) for e, v in points if np.isfinite(v)]) for name, points in series]
    kept = [(name, points) for name, points in kept if points]
    if not kept:
        return ""
    x = Scale.of([epoch for _, points in kept for epoch, _ in points], _LINE_LEFT, WIDTH - 2 * _MARGIN)
    y = Scale.of([value for _, points in kept for _, value in points], _LINE_HEIGHT, 10)
    parts = [
        f'<path class="grid" d="M{x.start:.0f} {y(v):.0f}H{x.end:.0f}"/>'
        f'<text class="last" x="{x.start - 6:.0f}" y="{y(v) + 4:.0f}">{number(v)}</text>'
        for v in ((y.low + y.high) / 2,) + (() if y.single else (y.low, y.high))
    ]
    legend = []
    for k, (name, points) in enumerate(kept):
        shade = colour(LINE_ORDER[k % len(LINE_ORDER)])
        path = " ".join(f"{x(epoch):.1f},{y(value):.1f}" for epoch, value in points)
        parts.append(f'<polyline points="{path}" stroke="{shade}"><title>{escape(name)}</title></polyline>')
        legend.append(
            f'<span><i style="background:{shade}"></i>{escape(name)}, last {number(points[-1][1])}</span>'
        )
    parts.append(_x_axis(x, _LINE_HEIGHT + 4, "epoch"))
    return _figure(title, _LINE_HEIGHT + 4 + _AXIS, "".join(parts), "".join(legend))


def _x_axis(x: Scale, top: float, name: str = "") -> str:
    middle = (x.low + x.high) / 2
    labels = [("middle", middle, name or number(middle))]
    if not x.single:
        labels += [("first", x.low, number(x.low)), ("last", x.high, number(x.high))]
    return f'<path class="axis" d="M{x.start:.0f} {top}H{x.end:.0f}"/>' + "".join(
        f'<text class="{place}" x="{x(value):.0f}" y="{top + 16}">{text}</text>'
        for place, value, text in labels
    )


def _figure(title: str, height: float, content: str, legend: str = "") -> str:
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height:.0f}" '
        f'role="img" aria-label="{escape(title)}">{content}</svg>'
        + (f'<div class="legend">{legend}</div>' if legend else "")
        + "</figure>"
    )
