"""Worker processes of a DataLoader: what they share with the training, and what they leave to it."""

from __future__ import annotations

import ctypes
import gc
import itertools
import signal
import sys
from collections.abc import Hashable, Iterable, Sequence
from types import FrameType
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import get_worker_info

Value = TypeVar("Value", bound=Hashable)

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


def interned(values: Iterable[Value]) -> list[Value]:
    """The values, equal ones being one object: few objects are looked at, so that few pages are copied."""
    known: dict[Value, Value] = {}
    return [known.setdefault(value, value) for value in values]
