"""Samples of prepared cases, as a DataLoader worker creates them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from torch.utils.data import Dataset

from ivadomed.geometry.windows import Window, Windows
from ivadomed.loader.cases.case import Case
from ivadomed.loader.conditions import Conditioner, Curriculum, unconditioned, withhold
from ivadomed.loader.prepared.cache import Entries
from ivadomed.loader.prepared.files import StoredCase
from ivadomed.loader.prepared.prepare import unpack_foreground
from ivadomed.loader.samples.batch import Batch, Sample
from ivadomed.transforms import Pipeline, Plan
from ivadomed.transforms.batch_plan import split_plan
from ivadomed.transforms.intensity_maths import blank
from ivadomed.transforms.steps import Frame, IntensityStep

Raters = tuple[tuple[int, ...], ...]
Value = TypeVar("Value", bound=Hashable)


class SampleDataset(Dataset[Sample]):
    """Windows of prepared cases, with random transforms.

    An index is an ``int`` or a pair (epoch, int). All randomness of a sample comes from one generator seeded
    with (seed, epoch, index), so batches do not depend on the number of workers or on earlier draws.

    Args:
        cases: Cases, for names and raters.
        entries: The prepared cases.
        windows: The samples.
        random_steps: Transforms per sample.
        is_2d: Slices or volumes.
        soft_gt: Keep label values between 0 and 1; otherwise labels are binarized at 0.5 after the last step.
        seed: Seed of this data set.
        input_dropout: Blank a random part of the channels of a sample, never all of them (Havaei et al., HeMIS,
            2016), to train for missing contrasts.
        conditioner: Maps a case to the additional input of the network.
        curriculum: Withhold contrasts as HeMIS does; the condition encodes which are kept.
        classify: The target is 1 per class with a voxel in the sample, otherwise 0.
        augment_on: "worker": samples are completed here. "device": steps that can run on batches are left to
            ``Batch.augmented``; either way, the steps are drawn here and are the same.
        patches: Draws a new position for each sample; None keeps the windows in place.
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
        self.ignores = any(case.ignore is not None for case in self.cases)

    def __len__(self) -> int:
        return len(self.windows)

    def names_of(self, batch: Batch) -> list[str]:
        """Names of the cases in a batch, one per sample."""
        return [self.cases[window.case].id for window in batch.windows]

    @property
    def sample_size(self) -> tuple[int, ...]:
        """Voxels of a sample along each axis."""
        return tuple(self.windows[0].size[: 2 if self.is_2d else 3])

    def __getitem__(self, index: int | tuple[int, int]) -> Sample:
        epoch, number = index if isinstance(index, tuple) else (0, index)
        window = self.windows[number]
        rng = np.random.default_rng((self.seed, epoch, number))
        entry, raters = self.entries[window.case], self._raters[window.case]
        if self.patches is not None:
            window = self.patches.place(window, raters, entry.stored, rng)
        image, labels = entry.read(window)
        drawn = [group[rng.integers(len(group))] for group in raters]
        arrays = {"im": image, "gt": labels[drawn]}
        if self.ignores:
            ignore = labels[_count(raters) :]
            arrays["ignore"] = ignore if len(ignore) else np.zeros((1, *labels.shape[1:]), labels.dtype)
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
        arrays = plan.apply_all(arrays, 1)
        target, ignored = arrays["gt"], arrays.get("ignore")
        if later is None:
            target = self._finished(target)
            ignored = None if ignored is None else (ignored >= 0.5).astype(np.uint8)
        ignored = None if ignored is None else np.ascontiguousarray(ignored)
        image, target = np.ascontiguousarray(arrays["im"], np.float32), np.ascontiguousarray(target)
        return Sample(image, target, condition, window, later, ignored)

    def _finished(self, target: np.ndarray) -> np.ndarray:
        """Labels after the last step, see ``Batch.augmented``."""
        if not self.soft_gt:
            target = (target >= 0.5).astype(np.uint8)
        return (
            np.asarray(target.any(axis=tuple(range(1, target.ndim))), np.uint8) if self.classify else target
        )

    def sampling_label(self, index: int, key: str) -> Hashable:
        """Category for balanced sampling: labelled or not ("gt"), or the value of a metadata key."""
        window = self.windows[index]
        if key == "gt":
            labels = self.entries[window.case].read(window)[1]
            return bool(labels[: _count(self._raters[window.case])].any())
        return self.cases[window.case].metadata.get(key)


def _count(raters: Raters) -> int:
    """Raters of all classes."""
    return sum(map(len, raters))


def _with_blank(plan: Plan, channels: np.ndarray) -> Plan:
    """The plan, with these channels blanked as its last step."""
    frame = Frame(plan.shape_out, plan.zooms_out)
    step = IntensityStep.on(frame, function=blank, arguments={"channels": channels.tolist()})
    return plan.then(step, frozenset({"im"}))


def interned(values: Iterable[Value]) -> list[Value]:
    """The values, with equal ones as the same object: accessing fewer objects copies fewer memory pages."""
    known: dict[Value, Value] = {}
    return [known.setdefault(value, value) for value in values]


@dataclass(frozen=True, eq=False)
class RandomPatches:
    """Moves each window to a random position, drawn again for every sample.

    With probability `foreground`, its center is on a labelled voxel of a class drawn among those in the image,
    so rare classes are seen as often as frequent ones. Otherwise, all positions are equally likely.

    Args:
        foreground: Probability, 0 to 1.
        slices: Per case, the slices to sample from.
    """

    foreground: float
    slices: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, windows: Sequence[Window], n_cases: int, foreground: float) -> RandomPatches:
        """Create the sampler for windows that tile the cases; slices excluded by a filter stay excluded."""
        kept: list[set[int]] = [set() for _ in range(n_cases)]
        for window in windows:
            kept[window.case].update(range(window.start[2], window.start[2] + window.size[2]))
        return cls(foreground, tuple(np.array(sorted(slices), int) for slices in kept))

    def place(self, window: Window, raters: Raters, stored: StoredCase, rng: np.random.Generator) -> Window:
        """Draw a position for a window of the case with these ``Case.raters``."""
        shape = stored.volume_shape
        centre = (
            self._labelled_voxel(window.case, raters, stored, rng) if rng.random() < self.foreground else None
        )
        if centre is None:
            slices = self.slices[window.case]
            start = [int(rng.integers(n - size + 1)) for n, size in zip(shape, window.size, strict=True)]
            if window.size[2] == 1:
                start[2] = int(slices[rng.integers(len(slices))])
        else:
            start = [
                min(max(int(c) - size // 2, 0), n - size)
                for c, size, n in zip(centre, window.size, shape, strict=True)
            ]
        return Window(window.case, (start[0], start[1], start[2]), window.size)

    def _labelled_voxel(
        self, index: int, raters: Raters, stored: StoredCase, rng: np.random.Generator
    ) -> np.ndarray | None:
        """Position of a labelled voxel; None if the case has none."""
        packed, slices = stored.facts.foreground, self.slices[index]
        labels = [[packed[rater] for rater in group if packed[rater]] for group in raters]
        classes = [group for group in labels if group]
        while classes:
            group = classes.pop(int(rng.integers(len(classes))))
            voxels = unpack_foreground(group[int(rng.integers(len(group)))], stored.volume_shape)
            voxels = voxels[np.isin(voxels[:, 2], slices)]
            if len(voxels):
                return voxels[int(rng.integers(len(voxels)))]
        return None


def per_image(windows: Sequence[Window], count: int) -> list[Window]:
    """`count` windows of every case that has any; positions do not matter because they are drawn again."""
    first: dict[int, Window] = {}
    for window in windows:
        first.setdefault(window.case, window)
    return [window for window in first.values() for _ in range(count)]
