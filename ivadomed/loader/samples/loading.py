"""Batches of the samples of a data set: their order in each epoch, and the worker processes that load them.

Batches pass through memory that processes share. Docker gives a container 64 MB of it unless told otherwise; a worker
that finds no room is killed (SIGBUS), or fails.
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
"""Batches that each worker has ready."""

_IN_USE = 2
"""Batches that the training holds: the one it works on, and the next one."""
_MARGIN = 1.2  # pages, conditions, drawn steps


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffled indices into a data set, each with its epoch; the same order for the same seed and epoch.

    Args:
        length: Samples of the data set.
        seed: Seed of the run.
        shuffle: Off for validation: then the epoch is always 0 and the order is always the same, so that losses
            can be compared.
        weights: Weight of each sample: with ``shuffle`` it is drawn with replacement, else repeated or left out at even
            distances. None for every sample once.
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

    The processes take equal shards in their order; the last entry is repeated where the batch does not fill them.
    """
    each = -(-len(batch) // ranks)
    filled = [*batch, *[batch[-1]] * (each * ranks - len(batch))]
    return filled[rank * each : (rank + 1) * each]


class ShardSampler(Sampler[list[tuple[int, int]]]):
    """Cuts the order of an epoch into batches, and every batch into shards; yields those of one process.

    Whatever the number of processes, the batches of the whole group are the same.

    Args:
        sampler: Indices into the data set in the order of the epoch, with a length.
        batch_size: Samples of a batch, all processes together.
        rank: Number of this process.
        ranks: Number of processes.
        least: Fewest samples of the last batch; where fewer are left, they join the batch before.
    """

    def __init__(
        self, sampler: Sampler[tuple[int, int]], batch_size: int, rank: int, ranks: int, least: int = 1
    ) -> None:
        self.sampler, self.batch_size, self.rank, self.ranks = sampler, batch_size, rank, ranks
        self.least = least

    @property
    def samples(self) -> int:
        """Samples of an epoch."""
        assert isinstance(self.sampler, Sized)
        return len(self.sampler)

    def __len__(self) -> int:
        whole, left = divmod(self.samples, self.batch_size)
        return whole + (left >= self.least if whole else 1) if left else whole

    def size(self, step: int) -> int:
        """Samples of the whole batch number ``step``; the last one may be smaller than the others, or larger."""
        return self.samples - step * self.batch_size if step == len(self) - 1 else self.batch_size

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        indices = list(self.sampler)
        for step in range(len(self)):
            start = step * self.batch_size
            yield shard_of(indices[start : start + self.size(step)], self.rank, self.ranks)


class SampleLoader(DataLoader[Sample]):
    """A DataLoader whose workers can be ended; else they live until it is collected."""

    def close(self) -> None:
        """End the workers; at the end of the program it would be too late, and it would wait for them for ever."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]  # only an iterator with workers is kept


def in_order(dataset: SampleDataset, batch_size: int) -> SampleLoader:
    """Batches of all samples in their order, loaded by this process."""
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
    """Loader whose workers live until it is closed; set ``sampler.epoch`` before each epoch.

    Args:
        dataset: Samples to load.
        sampler: Order of the samples.
        batch_size: Samples of a batch, all processes together.
        num_workers: Worker processes, fewer where their batches do not fit into the shared memory; 0: this one.
        pin_memory: Put batches into page-locked memory.
        world: Place of this process among those that train together: it loads its shard of every batch.
        least: See ``ShardSampler``.
    """
    prefetch = PREFETCH
    if num_workers:
        # What a sample imports and sets up at its first use is then shared by the workers.
        sample = collate([dataset[0]])
        # A data set of the user's own has no windows.
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
        # Else it took a number from the global generator whenever it starts workers: dropout would depend on how many
        # there are, and a resumed training would not continue where it stopped.
        generator=torch.Generator(),
    )


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
