"""Reuse of freed memory by the C library.

glibc returns large freed blocks to the operating system at once, and the top of its heap soon after. Feature maps are
such blocks: each is requested, filled and freed again in every training step and every prediction, and each time the
kernel must find and clear its pages. ``testing/benchmarks/bench_allocator.py`` shows what that costs: a quarter of a
training step of 96x96x64 voxels, and far more in a Dask worker, where Dask sets ``MALLOC_TRIM_THRESHOLD_`` to 64 kB.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4


def kept_memory() -> AbstractContextManager[None]:
    """Context in which this process keeps the memory that ``reused_memory`` frees; it is returned at the end.

    Contexts may be nested and open in several threads; the end is that of the last one. They have no effect without
    glibc (macOS, Windows, Alpine Linux).
    """
    return _KEPT.used()


@contextmanager
def reused_memory() -> Iterator[None]:
    """Context in which all blocks come from the heap, and those freed are reused; see ``kept_memory``.

    Volumes are better read outside it: their blocks may not fit into gaps of the heap, which then grows.
    """
    with _KEPT.used(), _UNMAPPED.used():
        yield


@dataclass(eq=False)
class _Setting:
    """A setting of the C library that contexts of all threads share.

    Args:
        inside: Values by parameter while a context is open.
        outside: Values afterwards. They cannot be read, so these are those that glibc reaches by itself once a block
            of 32 MB was freed.
        trims: True if freed memory is returned afterwards.
    """

    inside: Mapping[int, int]
    outside: Mapping[int, int]
    trims: bool = False
    _users: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    @contextmanager
    def used(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._set(self.inside)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._set(self.outside)

    def _set(self, values: Mapping[int, int]) -> None:
        library = _glibc()
        if library is None:
            return
        for parameter, value in values.items():
            library.mallopt(parameter, value)
        if self.trims and values is self.outside:
            library.malloc_trim(0)


_KEPT = _Setting({_TRIM_THRESHOLD: 2**31 - 1}, {_TRIM_THRESHOLD: 64 * 2**20}, trims=True)
_UNMAPPED = _Setting({_MMAP_MAX: 0}, {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 * 2**20})


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
