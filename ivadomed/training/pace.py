"""How long a training will take, and how much memory it took."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable

import torch

from ivadomed.runtime.terminal import duration


class Pace:
    """Time per epoch and the expected end.

    The first epoch starts the loading processes and tunes convolutions, so it does not count once there are others.

    Args:
        num_epochs: Last epoch.
        first_epoch: First epoch of this run, later than 1 when it goes on from a checkpoint.
        clock: Seconds that only grow.
    """

    def __init__(
        self, num_epochs: int, first_epoch: int = 1, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.num_epochs, self.first_epoch, self._clock = num_epochs, first_epoch, clock
        self._ends = [clock()]

    def tick(self, epoch: int) -> str:
        """An epoch has ended: what it took, and what is left."""
        self._ends.append(self._clock())
        took = self._ends[-1] - self._ends[-2]
        counted = self._ends[1:] if len(self._ends) > 2 else self._ends
        left = (counted[-1] - counted[0]) / (len(counted) - 1) * (self.num_epochs - epoch)
        if epoch >= self.num_epochs:
            return duration(took)
        end = datetime.datetime.now() + datetime.timedelta(seconds=left)
        when = end.strftime("%H:%M" if end.date() == datetime.date.today() else "%a %d %b %H:%M")
        return f"{duration(took)}, about {duration(left)} to go (until {when})"


def peak_memory(device: torch.device) -> int | None:
    """Bytes: most memory that this process has taken, of the GPU where it is CUDA's; None where nobody tells."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
