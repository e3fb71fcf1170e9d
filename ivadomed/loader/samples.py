"""Samples and batches: what a DataLoader worker does for one step of training."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ivadomed.loader.cache import Entries
from ivadomed.loader.case import Case
from ivadomed.loader.conditions import Conditioner, Curriculum, unconditioned, withhold
from ivadomed.loader.parts import PartSampler
from ivadomed.loader.random_patches import RandomPatches
from ivadomed.loader.workers import interned, stack, start_worker, trim_memory
from ivadomed.ranks import ALONE, World
from ivadomed.transforms import Pipeline, Plan
from ivadomed.transforms.base import intensity_step
from ivadomed.transforms.batch_plan import BatchPlan, split_plan
from ivadomed.transforms.intensity_maths import blank
from ivadomed.windows import Window, Windows


@dataclass(frozen=True, eq=False)
class Batch:
    """What a model is given for one step.

    Args:
        image: [B, C, h, w] or [B, C, h, w, d] float32.
        target: [B, K, ...] uint8 (binary) or float32 (soft), [B, K] for classifiers; None at prediction time without
            labels.
        condition: [B, n] float32, see ``conditions``, or None.
        windows: Where each sample comes from.
        steps: Random steps that are still to be done, see ``augmented``; None when the workers did all.
    """

    image: torch.Tensor
    target: torch.Tensor | None
    condition: torch.Tensor | None
    windows: tuple[Window, ...]
    steps: BatchPlan | None = None

    def to(self, device: torch.device, memory_format: torch.memory_format = torch.preserve_format) -> Batch:
        """The batch on another device; floating point where it is computed with."""
        return Batch(
            self.image.to(device, non_blocking=True, memory_format=memory_format),
            None if self.target is None else self.target.to(device, torch.float32, non_blocking=True),
            None if self.condition is None else self.condition.to(device, non_blocking=True),
            self.windows,
            None if self.steps is None else self.steps.moved(partial(_to, device=device)),
        )

    def part(self, places: slice) -> Batch:
        """Some of the samples."""
        return Batch(
            self.image[places],
            None if self.target is None else self.target[places],
            None if self.condition is None else self.condition[places],
            self.windows[places],
        )

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, for the DataLoader's ``pin_memory``."""
        return Batch(
            self.image.pin_memory(),
            None if self.target is None else self.target.pin_memory(),
            None if self.condition is None else self.condition.pin_memory(),
            self.windows,
            None if self.steps is None else self.steps.moved(torch.Tensor.pin_memory),
        )

    def augmented(self, soft_gt: bool, classify: bool) -> Batch:
        """The batch, which ``to`` brought to its device, after the steps that were left to do there.

        Args:
            soft_gt: As of the data set.
            classify: As of the data set.
        """
        if self.steps is None:
            return self
        target = None
        if self.target is not None:
            target = self.steps.apply(self.target, "gt")
            target = target if soft_gt else (target >= 0.5).to(target.dtype)
            target = target.flatten(2).any(dim=2).to(target.dtype) if classify else target
        return replace(self, image=self.steps.apply(self.image, "im"), target=target, steps=None)


@dataclass(frozen=True, eq=False)
class Sample:
    """One entry of a batch, see ``Batch``; ``plan`` holds the steps that are left to the device."""

    image: np.ndarray
    target: np.ndarray
    condition: np.ndarray | None
    window: Window
    plan: Plan | None = None


def collate(samples: Sequence[Sample]) -> Batch:
    """Stack samples; they must have one shape."""
    trim_memory()
    plans = [s.plan for s in samples if s.plan is not None]
    return Batch(
        stack([s.image for s in samples]),
        stack([s.target for s in samples]),
        stack_conditions([s.condition for s in samples]),
        tuple(s.window for s in samples),
        BatchPlan.of(plans) if plans else None,
    )


def stack_conditions(conditions: Sequence[np.ndarray | None]) -> torch.Tensor | None:
    """Conditions of the samples of a batch as [B, n]; None when the network has none."""
    given = [condition for condition in conditions if condition is not None]
    return torch.from_numpy(np.stack(given)) if given else None


class SampleDataset(Dataset[Sample]):
    """Windows of prepared cases with the random steps of their transforms.

    An index is an ``int`` or a pair (epoch, int). All randomness of a sample comes from one generator seeded
    with (seed, epoch, index), so batches do not depend on the number of workers or on what was drawn before.

    Args:
        cases: For names and raters.
        entries: The prepared cases.
        windows: The samples.
        random_steps: Transforms per sample.
        is_2d: Slices or volumes.
        soft_gt: Keep label values between 0 and 1; otherwise labels are binarized at 0.5 after the last step.
        seed: Of this data set.
        input_dropout: Blank a random part of the channels of a sample, never all of them (Havaei et al., HeMIS,
            2016), to train for missing contrasts.
        conditioner: What the network is told of a case besides the image.
        curriculum: Withhold contrasts as HeMIS does; the condition says which are left.
        classify: The target is 1 per class that has a voxel in the sample, else 0.
        augment_on: "worker": samples are finished here. "device": what can be done on batches is left to
            ``Batch.augmented``; the steps are drawn here either way, and are the same.
        patches: Draw the place of each sample anew; None leaves the windows where they are.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        entries: Entries,
        windows: Sequence[Window],
        random_steps: Pipeline,
        is_2d: bool = True,
        soft_gt: bool = False,
        seed: int = 0,
        input_dropout: bool = False,
        conditioner: Conditioner = unconditioned,
        curriculum: Curriculum | None = None,
        classify: bool = False,
        augment_on: Literal["worker", "device"] = "worker",
        patches: RandomPatches | None = None,
    ) -> None:
        self.cases, self.entries, self.windows = tuple(cases), entries, Windows(windows)
        self.random_steps, self.is_2d, self.soft_gt, self.seed = random_steps, is_2d, soft_gt, seed
        self.input_dropout, self.curriculum, self.classify = input_dropout, curriculum, classify
        self.augment_on = augment_on
        self.patches = patches
        self.conditions = [conditioner(case) for case in self.cases]
        self._raters = interned(case.raters for case in self.cases)
        self._present = interned(case.present for case in self.cases)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int | tuple[int, int]) -> Sample:
        epoch, place = index if isinstance(index, tuple) else (0, index)
        window = self.windows[place]
        rng = np.random.default_rng((self.seed, epoch, place))
        entry, raters = self.entries[window.case], self._raters[window.case]
        if self.patches is not None:
            window = self.patches.place(window, raters, entry.stored, rng)
        image, labels = entry.read(window)
        target = labels[[group[rng.integers(len(group))] for group in raters]]
        zooms = entry.stored.zooms[: image.ndim - 1]
        plan = self.random_steps.plan(image.shape[1:], zooms, rng)
        if self.input_dropout:
            plan = _with_blank(plan, rng.permutation(len(image))[: rng.integers(len(image))])
        condition = self.conditions[window.case]
        if self.curriculum is not None:
            kept = withhold(np.array(self._present[window.case]), self.curriculum.at(epoch), rng)
            plan = _with_blank(plan, np.flatnonzero(~kept))
            condition = kept.astype(np.float32)
        later = None
        if self.augment_on == "device":
            plan, later = split_plan(plan)
        image, target = plan.apply_all({"im": image, "gt": target}, 1).values()
        if later is None:
            target = self._finished(target)
        image, target = np.ascontiguousarray(image, np.float32), np.ascontiguousarray(target)
        return Sample(image, target, condition, window, later)

    def _finished(self, target: np.ndarray) -> np.ndarray:
        """Labels after the last step, see ``Batch.augmented``."""
        if not self.soft_gt:
            target = (target >= 0.5).astype(np.uint8)
        return (
            np.asarray(target.any(axis=tuple(range(1, target.ndim))), np.uint8) if self.classify else target
        )

    def sampling_label(self, index: int, key: str) -> Hashable:
        """What balanced sampling balances: whether a sample is labelled ("gt"), or a value of the metadata."""
        window = self.windows[index]
        if key == "gt":
            return bool(self.entries[window.case].read(window)[1].any())
        return self.cases[window.case].metadata.get(key)


def _with_blank(plan: Plan, channels: np.ndarray) -> Plan:
    """The plan, with these channels blanked at its end."""
    step = intensity_step(plan.shape_out, plan.zooms_out, partial(blank, channels=channels.tolist()))
    return plan.then(step, frozenset({"im"}))


def _to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device, non_blocking=True)


class EpochSampler(Sampler[tuple[int, int]]):
    """Shuffled places of a data set, each with its epoch; the same order for the same seed and epoch.

    Args:
        length: Of the data set.
        seed: Of the run.
        shuffle: Off for validation: then the epoch is always 0, so that losses can be compared.
        weights: Of each place, drawn with replacement; None for every place once.
    """

    def __init__(
        self, length: int, seed: int, shuffle: bool = True, weights: np.ndarray | None = None
    ) -> None:
        self.length, self.seed, self.shuffle, self.weights = length, seed, shuffle, weights
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch if self.shuffle else 0
        places = np.arange(self.length)
        if self.shuffle:
            rng = np.random.default_rng((self.seed, epoch))
            if self.weights is None:
                places = rng.permutation(self.length)
            else:
                places = rng.choice(self.length, self.length, p=self.weights / self.weights.sum())
        return ((epoch, int(place)) for place in places)


class SampleLoader(DataLoader[Sample]):
    """A DataLoader whose workers can be ended; else they live until it is collected."""

    def close(self) -> None:
        """End the workers; at the end of the program it would be too late, and it would wait for them for ever."""
        iterator, self._iterator = self._iterator, None
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]  # only an iterator with workers is kept


def make_loader(
    dataset: SampleDataset,
    sampler: EpochSampler,
    batch_size: int,
    num_workers: int,
    pin_memory: bool = False,
    world: World = ALONE,
) -> SampleLoader:
    """Loader whose workers live until it is closed; set ``sampler.epoch`` before each epoch.

    Args:
        dataset: What is loaded.
        sampler: In which order.
        batch_size: Samples of a batch, all processes together.
        num_workers: Worker processes; 0: this one.
        pin_memory: Put batches into page-locked memory.
        world: Of several processes that train together, which this is: it loads its part of every batch.
    """
    if num_workers:
        # What a sample imports and sets up at its first use is then shared by the workers.
        collate([dataset[0]])
    return SampleLoader(
        dataset,
        batch_sampler=PartSampler(sampler, batch_size, world.rank, world.size),
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        persistent_workers=num_workers > 0,
        prefetch_factor=4 if num_workers else None,
        worker_init_fn=start_worker,
    )
