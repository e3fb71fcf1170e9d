"""Random numbers of foreign code, which takes them from the generators that a whole process shares."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, the shared generators of Python, NumPy and torch (on the CPU) start from a seed; after it they continue.

    Args:
        seed: Not negative.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the generator that foreign code shares
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
