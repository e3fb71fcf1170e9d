"""How many processes may load batches: the batches pass through memory that processes share, which may be small.

Docker gives a container 64 MB of it unless told otherwise. A worker that finds no room is killed (SIGBUS), or fails.
"""

from __future__ import annotations

import logging
import math

from ivadomed.loader.samples.batch import Batch
from ivadomed.runtime.failures import SHARED_MEMORY
from ivadomed.runtime.memory import no_processes, shared_memory_left

log = logging.getLogger(__name__)

PREFETCH = 4
"""Batches that each worker has ready."""

_IN_USE = 2
"""Batches that the training holds: the one it works on, and the next one."""
_MARGIN = 1.2  # pages, conditions, drawn steps


def batch_bytes(sample: Batch, largest: int, count: int) -> int:
    """Bytes of a batch in shared memory.

    Args:
        sample: A batch of one sample.
        largest: Voxels of the largest window of the data set.
        count: Samples of a batch.
    """
    parts = (sample.image, sample.target)
    size = sum(part.numel() * part.element_size() for part in parts if part is not None)
    [window] = sample.windows
    return math.ceil(_MARGIN * size * count * max(1.0, largest / math.prod(window.size)))


def workers_that_fit(wanted: int, batch: int, sharing: int = 1) -> tuple[int, int]:
    """Worker processes, and batches that each has ready, for which there is room; warns when they are fewer.

    Samples do not depend on their number.

    Args:
        wanted: Worker processes.
        batch: Bytes of a batch.
        sharing: Trainings that share the memory.
    """
    if (problem := no_processes()) is not None:
        log.warning("%s: batches are loaded by the training itself.", problem[:1].upper() + problem[1:])
        return 0, PREFETCH
    free = shared_memory_left()
    if free is None:
        return wanted, PREFETCH
    batches = free // sharing // max(batch, 1) - _IN_USE
    if batches >= wanted:
        return wanted, min(PREFETCH, batches // wanted)
    workers = max(0, batches)
    log.warning(
        "%s has %.3g MB free, and batches of %.3g MB pass through it: loading with %d processes in place of %d; more "
        "shared memory (docker run --shm-size=8g) lets all of them work.",
        SHARED_MEMORY,
        free / 1e6,
        batch / 1e6,
        workers,
        wanted,
    )
    return workers, 1
