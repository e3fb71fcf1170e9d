"""Violin plots of a metric on the test sets of runs, and image-wise comparison of their models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ivadomed.errors import ConfigError, DataError
from ivadomed.evaluation.dataset import RESULT_FILE
from ivadomed.evaluation.paired import compare_each_two
from ivadomed.images.io import write_figure
from ivadomed.visualize import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TABLE = "bids_dataframe.csv"
_MODEL, _IMAGE, _GROUP = "EvaluationModel", "image_id", "group"
_LEAST_OF_A_VIOLIN = 4  # fewer are shown as points only
_MOST_COMPARISONS = 6  # below the plot; all are printed
_NOTE = "clicked image"
_WITHOUT_WINDOWS = frozenset({"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"})
_WIDTH = 18  # characters per line below a violin
_LEAST_COLUMNS = 2.5  # otherwise a single violin would be as wide as the plot


def onclick(event: Any, df: pd.DataFrame) -> None:
    """Show the image of a clicked point; a click on another point moves the note there.

    Args:
        event: Matplotlib pick event; ``ind`` are the points under the pointer.
        df: The images in the order of the points: ``image_id``, ``EvaluationModel``, ``value``.
    """
    axes = event.artist.axes
    for note in [text for text in axes.texts if text.get_gid() == _NOTE]:
        note.remove()
    rows = df.iloc[list(event.ind)]
    lines = [f"{row[_IMAGE]} ({row[_MODEL]}): {row['value']:.4g}" for _, row in rows.iterrows()]
    place = event.artist.get_offsets()[event.ind[0]]
    axes.annotate(
        "\n".join(lines),
        place,
        xytext=(8, 8),
        textcoords="offset points",
        fontsize=8,
        bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "0.6"},
        zorder=10,
        gid=_NOTE,
    )
    axes.figure.canvas.draw_idle()


def visualize_and_compare_models(
    ofolders: Sequence[str | Path],
    metric: str = "dice_class0",
    metadata: Sequence[str] | None = None,
    output: str | Path | None = None,
) -> pd.DataFrame:
    """Draw a violin per model and compare the models image by image.

    Args:
        ofolders: Output folders of tested runs.
        metric: Column of ``results_eval/evaluation_3Dmetrics.csv``.
        metadata: Column of ``bids_dataframe.csv``: one violin per value. Or column and value: only these images are
            used.
        output: Picture to write. None opens a window, or writes ``comparison_<metric>.png`` without a display.

    Returns:
        One row per pair of models, see ``compare_each_two``.

    Raises:
        ConfigError: ``metadata`` has more than a column and a value.
        DataError: A table, or the metric or column in it, is missing, or no image is left.
    """
    points = _read_all(ofolders, metric, metadata)
    values = points.pivot_table(index=_IMAGE, columns=_MODEL, values="value", sort=False)
    comparisons = compare_each_two({name: values[name] for name in points[_MODEL].unique()})
    import matplotlib.pyplot as plt  # takes a second to import, which errors should not wait for

    figure, points = _draw(points, metric, comparisons, metadata)
    if picture := output_of(metric, output):
        write_figure(picture, figure, 150)
    else:
        figure.canvas.mpl_connect("pick_event", lambda event: onclick(event, points))
        plt.show()
    plt.close(figure)
    return comparisons


def output_of(metric: str, output: str | Path | None) -> Path | None:
    """The picture to write, or None for a window."""
    import matplotlib.pyplot as plt  # see above

    if output is None and plt.get_backend().lower() not in _WITHOUT_WINDOWS:
        return None
    return Path(output or f"comparison_{metric}.png")


def _read_all(folders: Sequence[str | Path], metric: str, metadata: Sequence[str] | None) -> pd.DataFrame:
    """One row per model and image: ``EvaluationModel``, ``image_id``, ``value``, ``group``."""
    if metadata and len(metadata) > 2:
        raise ConfigError(f"--metadata {' '.join(metadata)}: expected a column, or a column and a value")
    paths = [Path(folder) for folder in dict.fromkeys(map(str, folders))]
    names = [path.resolve().name for path in paths]
    tables = []
    for path, name in zip(paths, names, strict=True):
        table = _read(path, metric)
        table[_MODEL] = name if names.count(name) == 1 else str(path)
        if metadata:
            table[_GROUP] = _values_of(path, table[_IMAGE], metadata[0])
        tables.append(table)
    points = pd.concat(tables, ignore_index=True)
    if metadata and len(metadata) == 2:
        known = sorted(points[_GROUP].dropna().unique())
        points = points[points[_GROUP] == metadata[1]].assign(**{_GROUP: ""})
        if points.empty:
            raise DataError(
                f"--metadata {metadata[0]} {metadata[1]}: no image has it; there are {', '.join(known)}"
            )
    elif metadata:
        points[_GROUP] = points[_GROUP].fillna("n/a")
    points = points[np.isfinite(points["value"])].reset_index(drop=True)
    if points.empty:
        raise DataError(f"--metric {metric}: is not defined for any image (the ground truth may be empty)")
    return points


def _read(folder: Path, metric: str) -> pd.DataFrame:
    file = folder / RESULT_FILE
    try:
        table = pd.read_csv(file, dtype={_IMAGE: str})
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable table ({error}); run ivadomed --test first") from error
    for column in (_IMAGE, metric):
        if column not in table:
            known = ", ".join(name for name in table if name != _IMAGE)
            raise DataError(f"{file}: has no column {column}; it has {known}")
    values = pd.to_numeric(table[metric], errors="coerce")
    return pd.DataFrame({_IMAGE: table[_IMAGE], "value": values, _GROUP: ""})


def _values_of(folder: Path, images: pd.Series, column: str) -> list[Any]:
    """Values of a column for images, or for their subjects if an image has several channels."""
    file = folder / _TABLE
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not a readable table ({error}); it is needed for --metadata") from error
    if column not in table:
        raise DataError(f"--metadata {column}: not in {file}; it has {', '.join(table)}")
    filled = table[table[column] != ""]
    stems = filled["filename"].str.partition(".")[0]
    of_image = dict(zip(stems, filled[column], strict=True))
    of_subject = filled[column].groupby(stems.str.partition("_")[0]).unique()
    single = {subject: values[0] for subject, values in of_subject.items() if len(values) == 1}
    return [of_image.get(name, single.get(name.partition("_")[0])) for name in images]


def _draw(
    points: pd.DataFrame, metric: str, comparisons: pd.DataFrame, metadata: Sequence[str] | None
) -> tuple[Figure, pd.DataFrame]:
    """Draw the figure; return it and the points with their positions in drawing order."""
    import matplotlib.pyplot as plt  # see visualize_and_compare_models

    models, groups = list(points[_MODEL].unique()), sorted(points[_GROUP].unique())
    columns = [(group, model) for group in groups for model in models]
    # A, B, ..., or numbers if there are many
    letters = {m: chr(ord("A") + k) if len(models) <= 26 else str(k + 1) for k, m in enumerate(models)}
    figure, axes = plt.subplots(figsize=(max(5.0, 1.6 + 1.3 * len(columns)), 5.2), layout="constrained")
    rng = np.random.default_rng(0)
    places, ticks = [], []
    for x, (group, model) in enumerate(columns):
        chosen = points[(points[_GROUP] == group) & (points[_MODEL] == model)]
        colour = COLOURS[models.index(model) % len(COLOURS)] / 255
        _draw_violin(axes, x, chosen["value"].to_numpy(), colour)
        places.append(
            chosen.assign(x=x + rng.uniform(-0.09, 0.09, len(chosen)), colour=[colour] * len(chosen))
        )
        name = f"{letters[model]}: {model}" if len(models) > 1 else model
        ticks.append("\n".join(filter(None, [_wrapped(name), group, f"n = {len(chosen)}"])))
    drawn = pd.concat(places, ignore_index=True)
    axes.scatter(
        drawn["x"], drawn["value"], s=14, c=np.stack(drawn["colour"]), picker=5, zorder=3, linewidths=0
    )
    axes.set_xticks(range(len(columns)), ticks, fontsize=9)
    half = max(len(columns), _LEAST_COLUMNS) / 2 + 0.1
    axes.set_xlim((len(columns) - 1) / 2 - half, (len(columns) - 1) / 2 + half)
    axes.set_ylabel(metric)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    only = f", {metadata[0]} = {metadata[1]}" if metadata and len(metadata) == 2 else ""
    axes.set_title(
        f"{metric} on the testing set{only}\nviolin, quartiles (bar) and median (dot)", fontsize=10
    )
    if not comparisons.empty:
        axes.set_xlabel("\n" + "\n".join(lines_of(comparisons, letters)[:_MOST_COMPARISONS]), fontsize=8)
    return figure, drawn


def _draw_violin(axes: Axes, x: int, values: np.ndarray, colour: np.ndarray) -> None:
    if not len(values):
        return
    if len(values) >= _LEAST_OF_A_VIOLIN and np.ptp(values) > 1e-9 * np.abs(values).max():
        violin: Any = axes.violinplot(values, [x], widths=0.8, showextrema=False)
        violin["bodies"][0].set(facecolor=colour, edgecolor=colour, alpha=0.25)
    low, median, high = np.percentile(values, (25, 50, 75))
    axes.plot([x + 0.16] * 2, [low, high], color="0.25", linewidth=4, solid_capstyle="butt", zorder=4)
    axes.plot([x + 0.16], [median], "o", color="white", markeredgecolor="0.25", markersize=6, zorder=5)


def _wrapped(name: str) -> str:
    """Wrap a long name, after an underscore, hyphen or space if possible."""
    lines = [""]
    for part in re.findall(rf"[^_\- ]{{0,{_WIDTH - 1}}}[_\- ]|[^_\- ]{{1,{_WIDTH}}}", name):
        if len(lines[-1] + part) > _WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def lines_of(comparisons: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """One line of text per comparison."""
    return [
        f"{names[row.first]} - {names[row.second]}: mean {row.difference:+.3g} "
        f"[{row.ci95_low:.3g}, {row.ci95_high:.3g}], Wilcoxon p = {row.p_wilcoxon_holm:.2g} ({row.n} images)"
        for row in comparisons.itertuples()
    ]
