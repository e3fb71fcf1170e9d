"""Samples and batches: the input of a network and the origin of its parts."""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch.utils.data import get_worker_info

from ivadomed.errors import DataError
from ivadomed.geometry.windows import Window
from ivadomed.transforms import Plan
from ivadomed.transforms.batch_plan import BatchPlan

_TRIM_EVERY = 2
"""Batches between returns of free memory, each of which takes a tenth of the time of a batch of 128 x 128 slices."""

_batches = itertools.count(1)


@dataclass(frozen=True, eq=False)
class Batch:
    """Input of a model for one step.

    Args:
        image: [B, C, h, w] or [B, C, h, w, d] float32.
        target: [B, K, ...] uint8 (binary) or float32 (soft), [B, K] for classifiers; None for prediction
            without labels.
        condition: [B, n] float32, see ``conditions``, or None.
        windows: Origin of each sample.
        steps: Pending random steps, see ``augmented``; None if the workers applied all.
        ignore: [B, 1, ...] 1 at voxels that losses and metrics ignore, otherwise 0; None for a data set without any.
    """

    image: torch.Tensor
    target: torch.Tensor | None
    condition: torch.Tensor | None
    windows: tuple[Window, ...]
    steps: BatchPlan | None = None
    ignore: torch.Tensor | None = None

    @property
    def mask(self) -> torch.Tensor | None:
        """[B, 1, ...] bool, True at voxels that losses and metrics count; None for all."""
        return None if self.ignore is None else self.ignore < 0.5

    def to(self, device: torch.device, memory_format: torch.memory_format = torch.preserve_format) -> Batch:
        """Move the batch to a device; convert target and ignored voxels to float32."""
        return Batch(
            self.image.to(device, non_blocking=True, memory_format=memory_format),
            None if self.target is None else self.target.to(device, torch.float32, non_blocking=True),
            None if self.condition is None else self.condition.to(device, non_blocking=True),
            self.windows,
            None if self.steps is None else self.steps.moved(partial(_to, device=device)),
            None if self.ignore is None else self.ignore.to(device, torch.float32, non_blocking=True),
        )

    def part(self, samples: slice) -> Batch:
        """Subset of the samples."""
        return Batch(
            self.image[samples],
            None if self.target is None else self.target[samples],
            None if self.condition is None else self.condition[samples],
            self.windows[samples],
            ignore=None if self.ignore is None else self.ignore[samples],
        )

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, for the DataLoader's ``pin_memory``."""
        return Batch(
            self.image.pin_memory(),
            None if self.target is None else self.target.pin_memory(),
            None if self.condition is None else self.condition.pin_memory(),
            self.windows,
            None if self.steps is None else self.steps.moved(torch.Tensor.pin_memory),
            None if self.ignore is None else self.ignore.pin_memory(),
        )

    def augmented(self, soft_gt: bool, classify: bool) -> Batch:
        """Apply the pending steps to the batch, which ``to`` has moved to its device.

        Args:
            soft_gt: See ``SampleDataset``.
            classify: See ``SampleDataset``.
        """
        if self.steps is None:
            return self
        target = None
        if self.target is not None:
            target = self.steps.apply(self.target, "gt")
            target = target if soft_gt else (target >= 0.5).to(target.dtype)
            target = target.flatten(2).any(dim=2).to(target.dtype) if classify else target
        ignore = None
        if self.ignore is not None:
            ignore = (self.steps.apply(self.ignore, "ignore") >= 0.5).to(self.ignore.dtype)
        image = self.steps.apply(self.image, "im")
        return replace(self, image=image, target=target, steps=None, ignore=ignore)


@dataclass(frozen=True, eq=False)
class Sample:
    """One entry of a batch, see ``Batch``; ``plan`` holds the steps left to the device.

    Either all samples of a data set have ``ignore``, or none.
    """

    image: np.ndarray
    target: np.ndarray
    condition: np.ndarray | None
    window: Window
    plan: Plan | None = None
    ignore: np.ndarray | None = None


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples.

    Raises:
        DataError: The samples differ in shape.
    """
    trim_memory()
    shapes = {sample.image.shape for sample in samples}
    if len(shapes) > 1:
        raise DataError(
            f"samples of shapes {sorted(shapes)} cannot form a batch; add CenterCrop to the transformations, "
            "give a patch length, or use a batch size of 1"
        )
    plans = [s.plan for s in samples if s.plan is not None]
    ignored = [s.ignore for s in samples if s.ignore is not None]
    return Batch(
        stack([s.image for s in samples]),
        stack([s.target for s in samples]),
        stack_conditions([s.condition for s in samples]),
        tuple(s.window for s in samples),
        BatchPlan.of(plans) if plans else None,
        stack(ignored) if ignored else None,
    )


def stack_conditions(conditions: Sequence[np.ndarray | None]) -> torch.Tensor | None:
    """Conditions of the samples of a batch as [B, n]; None for a network without conditions."""
    given = [condition for condition in conditions if condition is not None]
    return torch.from_numpy(np.stack(given)) if given else None


def _to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device, non_blocking=True)


def stack(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    """Stack arrays of one shape and type; a worker does so in memory shared with the training process.

    Raises:
        ValueError: The shapes differ.
    """
    if get_worker_info() is None:
        return torch.from_numpy(np.stack(arrays))
    room = torch.from_numpy(np.empty((len(arrays), *arrays[0].shape), arrays[0].dtype)).share_memory_()
    np.stack(arrays, out=room.numpy())
    return room


def trim_memory() -> None:
    """Return free memory to the system; called periodically in workers.

    Arrays of numpy and torch leave holes in glibc's heap that are too small for the next arrays, so each worker
    would grow by some tens of MB (with slices of 128x128 voxels; more with larger ones).
    """
    if get_worker_info() is not None and sys.platform == "linux" and next(_batches) % _TRIM_EVERY == 0:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
