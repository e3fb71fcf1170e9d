"""Masks predicted in half precision against those in float32: what it costs in Dice.

    python testing/benchmarks/bench_half.py MODEL IMAGE [IMAGE ...] [--pixel-size MM]

MODEL is a packaged model with one file of weights, NAME.pt. Prints the lowest and the mean Dice of the masks of fp16
and bf16 with those of float32, over all classes and images. A CPU emulates the arithmetic of half precision.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from ivadomed.inference import Predictor, backends
from ivadomed.inference.backends import TorchForward
from ivadomed.loader.samples import Batch

PLAIN = TorchForward.__call__


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--pixel-size", type=float, default=1.0, help="of pictures, in mm")
    given = parser.parse_args()
    model, options = given.model, {"pixel_size": [given.pixel_size] * 2}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with (
        tempfile.TemporaryDirectory() as place,
        mock.patch.object(backends, "predicts_in_half", return_value=False),  # the formats are set here
    ):
        folder = Path(place) / model.name
        shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.onnx"))
        predictor = Predictor(folder, device)
        plain = [predicted(predictor, image, options, None) for image in given.images]
        for dtype in (torch.float16, torch.bfloat16):
            found = [predicted(predictor, image, options, dtype) for image in given.images]
            dice = [
                overlap(one > 0.5, other > 0.5)
                for expected, masks in zip(plain, found, strict=True)
                for one, other in zip(expected, masks, strict=True)
            ]
            name = str(dtype).removeprefix("torch.")
            print(f"{name}: Dice at least {min(dice):.5f}, mean {np.mean(dice):.5f} ({len(dice)} masks)")


def predicted(
    predictor: Predictor, image: str, options: dict[str, Any], dtype: torch.dtype | None
) -> list[np.ndarray]:
    """Prediction of each class, in half precision or, without a type, in float32."""

    def formatted(
        self: TorchForward, batch: Batch
    ) -> torch.Tensor:  # the network alone, not what prepares images
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            return PLAIN(self, batch)

    with mock.patch.object(TorchForward, "__call__", formatted):
        results = predictor(image, options)
    return [np.asanyarray(result.dataobj) for result in results]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of two masks; 1 if both are empty."""
    total = one.sum() + other.sum()
    return 2 * float((one & other).sum()) / total if total else 1.0


if __name__ == "__main__":
    main()
