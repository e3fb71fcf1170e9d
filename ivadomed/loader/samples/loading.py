"""Batches of a data set: order of samples in each epoch, and the worker processes that load them.

Batches are passed through shared memory. Docker limits it to 64 MB per container by default; a worker that runs
out of it is killed (SIGBUS) or fails.
"""

from __future__ import annotations

import gc
import logging
import math
import signal
from collections.abc import Iterator, Sequence, Sized
from types import FrameType
from typing import TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from ivadomed.loader.samples.batch import Batch, Sample, collate
from ivadomed.loader.samples.dataset import SampleDataset
from ivadomed.runtime.failures import SHARED_MEMORY
from ivadomed.runtime.memory import no_processes, shared_memory_left
from ivadomed.runtime.ranks import ALONE, World

log = logging.getLogger(__name__)

T = TypeVar("T")

PREFETCH = 4
"""Batches that each worker keeps ready."""

_IN_USE = 2
"""Batches held by the training process: the current and the next one."""
_MARGIN = 1.2  # pages, conditions, drawn steps


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffled indices into a data set, each with its epoch; the same order for the same seed and epoch.

    Args:
        length: Samples of the data set.
        seed: Seed of the run.
        shuffle: Off for validation: the epoch is then always 0 and the order always the same, which keeps
            losses comparable.
        weights: Weight of each sample: with ``shuffle``, samples are drawn with replacement; otherwise they are
            repeated or skipped at even intervals. None to use every sample once.
    """

    def __init__(
        self, length: int, seed: int, shuffle: bool = True, weights: np.ndarray | None = None
    ) -> None:
        self.length, self.seed, self.shuffle, self.weights = length, seed, shuffle, weights
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch if self.shuffle else 0
        indices = np.arange(self.length)
        if self.shuffle:
            rng = np.random.default_rng((self.seed, epoch))
            if self.weights is None:
                indices = rng.permutation(self.length)
            else:
                indices = rng.choice(self.length, self.length, p=self.weights / self.weights.sum())
        elif self.weights is not None:
            shares = np.cumsum(self.weights) / self.weights.sum()
            indices = np.searchsorted(shares, (indices + 0.5) / self.length)
        return ((epoch, int(index)) for index in indices)


def shard_of(batch: Sequence[T], rank: int, ranks: int) -> list[T]:
    """Shard of a batch for process ``rank`` of ``ranks``.

    The processes get equal shards in order; the last entry is repeated if the batch does not fill them.
    """
    each = -(-len(batch) // ranks)
    filled = [*batch, *[batch[-1]] * (each * ranks - len(batch))]
    return filled[rank * each : (rank + 1) * each]


class ShardSampler(Sampler[list[tuple[int, int]]]):
    """Cuts the order of an epoch into batches, and each batch into shards; yields those of one process.

    The batches of the whole group do not depend on the number of processes.

    Args:
        sampler: Indices into the data set in the order of the epoch; must have a length.
        batch_size: Samples per batch over all processes.
        rank: Number of this process.
        ranks: Number of processes.
        least: Minimum size of the last batch; fewer samples are added to the batch before.
    """

    def __init__(
        self, sampler: Sampler[tuple[int, int]], batch_size: int, rank: int, ranks: int, least: int = 1
    ) -> None:
        self.sampler, self.batch_size, self.rank, self.ranks = sampler, batch_size, rank, ranks
        self.least = least

    @property
    def samples(self) -> int:
        """Samples per epoch."""
        assert isinstance(self.sampler, Sized)
        return len(self.sampler)

    def __len__(self) -> int:
        whole, left = divmod(self.samples, self.batch_size)
        return whole + (left >= self.least if whole else 1) if left else whole

    def size(self, step: int) -> int:
        """Samples of the whole batch number ``step``; the size of the last one may differ."""
        return self.samples - step * self.batch_size if step == len(self) - 1 else self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        indices = list(self.sampler)
        for step in range(len(self)):
            start = step * self.batch_size
            yield shard_of(indices[start : start + self.size(step)], self.rank, self.ranks)


class SampleLoader(DataLoader[Sample]):
    """A DataLoader whose workers can be stopped; otherwise they live until it is garbage-collected."""

    def close(self) -> None:
        """Stop the workers; at program exit it would be too late, and the program would hang waiting for them."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]  # only iterators with workers are kept


def in_order(dataset: SampleDataset, batch_size: int) -> SampleLoader:
    """Batches of all samples in order, loaded by this process."""
    return make_loader(dataset, EpochSampler(len(dataset), 0, shuffle=False), batch_size, num_workers=0)


def make_loader(
    dataset: SampleDataset,
    sampler: EpochSampler,
    batch_size: int,
    num_workers: int,
    pin_memory: bool = False,
    world: World = ALONE,
    least: int = 1,
) -> SampleLoader:
    """Loader with persistent workers; set ``sampler.epoch`` before each epoch.

    Args:
        dataset: Samples to load.
        sampler: Order of the samples.
        batch_size: Samples per batch over all processes.
        num_workers: Worker processes, fewer if their batches do not fit into shared memory; 0: load in this process.
        pin_memory: Put batches into page-locked memory.
        world: Rank of this process in the training group; it loads its shard of every batch.
        least: See ``ShardSampler``.
    """
    prefetch = PREFETCH
    if num_workers:
        # Anything imported and set up by the first sample is then shared by the workers.
        sample = collate([dataset[0]])
        # User-defined data sets have no windows.
        largest = dataset.windows.largest if isinstance(dataset, SampleDataset) else 0
        batch = batch_bytes(sample, largest, -(-batch_size // world.size))
        num_workers, prefetch = workers_that_fit(num_workers, batch, world.local_size)
    return SampleLoader(
        dataset,
        batch_sampler=ShardSampler(sampler, batch_size, world.rank, world.size, least),
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        prefetch_factor=prefetch if num_workers else None,
        worker_init_fn=start_worker,
        # Otherwise a number is drawn from the global generator whenever workers start: dropout would depend on
        # their number, and a resumed training would differ from an uninterrupted one.
        generator=torch.Generator(),
    )


def start_worker(worker: int) -> None:
    """Set up a worker process; for the DataLoader's ``worker_init_fn``."""
    # A worker is one of several: threads within it would only compete with the training for cores.
    torch.set_num_threads(1)
    # The garbage collector would write to all objects shared with the parent, and so copy them.
    gc.freeze()
    # Ctrl-C and batch schedulers signal the whole process group. The training decides when to stop; a worker that
    # died first would crash it. A worker whose parent is gone notices by itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _outlive_once)


def _outlive_once(signum: int, frame: FrameType | None) -> None:
    # If the parent ends without closing its DataLoader, multiprocessing terminates the worker and waits.
    signal.signal(signum, signal.SIG_DFL)


def batch_bytes(sample: Batch, largest: int, count: int) -> int:
    """Bytes of a batch in shared memory.

    Args:
        sample: A batch of one sample.
        largest: Voxels of the largest window of the data set.
        count: Samples per batch.
    """
    parts = (sample.image, sample.target)
    size = sum(part.numel() * part.element_size() for part in parts if part is not None)
    [window] = sample.windows
    return math.ceil(_MARGIN * size * count * max(1.0, largest / math.prod(window.size)))


def workers_that_fit(wanted: int, batch: int, sharing: int = 1) -> tuple[int, int]:
    """Numbers of workers and of batches that each keeps ready that fit into shared memory; warn if reduced.

    Samples do not depend on these numbers.

    Args:
        wanted: Worker processes.
        batch: Bytes of a batch.
        sharing: Number of trainings that share the memory.
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
        "%s has %.3g MB free, and batches of %.3g MB pass through it: loading with %d processes instead of %d; more "
        "shared memory (docker run --shm-size=8g) lets all of them work.",
        SHARED_MEMORY,
        free / 1e6,
        batch / 1e6,
        workers,
        wanted,
    )
    return workers, 1
