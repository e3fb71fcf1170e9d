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
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4

_MOST = 2**31 - 1
_REUSED = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _MOST))
_RETURNED = ((_MMAP_MAX, 65536), (_MMAP_THRESHOLD, 32 * 2**20), (_TRIM_THRESHOLD, 64 * 2**20))
"""The default number of mapped blocks, and the thresholds that glibc reaches by itself once a block of 32 MB was
freed; they cannot be read, so those of before cannot be restored."""

_lock = threading.Lock()
_users = 0


@contextmanager
def reused_memory() -> Iterator[None]:
    """Keep freed memory in this process while the context is open, and return it at the end.

    Contexts may be nested and open in several threads; the memory is returned at the end of the last one. Has no effect
    without glibc (macOS, Windows, Alpine Linux).
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_REUSED)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _set(_RETURNED)
                if (library := _glibc()) is not None:
                    library.malloc_trim(0)


def _set(values: tuple[tuple[int, int], ...]) -> None:
    if (library := _glibc()) is not None:
        for parameter, value in values:
            library.mallopt(parameter, value)


@cache
def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
