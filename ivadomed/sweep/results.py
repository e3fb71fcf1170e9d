"""Tables and figures of a sweep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ivadomed.images.files import write_csv
from ivadomed.report import read_curves
from ivadomed.sweep.hyperparameters import HyperparameterOption, value_at
from ivadomed.sweep.member import SCORES
from ivadomed.sweep.plan import Member, short_name

TEMPORARY, DETAILED, AVERAGE = "temporary_results.csv", "detailed_results.csv", "average_eval.csv"

COMPARISON, TESTS = "comparison.png", "comparison_test.png"

_METRIC = "dice_class0"
_DICE_LOSSES = ("best_training_dice", "best_validation_dice")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe and Ito
_STYLES = ("-", "--", ":", "-.")
_LETTERS = 48
_ROW = 0.32  # inches

Results = Sequence[tuple[Member, Mapping[str, Any]]]
"""Finished members with their results from ``member.Run``."""


def results_table(results: Results) -> pd.DataFrame:
    """Table with one row per member: the folder of its configuration, the iteration, and its scores.

    Dice values range from 0 to 1; trainings return, and the store keeps, Dice losses.
    """
    known = (*SCORES, "test_dice", "state")
    rows = [
        {
            "path_output": member.path_output,
            "iteration": member.iteration,
            **{key: -scores[key] if key in _DICE_LOSSES else scores[key] for key in known if key in scores},
        }
        for member, scores in results
    ]
    return pd.DataFrame(rows, columns=None if rows else ["path_output", "iteration", *SCORES])


def format_results(
    results_df: pd.DataFrame,
    config_list: Iterable[Mapping[str, Any]],
    param_list: Iterable[HyperparameterOption],
) -> pd.DataFrame:
    """Results next to their hyperparameters, the lowest validation loss first.

    Args:
        results_df: Table from ``results_table``.
        config_list: Configurations; ``path_output`` identifies their rows.
        param_list: Hyperparameters that differ; each gets a column, named by its path with dots.
    """
    paths = list(dict.fromkeys(option.path for option in param_list))
    values = {
        config["path_output"]: [_cell(value_at(config, path)) for path in paths] for config in config_list
    }
    columns = [".".join(path) for path in paths]
    settings = pd.DataFrame.from_dict(values, orient="index", columns=columns, dtype=object).infer_objects()
    table = settings.rename_axis("path_output").reset_index().merge(results_df, on="path_output")
    # pandas before 2.2 orders the columns of an empty merge differently.
    order = ["path_output", *columns, *results_df.columns.drop("path_output")]
    return table[order].sort_values("best_validation_loss", kind="stable", ignore_index=True)


def average_table(results: Results) -> pd.DataFrame:
    """Mean and standard deviation of the scores and of the metrics of the test images, two columns per configuration.

    Scores are averaged over iterations; a single run has no deviation. So are the mean test metrics of each
    iteration; for a configuration that was run once, these metrics are averaged over its images.
    """
    tests = _tables_by_configuration(results)
    columns: dict[str, pd.Series] = {}
    for path, runs in results_table(results).drop(columns="iteration").groupby("path_output", sort=False):
        tables = tests.get(str(path), [])
        scores = runs.select_dtypes("number")
        metrics = tables[0] if len(tables) == 1 else pd.DataFrame([table.mean() for table in tables])
        columns[f"mean_{path}"] = pd.concat([scores.mean(), metrics.mean()])
        columns[f"std_{path}"] = pd.concat([scores.std(), metrics.std()])
    return pd.DataFrame(columns).rename_axis("metric")


def test_values(results: Results, metric: str) -> dict[str, np.ndarray]:
    """Values of a metric on all test images and iterations, by the folder of the configuration."""
    return {
        path: np.concatenate([table[metric].dropna() for table in tables if metric in table])
        for path, tables in _tables_by_configuration(results).items()
    }


def write_tables(
    folder: Path,
    results: Results,
    config_list: Sequence[Mapping[str, Any]],
    param_list: Sequence[HyperparameterOption],
) -> pd.DataFrame:
    """Write ``detailed_results.csv`` and ``average_eval.csv``; return the former."""
    detailed = format_results(results_table(results), config_list, param_list)
    write_csv(folder / DETAILED, detailed)
    write_csv(folder / AVERAGE, average_table(results))
    return detailed


def _tables_by_configuration(results: Results) -> dict[str, list[pd.DataFrame]]:
    """Metrics per test image, one table per iteration."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for member, scores in results:
        if "metrics" in scores:
            table = pd.DataFrame(**scores["metrics"]).select_dtypes("number")
            tables.setdefault(member.path_output, []).append(table)
    return tables


def _cell(value: Any) -> Any:
    """A value as a table cell: a number or text."""
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value)
    return math.nan if value is None else value


def labels_of(results: Results, base: str) -> dict[str, str]:
    """Name of each configuration, by its folder: the part that its options added to the name of ``base``."""
    names = {member.path_output: short_name(member.path_output, base) for member, _ in results}
    return {
        path: name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…" for path, name in names.items()
    }


def comparison_figure(results: Results, base: str) -> Figure:
    """Plot the validation loss of each run over its epochs, and the best loss and Dice of the configurations.

    Configurations are sorted, the best one on top; dots are runs, bars the mean over iterations.

    Args:
        results: Finished members.
        base: ``path_output`` after which their folders are named.
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
    """Plot the Dice of the test images, one violin per configuration.

    Args:
        results: Finished members.
        base: ``path_output`` after which their folders are named.

    Returns:
        None if no test has a Dice.
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
    """Color and line style; the first 28 are distinct."""
    return _COLOURS[number % len(_COLOURS)], _STYLES[number // len(_COLOURS) % len(_STYLES)]
