"""Worker processes of a DataLoader: what they share with the training, and how many there is room for.

Batches pass through memory that processes share. Docker gives a container 64 MB of it unless told otherwise; a worker
that finds no room is killed (SIGBUS), or fails.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import logging
import math
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import get_worker_info

from ivadomed.runtime.failures import SHARED_MEMORY
from ivadomed.runtime.memory import no_processes, shared_memory_left

if TYPE_CHECKING:
    from ivadomed.loader.samples.batch import Batch

log = logging.getLogger(__name__)

PREFETCH = 4
"""Batches that each worker has ready."""

_IN_USE = 2
"""Batches that the training holds: the one it works on, and the next one."""
_MARGIN = 1.2  # pages, conditions, drawn steps
_TRIM_EVERY = 2
"""Batches between two returns of free memory. Each takes as long as a tenth of a batch of 128 x 128 slices."""

_batches = itertools.count(1)


def start_worker(worker: int) -> None:
    """Set up a worker process; for the DataLoader's ``worker_init_fn``."""
    # A worker is one of several: threads within it would only fight with the training for cores.
    torch.set_num_threads(1)
    # The garbage collector would write into every object that the worker shares with its parent, and so copy them.
    gc.freeze()
    # Ctrl-C and batch schedulers signal the whole process group. The training decides when to stop; a worker that
    # died first would end it with an error. A worker whose parent is gone notices that by itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _outlive_once)


def _outlive_once(signum: int, frame: FrameType | None) -> None:
    # When the parent ends without having closed its DataLoader, multiprocessing terminates the worker, and waits.
    signal.signal(signum, signal.SIG_DFL)


def stack(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack arrays of one shape and type; a worker does so in memory that it shares with the training.

    Raises:
        ValueError: The shapes differ.
    """
    if get_worker_info() is None:
        return torch.from_numpy(np.stack(arrays))
    room = torch.from_numpy(np.empty((len(arrays), *arrays[0].shape), arrays[0].dtype)).share_memory_()
    np.stack(arrays, out=room.numpy())
    return room


def trim_memory() -> None:
    """Give free memory back to the system, in a worker and now and then.

    The arrays of numpy and torch leave holes in glibc's heap that the next arrays do not fit, so that each worker
    would grow by some ten MB (with slices of 128x128 voxels; with larger ones by more).
    """
    if get_worker_info() is not None and sys.platform == "linux" and next(_batches) % _TRIM_EVERY == 0:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


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
