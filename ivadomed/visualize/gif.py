"""Animated GIFs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from matplotlib.animation import ArtistAnimation, PillowWriter
from matplotlib.figure import Figure

from ivadomed.images.files import atomic_path

_DPI = 100
_TITLE = 30  # pixels above a picture
_FRAMES_PER_SECOND = 4


class LoopingPillowWriter(PillowWriter):
    """Write frames with Pillow as a looping GIF."""

    def finish(self) -> None:
        """Write the file."""
        first, *others = self._frames  # type: ignore[attr-defined]  # a private name of matplotlib
        first.save(self.outfile, save_all=True, append_images=others, duration=int(1000 / self.fps), loop=0)


class AnimatedGif:
    """Animation of pictures, each with a label above it.

    Args:
        size: Height and width of the pictures in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        height, width = size
        # The Agg canvas of a plain Figure needs no screen.
        self.fig = Figure((width / _DPI, (height + _TITLE) / _DPI), dpi=_DPI)
        self.axes = self.fig.add_axes((0, 0, 1, height / (height + _TITLE)))
        self.axes.set_axis_off()
        self.images: list[list[Any]] = []

    def add(self, image: np.ndarray, label: str = "") -> None:
        """Add a picture [H, W] in 0..1, or [H, W, 3] uint8 or in 0..1."""
        shown = self.axes.imshow(image, cmap="gray", vmin=0, vmax=1, animated=True, aspect="auto")
        text = self.fig.text(0.5, 0.99, label, ha="center", va="top", fontsize=11)
        self.images.append([shown, text])

    def save(self, filename: str | os.PathLike[str]) -> None:
        """Write the GIF; it loops forever."""
        animation = ArtistAnimation(self.fig, self.images, blit=False)
        with atomic_path(filename) as temporary:
            animation.save(str(temporary), writer=LoopingPillowWriter(fps=_FRAMES_PER_SECOND))
