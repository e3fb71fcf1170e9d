"""What a user asked to see of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Watch:
    """None of this changes a number of the training.

    Args:
        gifs: Validation samples whose predictions become an animation over the epochs.
        slice_axis: RAS axis along which slices were taken, to show them upright.
        debugging: Save a mixed sample of every epoch, under mixup.
        wandb: The ``wandb`` section, or None.
    """

    gifs: int = 0
    slice_axis: int = 2
    debugging: bool = False
    wandb: Mapping[str, Any] | None = None


NOTHING = Watch()
