"""Networks that are averages: the mean of the networks of an ensemble."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ivadomed.inference.backends import Loaded, open_model
from ivadomed.loader.samples import Batch


class MeanForward:
    """Mean of the predictions of several networks, one after the other.

    Args:
        first: The first network, loaded.
        files: The .pt or .onnx files of the others.
        device: Device of the networks.
    """

    def __init__(self, first: Loaded, files: Sequence[Path], device: torch.device) -> None:
        self.members = [first, *(open_model(file, device) for file in files)]

    def __call__(self, batch: Batch) -> np.ndarray:
        """Predictions [B, K, ...] float32."""
        total = self.members[0](batch).copy()
        for member in self.members[1:]:
            total += member(batch)
        total /= len(self.members)
        return total
