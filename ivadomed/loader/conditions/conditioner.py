"""Inputs of a network besides the image: metadata (FiLM), or the contrasts that are there (HeMIS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ivadomed.loader.cases.case import Case

Conditioner = Callable[[Case], "np.ndarray | None"]
"""The condition [n] float32 of a case, or None for networks that take only the image."""


def unconditioned(case: Case) -> None:
    """The image is all there is."""
    return None


def present_contrasts(case: Case) -> np.ndarray:
    """Per channel 1 where the case has its contrast, else 0."""
    return np.array(case.present, np.float32)


@dataclass(frozen=True)
class Curriculum:
    """Rate at which contrasts are withheld in training, so that the network learns to do without.

    Havaei et al., "HeMIS: Hetero-Modal Image Segmentation", MICCAI 2016, section 2.3.

    Args:
        probability: Probability of withholding each contrast in the first epoch, between 0 and 1.
        growth: Exponent that the probability is raised to after each epoch; below 1 it grows towards 1.
    """

    probability: float
    growth: float = 1.0

    def at(self, epoch: int) -> float:
        """Probability in an epoch, counted from 1."""
        return float(self.probability ** (self.growth ** (epoch - 1)))


def withhold(present: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
    """Withhold each contrast with ``probability``, but never all of a sample.

    Args:
        present: [..., C], not 0 where a contrast is there.
        probability: Between 0 and 1.
        rng: Generator of the draws.

    Returns:
        [..., C] bool, the contrasts that stay.
    """
    draws = rng.random(present.shape)
    there = present != 0
    kept = there & (draws >= probability)
    # Where all were withheld, the one with the highest draw stays: every contrast is equally likely.
    best = np.where(there, draws, -1).argmax(axis=-1)[..., None]
    empty = ~kept.any(axis=-1, keepdims=True)
    np.put_along_axis(kept, best, np.take_along_axis(kept, best, -1) | empty, -1)
    return kept & there
