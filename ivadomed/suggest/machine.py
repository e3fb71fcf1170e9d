"""What a training may take of this machine."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ivadomed.runtime.device import batch_voxels, define_device
from ivadomed.runtime.memory import available_memory
from ivadomed.suggest.sizes import Limits

_GB = 1e9
_UNKNOWN = int(4 * _GB)
_SIDE = {True: {2: 512, 3: 128}, False: {2: 256, 3: 64}}  # a GPU has nnU-Net's first patches
_BATCH_SIZE = {2: 16, 3: 4}
_FILTERS = {True: {2: 32, 3: 32}, False: {2: 16, 3: 12}}


@dataclass(frozen=True)
class Machine:
    """Where a training will run.

    Args:
        gpu: Whether there is a GPU, CUDA's or Apple's.
        memory: Bytes that are free: of the GPU if CUDA tells, else of the system.
    """

    gpu: bool
    memory: int

    @classmethod
    def here(cls) -> Machine:
        """This machine."""
        cuda, device = define_device([0])
        if cuda:
            return cls(True, torch.cuda.mem_get_info(device)[0])
        return cls(device.type != "cpu", available_memory() or _UNKNOWN)

    def limits(self, n_axes: int) -> Limits:
        """For samples of two or three axes; half of the memory is left to the data and to others."""
        most = batch_voxels(torch.device("cuda" if self.gpu else "cpu"))
        return Limits(_SIDE[self.gpu][n_axes] ** n_axes, most, _BATCH_SIZE[n_axes], self.memory // 2)

    def filters(self, n_axes: int) -> int:
        """Feature maps of the first level of a network."""
        return _FILTERS[self.gpu][n_axes]

    def __str__(self) -> str:
        return f"{'GPU' if self.gpu else 'CPU'} with {self.memory / _GB:.0f} GB free"
