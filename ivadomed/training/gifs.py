"""Animations of predictions over epochs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from ivadomed.images.io import write_picture
from ivadomed.loader.samples import Batch, SampleDataset, collate
from ivadomed.runtime.terminal import say
from ivadomed.visualize import overlay, upright

FOLDER = "gifs"
_PIXELS = 300  # of the longer side, at least


class GifRecorder:
    """Predict some validation samples after each epoch, and write a GIF of each at the end.

    Each frame is written immediately (``gifs/NAME/epoch_0001.png``), so a resumed run keeps earlier frames.

    Args:
        folder: Output folder of the run.
        dataset: Validation samples.
        count: Number of samples; they are spread over the data set, and have a label if there is one nearby.
        slice_axis: RAS axis along which slices were extracted; None for pictures, which are already upright.
    """

    def __init__(self, folder: Path, dataset: SampleDataset, count: int, slice_axis: int | None) -> None:
        self.folder, self.slice_axis = folder / FOLDER, slice_axis
        self.samples = {_name(dataset, index): collate([dataset[index]]) for index in _chosen(dataset, count)}

    def record(self, epoch: int, predict: Callable[[Batch], torch.Tensor]) -> None:
        """Write a frame of each sample.

        Args:
            epoch: The completed epoch.
            predict: Returns the prediction [1, K, ...] of a batch.
        """
        for name, batch in self.samples.items():
            assert batch.target is not None
            frame = _frame(batch.image, predict(batch), batch.target)
            picture = np.ascontiguousarray(upright(frame, self.slice_axis))
            write_picture(self.folder / name / f"epoch_{epoch:04d}.png", picture)

    def close(self) -> None:
        """Write ``gifs/NAME.gif`` from the available frames."""
        from ivadomed.visualize.gif import AnimatedGif  # matplotlib is slow to load

        for name in self.samples:
            files = sorted((self.folder / name).glob("epoch_*.png"))
            if not files:
                continue
            frames = [iio.imread(file) for file in files]
            gif = AnimatedGif(frames[0].shape[:2])
            for file, frame in zip(files, frames, strict=True):
                gif.add(frame, f"Epoch {int(file.stem.removeprefix('epoch_'))}")
            gif.save(self.folder / f"{name}.gif")
        if self.samples:
            say("Gifs", f"of {len(self.samples)} validation samples in {self.folder}")


def remove_frames(folder: Path) -> None:
    """Delete the frames of an earlier training; its animations stay until they are replaced."""
    for frames in filter(Path.is_dir, (folder / FOLDER).glob("*")):
        shutil.rmtree(frames)


def _chosen(dataset: SampleDataset, count: int) -> list[int]:
    """Indices of samples in the middle of `count` equal parts, or of the next one there with a label."""
    count = min(count, len(dataset))
    edges = [int(edge) for edge in np.linspace(0, len(dataset), count + 1)]
    chosen = []
    for first, end in pairwise(edges):
        middle = (first + end) // 2
        chosen.append(next((p for p in range(middle, end) if np.any(dataset[p].target)), middle))
    return chosen


def _name(dataset: SampleDataset, index: int) -> str:
    """Name of the case and the start of the sample in it."""
    window = dataset[index].window
    return "_".join([dataset.cases[window.case].id, *map(str, window.start)])


def _frame(image: torch.Tensor, prediction: torch.Tensor, target: torch.Tensor) -> np.ndarray:
    """First channel with the prediction and the outlined truth; for a volume, the slice with the largest label."""
    planes = [x[0].detach().float().cpu().numpy() for x in (image, prediction, target)]
    if planes[0].ndim == 4:
        sizes = planes[2].sum((0, 1, 2))
        depth = int(sizes.argmax()) if sizes.any() else len(sizes) // 2
        planes = [x[..., depth] for x in planes]
    scale = -(-_PIXELS // max(planes[0].shape[1:]))
    return overlay(planes[0][0], planes[1], planes[2], scale)
