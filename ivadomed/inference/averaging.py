"""Averaged predictions: over the networks of an ensemble, and over mirrored samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, combinations
from pathlib import Path

import torch

from ivadomed.inference.backends import Loaded, open_model
from ivadomed.loader.samples import Batch

_LOADED_BYTES = 64 << 20
"""Total file size of ensemble networks kept loaded: a tenth of the memory of any predicting process."""
_LOADED_BYTES_OF_GPU = 1 << 30
"""The same on a GPU, where a batch takes less time than loading a large network."""


class MeanForward:
    """Mean of the predictions of several networks, run sequentially.

    Networks stay loaded up to a fixed amount of memory. The others are loaded for each batch, which takes little time
    compared with the prediction of such large networks.

    Args:
        first: The first network, loaded.
        files: The .pt or .onnx files of the others.
        device: Device of the networks.
        precision: See ``predicts_in_half``.
    """

    def __init__(
        self, first: Loaded, files: Sequence[Path], device: torch.device, precision: str = "auto"
    ) -> None:
        self.device, self._first = first.device, first
        self._placed, self._precisions = device, dict.fromkeys(files, precision)
        room = _LOADED_BYTES if device.type == "cpu" else _LOADED_BYTES_OF_GPU
        sizes = accumulate(file.stat().st_size for file in files)
        self._others = [
            self._open(file) if size <= room else file for file, size in zip(files, sizes, strict=True)
        ]

    @property
    def n_filters(self) -> int | None:
        """Feature maps of the first convolution, which are those of all members as a rule."""
        return self._first.n_filters

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Predictions [B, K, ...] float32."""
        total = self._first(batch).clone()
        for member in self._others:
            forward = self._open(member) if isinstance(member, Path) else member
            total += forward(batch).to(self.device)
            if isinstance(member, Path):
                self._precisions[member] = forward.precision  # float32 if its values do not fit into fp16
        total /= 1 + len(self._others)
        return total

    def _open(self, file: Path) -> Loaded:
        return open_model(file, self._placed, self._precisions[file], share_arena=True)


class MirroredForward:
    """Mean of the predictions of a batch and its mirror images, each mirrored back.

    Isensee et al., "nnU-Net", Nature Methods 18, 2021: test-time augmentation by mirroring along all axes.

    Args:
        forward: The network.
        axes: Axes of a sample: 0, 1, 2 for height, width, depth. All 2 ** n combinations are mirrored.
    """

    def __init__(self, forward: Callable[[Batch], torch.Tensor], axes: Sequence[int]) -> None:
        self.forward, self.axes = forward, tuple(axes)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Predictions [B, K, ...] float32."""
        total = self.forward(batch).clone()
        for dims in self._mirrorings():
            total += self.forward(replace(batch, image=batch.image.flip(dims))).flip(dims)
        total /= 2 ** len(self.axes)
        return total

    def _mirrorings(self) -> Iterator[tuple[int, ...]]:
        """Yield the axes [B, C, ...] of each nonempty combination."""
        for count in range(1, len(self.axes) + 1):
            for chosen in combinations(self.axes, count):
                yield tuple(axis + 2 for axis in chosen)
