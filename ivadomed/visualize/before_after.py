"""Effect of a transform on a slice: before and after, side by side."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.images.io import write_figure
from ivadomed.visualize import COLOURS
from ivadomed.visualize.overlays import upright

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GRID_POINTS = 256  # along the longer side: grid lines are smooth, so more would only cost time
_PANEL_INCHES = 4.2
_GEOMETRY = "#ffd60a"  # yellow is no class colour and stands out from grey


@dataclass(frozen=True, eq=False)
class View:
    """One side of the picture.

    Args:
        image: [H, W] intensities.
        zooms: mm along H and W.
        outlines: Name to [H, W] in 0..1, drawn where it passes 0.5.
        grid: [2, H, W], lines are drawn where one of the two passes k + 0.5; NaN where there are none.
        frame: [H, W], True for the part that the other side also shows; its border is drawn as a dashed line.
        slice_axis: RAS axis along which the slice was extracted, to turn it upright; None for pictures.
    """

    image: np.ndarray
    zooms: tuple[float, ...]
    outlines: Mapping[str, np.ndarray] = field(default_factory=dict)
    grid: np.ndarray | None = None
    frame: np.ndarray | None = None
    slice_axis: int | None = 2

    @property
    def proportions(self) -> tuple[float, float]:
        """Aspect ratio (height over width) of a voxel and of the whole picture, as shown."""
        voxel = self.zooms[0] / self.zooms[1]
        whole = voxel * self.image.shape[0] / self.image.shape[1]
        return (1 / voxel, 1 / whole) if self.slice_axis == 2 else (voxel, whole)


def save_before_after(
    path: str | os.PathLike[str],
    before: View,
    after: View,
    title: str,
    note: str = "",
    intensities: bool = False,
) -> None:
    """Write a PNG with both sides.

    Args:
        path: Output file.
        before: Left side.
        after: Right side.
        title: First line above the picture.
        note: Additional line below the title.
        intensities: Show the effect on intensities: histograms, and the difference of the two sides if they share a
            range.
    """
    from matplotlib.figure import Figure  # needs no window, whatever the backend

    limits = [_limits(view.image) for view in (before, after)]
    comparable = intensities and before.image.shape == after.image.shape and _overlap(*limits)
    if _overlap(*limits):
        limits = [(min(low for low, _ in limits), max(high for _, high in limits))] * 2
    columns, (_, ratio) = 2 + comparable, before.proportions
    height = _PANEL_INCHES * float(np.clip(ratio, 0.15, 1.6))
    note = textwrap.fill(note, 45 * columns)
    around = 0.9 + 0.18 * note.count("\n") + (0.9 if intensities else 0)
    figure = Figure((columns * _PANEL_INCHES, height + around), layout="constrained")
    rows: Any = figure.subplots(
        1 + intensities, columns, squeeze=False, height_ratios=[height, 0.9] if intensities else [1]
    )
    for axes, view, limit, name in zip(rows[0], (before, after), limits, ("before", "after"), strict=False):
        _draw(axes, view, limit)
        axes.set_title(f"{name}: {_size(view)}", fontsize=9)
    if comparable:
        _draw_difference(figure, rows[0][2], before, after)
        rows[1][2].set_axis_off()
    if intensities:
        for axes, view, limit in zip(rows[1], (before, after), limits, strict=False):
            _draw_histogram(axes, view.image, limit)
    figure.suptitle(f"{title}\n{note}".rstrip(), fontsize=11)
    _name_outlines(figure, list(before.outlines))
    write_figure(path, figure, 110)


def _limits(image: np.ndarray) -> tuple[float, float]:
    """Intensities shown as black and as white."""
    low, high = np.percentile(image, (1, 99))
    return (float(low), float(high)) if high > low else (float(image.min()), float(image.max()) + 1e-6)


def _overlap(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Return True if two ranges share at least half of the wider one, so one intensity window suits both."""
    shared = min(first[1], second[1]) - max(first[0], second[0])
    return shared >= 0.5 * max(first[1] - first[0], second[1] - second[0])


def _size(view: View) -> str:
    height, width = view.image.shape
    smallest = min(view.zooms)
    unit, factor = ("mm", 1.0) if smallest >= 0.01 else ("µm", 1e3)
    first, second = (f"{zoom * factor:.3g}" for zoom in view.zooms)
    return f"{height} x {width} voxels of {first} x {second} {unit}"


def _draw(axes: Axes, view: View, limits: tuple[float, float]) -> None:
    image, (aspect, _), (low, high) = upright(view.image, view.slice_axis), view.proportions, limits
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=aspect, interpolation="nearest")
    for coordinate in () if view.grid is None else view.grid:
        _draw_grid(axes, upright(coordinate, view.slice_axis))
    for mask, colour in zip(view.outlines.values(), _colours(view.outlines), strict=True):
        _draw_outline(axes, upright(mask, view.slice_axis), colour)
    if view.frame is not None:
        _draw_outline(axes, upright(view.frame, view.slice_axis), _GEOMETRY, "dashed")
    axes.set_axis_off()


def _draw_grid(axes: Axes, coordinate: np.ndarray) -> None:
    stride = -(-max(coordinate.shape) // _GRID_POINTS)
    shown = coordinate[::stride, ::stride]
    if min(shown.shape) < 2 or np.isnan(shown).all():
        return
    levels = np.arange(np.floor(np.nanmin(shown)), np.nanmax(shown)) + 0.5
    rows, columns = (np.arange(n) * stride for n in shown.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No contour levels")
        lines = np.ma.masked_invalid(shown)
        axes.contour(columns, rows, lines, levels, colors=_GEOMETRY, linewidths=0.6, alpha=0.7)


def _draw_outline(axes: Axes, mask: np.ndarray, colour: str, style: str = "solid") -> None:
    # A margin closes outlines that touch the border.
    padded = np.pad(np.asarray(mask, np.float32), 1)
    if padded.max() > 0.5:
        rows, columns = (np.arange(-1, n + 1) for n in mask.shape)
        width = float(
            np.clip(200 / max(mask.shape), 0.4, 1.2)
        )  # keeps small objects of a large image visible
        axes.contour(columns, rows, padded, [0.5], colors=[colour], linewidths=width, linestyles=style)
        axes.set_xlim(-0.5, mask.shape[1] - 0.5)
        axes.set_ylim(mask.shape[0] - 0.5, -0.5)


def _colours(names: Collection[str]) -> list[str]:
    chosen = COLOURS[np.arange(len(names)) % len(COLOURS)].astype(int).tolist()
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in chosen]


def _draw_difference(figure: Figure, axes: Axes, before: View, after: View) -> None:
    difference, (aspect, _) = upright(after.image - before.image, before.slice_axis), before.proportions
    most = float(np.percentile(np.abs(difference), 99.5)) or 1e-6
    shown = axes.imshow(
        difference, cmap="RdBu_r", vmin=-most, vmax=most, aspect=aspect, interpolation="nearest"
    )
    figure.colorbar(shown, ax=axes, shrink=0.8)
    axes.set_title("after - before", fontsize=9)
    axes.set_axis_off()


def _draw_histogram(axes: Axes, image: np.ndarray, limits: tuple[float, float]) -> None:
    low, high = min(limits[0], float(image.min())), max(limits[1], float(image.max()))
    counts, edges = np.histogram(image, bins=80, range=(low, high))
    axes.stairs(np.log1p(counts), edges, fill=True, color="0.35")  # background would dominate a linear scale
    axes.axvspan(*limits, color="tab:blue", alpha=0.15)
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    axes.set_xlabel("intensity (shaded: from black to white)", fontsize=7)


def _name_outlines(figure: Figure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    if names:
        handles = [Line2D([], [], color=colour) for colour in _colours(names)]
        figure.legend(handles, names, loc="outside lower right", fontsize=8, frameon=False, ncols=len(names))


def plot_transformed_sample(
    before: np.ndarray,
    after: np.ndarray,
    list_title: Sequence[str] | None = None,
    fname_out: str | os.PathLike[str] = "",
    cmap: str = "jet",
) -> Figure:
    """Plot a sample before and after a transform, side by side, for debugging.

    Args:
        before: [H, W] or [H, W, D]; for a volume, the middle slice is shown.
        after: As ``before``; the shape may differ.
        list_title: The two titles.
        fname_out: Picture file to write; without one, the plot is shown in a window.
        cmap: Matplotlib colormap.
    """
    from matplotlib import pyplot  # needed only for this picture and its window
    from matplotlib.figure import Figure

    figure = Figure((9, 4.5), layout="constrained") if fname_out else pyplot.figure(layout="constrained")
    sides = zip(figure.subplots(1, 2), (before, after), list_title or ("before", "after"), strict=True)
    for axes, array, title in sides:
        plane = np.squeeze(array)
        plane = plane[..., plane.shape[-1] // 2] if plane.ndim == 3 else plane
        shown = axes.imshow(plane, cmap=cmap, interpolation="nearest")
        figure.colorbar(shown, ax=axes, shrink=0.8)
        axes.set_title(title)
        axes.set_axis_off()
    if fname_out:
        write_figure(fname_out, figure)
    else:
        pyplot.show()
    return figure
