"""The samples of prepared cases: what a DataLoader worker does for each of them."""

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
        seed: Seed of this data set.
        input_dropout: Blank a random part of the channels of a sample, never all of them (Havaei et al., HeMIS,
            2016), to train for missing contrasts.
        conditioner: Input of the network besides the image, by case.
        curriculum: Withhold contrasts as HeMIS does; the condition says which are left.
        classify: The target is 1 per class that has a voxel in the sample, else 0.
        augment_on: "worker": samples are finished here. "device": what can be done on batches is left to
            ``Batch.augmented``; the steps are drawn here either way, and are the same.
        patches: Draw the place of each sample again; None leaves the windows where they are.
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
        """Case of each sample of a batch."""
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
        """Category for balanced sampling: labelled or not ("gt"), or a value of the metadata."""
        window = self.windows[index]
        if key == "gt":
            labels = self.entries[window.case].read(window)[1]
            return bool(labels[: _count(self._raters[window.case])].any())
        return self.cases[window.case].metadata.get(key)


def _count(raters: Raters) -> int:
    """Raters of all classes."""
    return sum(map(len, raters))


def _with_blank(plan: Plan, channels: np.ndarray) -> Plan:
    """The plan, with these channels blanked at its end."""
    frame = Frame(plan.shape_out, plan.zooms_out)
    step = IntensityStep.on(frame, function=blank, arguments={"channels": channels.tolist()})
    return plan.then(step, frozenset({"im"}))


def interned(values: Iterable[Value]) -> list[Value]:
    """The values, equal ones being one object: few objects are looked at, so that few pages are copied."""
    known: dict[Value, Value] = {}
    return [known.setdefault(value, value) for value in values]


@dataclass(frozen=True, eq=False)
class RandomPatches:
    """Moves a window to a place drawn again for every sample.

    With the probability `foreground` its centre is on a labelled voxel: of a class drawn among those that the image
    has, so that a rare class is seen as often as a frequent one. Otherwise every place is as likely as any other.

    Args:
        foreground: Probability, 0 to 1.
        slices: Per case, the slices that take part.
    """

    foreground: float
    slices: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, windows: Sequence[Window], n_cases: int, foreground: float) -> RandomPatches:
        """For the windows that tile the cases; what slices a filter left out stay out."""
        kept: list[set[int]] = [set() for _ in range(n_cases)]
        for window in windows:
            kept[window.case].update(range(window.start[2], window.start[2] + window.size[2]))
        return cls(foreground, tuple(np.array(sorted(slices), int) for slices in kept))

    def place(self, window: Window, raters: Raters, stored: StoredCase, rng: np.random.Generator) -> Window:
        """Draw a place for a window of the case with these ``Case.raters``."""
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
        """Place of a labelled voxel, None if the case has none."""
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
    """`count` windows of every case that has any; their places do not matter, they are drawn again."""
    first: dict[int, Window] = {}
    for window in windows:
        first.setdefault(window.case, window)
    return [window for window in first.values() for _ in range(count)]
