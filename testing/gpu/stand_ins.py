"""A network that asks for more memory than there is, where no memory can be limited."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn


class Greedy(nn.Module):
    """One convolution, and an error of the allocator for batches of more than ``most`` samples."""

    most: ClassVar[int | None] = None

    def __init__(self, in_channel: int = 1, out_channel: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channel, out_channel, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Probabilities ``[B, out_channel, H, W]``."""
        if self.most is not None and len(x) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return torch.sigmoid(self.conv(x))
