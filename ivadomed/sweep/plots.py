"""Pictures of a sweep, drawn while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ivadomed.images.files import atomic_path
from ivadomed.report import read_curves
from ivadomed.sweep.tables import Results, test_values

COMPARISON, TESTS = "comparison.png", "comparison_test.png"

_METRIC = "dice_class0"
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
_STYLES = ("-", "--", ":", "-.")
_LETTERS = 48
_ROW = 0.32  # inches


def labels_of(results: Results, base: str) -> dict[str, str]:
    """What to call each configuration, by its folder: what its options added to the name of ``base``."""
    names = {}
    for member, _ in results:
        name = member.path_output.removeprefix(base).removeprefix("-") or Path(member.path_output).name
        names[member.path_output] = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    return names


def comparison_figure(results: Results, base: str) -> Figure:
    """Draw the validation loss of every run over its epochs, and the best loss and Dice of the configurations.

    Configurations are sorted, the best one on top; a dot is a run, a bar the mean of the iterations.

    Args:
        results: Members that are done.
        base: ``path_output`` that their folders are named after.
    """
    names = labels_of(results, base)
    losses = _by_configuration(results, "best_validation_loss")
    order = sorted(losses, key=lambda folder: float(np.mean(losses[folder])))
    styles = {folder: _style(number) for number, folder in enumerate(order)}
    figure = Figure(figsize=(13, max(3.6, 1.6 + _ROW * len(order))), layout="constrained")
    curves, left, right = figure.subplots(1, 3)
    _draw_curves(curves, results, styles)
    _draw_scores(left, losses, order, styles)
    left.set_title("Lowest validation loss")
    left.set_yticks(range(len(order)), [names[folder] for folder in order])
    dice = _by_configuration(results, "best_validation_dice")
    _draw_scores(right, {folder: [-value for value in dice[folder]] for folder in dice}, order, styles)
    right.set_title("Validation Dice of that epoch")
    right.set_yticks(range(len(order)), [])
    return figure


def tests_figure(results: Results, base: str) -> Figure | None:
    """Draw the Dice of the test images, a violin for each configuration.

    Args:
        results: Members that are done.
        base: ``path_output`` that their folders are named after.

    Returns:
        None when no model was tested by its Dice.
    """
    values = {folder: x for folder, x in test_values(results, _METRIC).items() if len(x)}
    if not values:
        return None
    names = labels_of(results, base)
    order = sorted(values, key=lambda folder: -float(np.mean(values[folder])))
    figure = Figure(figsize=(9, max(3.0, 1.4 + 1.6 * _ROW * len(order))), layout="constrained")
    axes = figure.subplots()
    for place, folder in enumerate(order):
        colour, _ = _style(place)
        if len(values[folder]) > 1 and np.ptp(values[folder]) > 0:
            parts: Any = axes.violinplot(values[folder], [place], orientation="horizontal", showextrema=False)
            parts["bodies"][0].set_facecolor(colour)
        axes.plot(values[folder], np.full(len(values[folder]), place), ".", color=colour, alpha=0.7)
        axes.plot(np.mean(values[folder]), place, "|", color="black", markersize=16)
    axes.set_yticks(range(len(order)), [names[folder] for folder in order])
    axes.invert_yaxis()
    axes.set_xlabel("Dice of the test images (line: mean)")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _draw_curves(axes: Axes, results: Results, styles: Mapping[str, tuple[str, str]]) -> None:
    for member, _ in results:
        for curve in read_curves(member.folder):
            if curve.name == "val_loss":
                colour, style = styles[member.path_output]
                epochs, loss = zip(*curve.points, strict=True)
                axes.plot(epochs, loss, style, color=colour, marker="." if len(epochs) == 1 else None)
    axes.set_title("Validation loss")
    axes.set_xlabel("Epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def _draw_scores(
    axes: Axes,
    scores: Mapping[str, Sequence[float]],
    order: Sequence[str],
    styles: Mapping[str, tuple[str, str]],
) -> None:
    for place, folder in enumerate(order):
        colour, style = styles[folder]
        values = scores[folder]
        axes.plot([0, float(np.mean(values))], [place, place], style, color=colour, linewidth=2, alpha=0.6)
        axes.plot(values, [place] * len(values), "o", color=colour, markersize=5)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)


def _by_configuration(results: Results, score: str) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    for member, scores in results:
        values.setdefault(member.path_output, []).append(scores[score])
    return values


def _style(number: int) -> tuple[str, str]:
    """Colour and line style; no two of the first 28 are alike."""
    return _COLOURS[number % len(_COLOURS)], _STYLES[number // len(_COLOURS) % len(_STYLES)]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture, atomically."""
    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)
