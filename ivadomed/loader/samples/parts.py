"""The part of every batch that one of several processes loads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import TypeVar

from torch.utils.data import Sampler

T = TypeVar("T")


def part_of(batch: Sequence[T], rank: int, ranks: int) -> list[T]:
    """What process ``rank`` of ``ranks`` takes of a batch.

    The processes take equal parts in their order; the last entry is repeated where the batch does not fill them.
    """
    each = -(-len(batch) // ranks)
    filled = [*batch, *[batch[-1]] * (each * ranks - len(batch))]
    return filled[rank * each : (rank + 1) * each]


class PartSampler(Sampler[list[tuple[int, int]]]):
    """Cuts the order of an epoch into batches, and every batch into parts; yields those of one process.

    Whatever the number of processes, the batches of the whole group are the same.

    Args:
        sampler: Places of the data set in the order of the epoch, with a length.
        batch_size: Samples of a batch, all processes together.
        rank: Of this process.
        ranks: Number of processes.
    """

    def __init__(self, sampler: Sampler[tuple[int, int]], batch_size: int, rank: int, ranks: int) -> None:
        self.sampler, self.batch_size, self.rank, self.ranks = sampler, batch_size, rank, ranks

    @property
    def samples(self) -> int:
        """Samples of an epoch."""
        assert isinstance(self.sampler, Sized)
        return len(self.sampler)

    def __len__(self) -> int:
        return -(-self.samples // self.batch_size)

    def size(self, step: int) -> int:
        """Samples of the whole batch number ``step``; the last one may be smaller than the others."""
        return min(self.batch_size, self.samples - step * self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        places = list(self.sampler)
        for start in range(0, len(places), self.batch_size):
            yield part_of(places[start : start + self.batch_size], self.rank, self.ranks)
