"""Voxels to another order of axes in memory: time of copies in small blocks over that of NumPy's copies.

And what is not the network: seconds of CPU time that ``segment_volume`` spends on a large volume beside it.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from bench_segment import PATCHES, SLICES, loader, package, scan

from ivadomed.geometry.layout import copy_voxels
from ivadomed.inference import Predictor
from ivadomed.inference.backends import TorchForward
from ivadomed.loader.samples import Batch

SHAPE = (512, 512, 300)


def seconds(call: Callable[[], object], rounds: int = 3) -> float:
    """CPU time of a call, the best of some."""
    times = []
    for _ in range(rounds):
        started = time.process_time()
        call()
        times.append(time.process_time() - started)
    return min(times)


def ratio(target: np.ndarray, source: np.ndarray) -> float:
    """CPU time of our copy over that of NumPy."""
    return seconds(lambda: copy_voxels(target, source)) / seconds(lambda: np.copyto(target, source))


def beside_network(model: Path, image: Path, n_classes: int) -> float:
    """CPU time of segmenting an image with a network that answers with its input."""

    def same(forward: TorchForward, batch: Batch) -> torch.Tensor:
        return batch.image.expand(-1, n_classes, *batch.image.shape[2:])

    predictor = Predictor(model, "cpu")
    with mock.patch.object(TorchForward, "__call__", same):
        return seconds(lambda: predictor(image), 2)


def main() -> None:
    """Print the figures."""
    stored = np.random.default_rng(0).random(SHAPE[::-1], dtype=np.float32).T  # as in a NIfTI file
    volume, slices = np.ones(SHAPE, np.float32), np.ones((SHAPE[2], *SHAPE[:2]), np.float32)
    print(f"a file as a volume: {ratio(volume, stored):.2f}")
    print(f"a file as slices: {ratio(slices, np.moveaxis(stored, -1, 0)):.2f}")
    print(f"a volume as slices: {ratio(slices, np.moveaxis(volume, -1, 0)):.2f}")
    print(f"a volume as a file: {ratio(stored, volume):.2f}")
    with tempfile.TemporaryDirectory() as place:
        image = scan(Path(place) / "large.nii", SHAPE)
        five = package(Path(place) / "five", loader_parameters=loader(5), default_model=SLICES)
        print(f"slices of 5 classes: {beside_network(five, image, 5):.1f} s beside the network")
        patches = {**PATCHES, "length_3D": [128] * 3, "stride_3D": [64] * 3}
        three = package(Path(place) / "patches", loader_parameters=loader(), Modified3DUNet=patches)
        print(f"patches that overlap: {beside_network(three, image, 1):.1f} s beside the network")


if __name__ == "__main__":
    main()
