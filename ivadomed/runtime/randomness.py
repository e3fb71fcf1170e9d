"""Random numbers of third-party code, which uses the global generators of the process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which the global generators of Python, NumPy and torch (CPU) are seeded; restored afterwards.

    Args:
        seed: Non-negative seed.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the generator used by third-party code
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed % 2**63)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
