"""Independent streams of random numbers, one for each purpose."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, *key: int) -> np.random.Generator:
    """Generator for `purpose` and `key`, the same whatever else is drawn from the same seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(purpose.encode()), *key)))
