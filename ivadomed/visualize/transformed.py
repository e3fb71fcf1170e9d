"""A sample before and after a transform."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ivadomed.images.io import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_transformed_sample(
    before: np.ndarray,
    after: np.ndarray,
    list_title: Sequence[str] | None = None,
    fname_out: str | os.PathLike[str] = "",
    cmap: str = "jet",
) -> Figure:
    """Plot a sample before and after a transform, side by side; a quick look while debugging.

    Args:
        before: [H, W] or [H, W, D]; of a volume the middle slice is shown.
        after: As ``before``; the shape may differ.
        list_title: Titles of the two.
        fname_out: Picture file to write; without one the plot is shown in a window.
        cmap: Colour map of matplotlib.
    """
    from matplotlib import pyplot  # only this picture and its window need it
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
