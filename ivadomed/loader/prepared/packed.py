"""Many values as bytes in one array, which worker processes share."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

Value = TypeVar("Value")


class Packed(Generic[Value]):
    """A row of values, unpickled when they are asked for.

    Looking at a Python object writes its reference count, and so copies its page into every worker process that
    looks. With thousands of cases that is more than all else a worker holds; bytes stay shared.

    Args:
        values: What to hold: small values that can be pickled.
    """

    def __init__(self, values: Iterable[Value]) -> None:
        parts = [pickle.dumps(value, pickle.HIGHEST_PROTOCOL) for value in values]
        self._bytes = np.frombuffer(b"".join(parts), np.uint8)
        self._ends = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, place: int) -> Value:
        if not 0 <= place < len(self):
            raise IndexError(place)
        value: Value = pickle.loads(self._bytes[self._ends[place] : self._ends[place + 1]].data)
        return value

    def __iter__(self) -> Iterator[Value]:
        return (self[place] for place in range(len(self)))
