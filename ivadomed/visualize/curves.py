"""Plots of training losses and validation metrics over epochs, read from TensorBoard events."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.images.files import write_csv
from ivadomed.images.io import write_figure
from ivadomed.report.events import read_scalars
from ivadomed.visualize import COLOURS, LINE_ORDER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

log = logging.getLogger(__name__)

_LOSSES = "losses_"
_METRICS = "Validation_Metrics_"
_EVENTS = "events.out.tfevents.*"
_CHARTS = ("losses", "Validation/Metrics")
_LEARNING_RATE = "learning_rate"
_INCHES = (5.4, 3.8)
_MOST_COLUMNS = 3
_SHORT = 25  # epochs; below this, each one is marked, because a line hides how few points it has


def get_events_path_list(input_folder: str | Path, learning_rate: bool) -> list[Path]:
    """Folders with the events of a training: its own, preceded in ivadomed 2 by one per loss and validation metric.

    Args:
        input_folder: Folder of the training.
        learning_rate: Include the learning rate, which ivadomed 2 wrote to the training's own folder.

    Raises:
        DataError: No events were found.
    """
    folder = Path(input_folder)
    has_own = any(folder.glob(_EVENTS))
    places = sorted({file.parent for file in folder.glob(f"*/{_EVENTS}")})
    chosen = [place for place in places if place.name.startswith((_LOSSES, _METRICS))]
    if not (chosen or has_own):
        raise DataError(f"{folder}: has no training events; expected a file {_EVENTS}")
    if learning_rate and not has_own:
        log.warning("%s: has no learning-rate events (%s); it is not plotted.", folder, _EVENTS)
    return [*chosen, folder] if has_own else chosen


def tensorboard_retrieve_event(events_path_list: Sequence[str | Path]) -> pd.DataFrame:
    """Read the values of a training.

    For epochs repeated after an interruption, the last values are used.

    Args:
        events_path_list: See ``get_events_path_list``.

    Returns:
        One row per epoch, one column per loss (``train_loss``, ``val_loss``) and validation metric (``dice_score``),
        and ``learning_rate``; NaN if an epoch has no value.
    """
    columns: dict[str, dict[int, float]] = {}
    for place in map(Path, events_path_list):
        for tag, values in read_scalars(place).items():
            name = place.name.removeprefix(f"{tag.replace('/', '_')}_")
            if name == place.name:  # the training's own folder
                chart, _, name = tag.rpartition("/")
                if chart not in _CHARTS and tag != _LEARNING_RATE:
                    continue  # another scalar
            columns[name] = {**columns.get(name, {}), **values}
    return pd.DataFrame(columns).sort_index().rename_axis("epoch")


def plot_curve(
    data_list: Sequence[pd.DataFrame | pd.Series],
    y_label: str,
    fig_ax: Axes,
    subplot_title: str,
    y_lim: Sequence[float] | None = None,
) -> None:
    """Draw the columns of one training, or the mean of several with their standard deviation shaded.

    Trainings that stopped early contribute to the epochs they have.

    Args:
        data_list: Column or columns of each training to draw, by epoch.
        y_label: Label of the vertical axis.
        fig_ax: Axes to draw on.
        subplot_title: Title of the plot.
        y_lim: Limits of the vertical axis.
    """
    from matplotlib.ticker import MaxNLocator  # loaded only when needed

    tables = [pd.DataFrame(data) for data in data_list]
    columns = list(dict.fromkeys(name for table in tables for name in table))
    for number, column in enumerate(columns):
        runs = pd.concat([table[column] for table in tables if column in table], axis=1).sort_index()
        runs = runs.replace([np.inf, -np.inf], np.nan).dropna(how="all")
        red, green, blue = COLOURS[LINE_ORDER[number % len(LINE_ORDER)]] / 255
        colour = (float(red), float(green), float(blue))
        mean = runs.mean(axis=1)
        fig_ax.plot(runs.index, mean, color=colour, label=column, marker="." if len(runs) < _SHORT else None)
        if len(tables) > 1:
            spread = runs.std(axis=1, ddof=0)
            fig_ax.fill_between(
                runs.index, mean - spread, mean + spread, color=colour, alpha=0.2, linewidth=0
            )
    fig_ax.set_title(subplot_title, fontsize=10)
    fig_ax.set_xlabel("epoch")
    fig_ax.set_ylabel(y_label)
    fig_ax.grid(alpha=0.25)
    fig_ax.spines[["top", "right"]].set_visible(False)
    fig_ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(columns) > 1:
        fig_ax.legend(frameon=False, fontsize=9)
    if y_lim is not None:
        fig_ax.set_ylim(*y_lim)


def run_plot_training_curves(
    input_folder: str | Path | Sequence[str | Path],
    output_folder: str | Path,
    multiple_training: bool = False,
    learning_rate: bool = False,
    y_lim_loss: Sequence[float] | None = None,
) -> list[Path]:
    """Plot trainings.

    Args:
        input_folder: Folder of a training; several, in a list or separated by commas, get a subplot each. With
            ``multiple_training`` each is a prefix for all folders whose names start with it.
        output_folder: Folder for the plots and a table per training.
        multiple_training: Plot mean and standard deviation of all trainings of a subplot.
        learning_rate: Also plot the learning rate.
        y_lim_loss: Limits of the loss axis.

    Returns:
        The plots: ``losses.png``, ``<metric>.png`` and, if requested, ``learning_rate.png``.

    Raises:
        DataError: A folder has no events or they are empty, or no folder starts with a prefix.
        OutputError: A file cannot be written.
    """
    output = Path(output_folder)
    groups: dict[str, list[pd.DataFrame]] = {}
    given = [input_folder] if isinstance(input_folder, str | Path) else input_folder
    for text in (part for entry in given for part in _separated(str(entry), multiple_training)):
        folders = _trainings(Path(text), multiple_training)
        title = f"{Path(text).name} ({len(folders)} trainings)" if multiple_training else Path(text).name
        title = title if title not in groups else text  # equal names in different folders
        groups[title] = []
        for folder in tqdm(folders, desc=f"Reading {title}", unit="training", leave=False, disable=None):
            values = tensorboard_retrieve_event(get_events_path_list(folder, learning_rate))
            if not learning_rate:
                values = values.drop(columns=_LEARNING_RATE, errors="ignore")
            if values.empty:
                raise DataError(
                    f"{folder}: its events contain no values; train again, or copy its events again"
                )
            name = folder.resolve().name if title != text else text.strip("/").replace("/", "_")
            write_csv(output / f"{name}_training_values.csv", values)
            groups[title].append(values)
    columns = dict.fromkeys(name for group in groups.values() for values in group for name in values)
    plots = {"losses": [name for name in columns if name.endswith("loss")]}
    plots |= {name: [name] for name in columns if not name.endswith("loss")}
    return [
        _plot(output / f"{name}.png", name, chosen, groups, y_lim_loss if name == "losses" else None)
        for name, chosen in plots.items()
        if chosen
    ]


def _separated(text: str, multiple: bool) -> list[str]:
    """Split folders separated by commas; an existing folder with commas in its name is kept whole."""
    parts, found = text.split(","), []
    while parts:
        for count in range(len(parts), 0, -1):
            name = os.path.expanduser(",".join(parts[:count]).strip())
            place = Path(name)
            if count == 1 or place.is_dir() or (multiple and any(_begin_so(place))):
                break
        parts = parts[count:]
        found += [name] if name else []
    return found


def _begin_so(place: Path) -> Iterator[Path]:
    return place.parent.glob(f"{glob.escape(place.name)}*")


def _trainings(place: Path, multiple: bool) -> list[Path]:
    if not multiple:
        return [place]
    found = sorted(
        folder
        for folder in _begin_so(place)
        if folder.is_dir() and (any(folder.glob(_EVENTS)) or any(folder.glob(f"{_LOSSES}*/{_EVENTS}")))
    )
    if not found:
        raise DataError(f"{place}*: no training folder has this prefix")
    return found


def _plot(
    path: Path,
    name: str,
    columns: Sequence[str],
    groups: dict[str, list[pd.DataFrame]],
    y_lim: Sequence[float] | None,
) -> Path:
    from matplotlib.figure import Figure  # needs no window, whatever the backend

    wide = min(len(groups), _MOST_COLUMNS)
    high = -(-len(groups) // wide)
    figure = Figure((_INCHES[0] * wide, _INCHES[1] * high), layout="constrained")
    places = figure.subplots(high, wide, squeeze=False, sharex=True, sharey=True).ravel()
    label = "loss" if name == "losses" else name.replace("_", " ")
    for axes, (title, group) in zip(places, groups.items(), strict=False):
        data = [values[[column for column in columns if column in values]] for values in group]
        plot_curve(data, label, axes, title, y_lim)
        axes.tick_params(labelleft=True, labelbottom=True)
    for axes in places[len(groups) :]:
        axes.set_axis_off()
    write_figure(path, figure, 120)
    return path
