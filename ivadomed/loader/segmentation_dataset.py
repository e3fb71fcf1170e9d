"""What the documented 2D and 3D data sets share: windows of prepared cases as dictionaries with metadata.

The engine trains on ``samples.SampleDataset``; these classes offer the same samples under the documented names
and keys, with metadata from which ``UndoCompose`` takes a prediction back.
"""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ivadomed.errors import DataError
from ivadomed.geometry.windows import Window
from ivadomed.images.io import read_label
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import box_in, grid_of
from ivadomed.loader.patch_filter import PatchFilter
from ivadomed.loader.prepared.cache import Entries, open_cases
from ivadomed.loader.prepared.prepare import Recipe, fixed_steps, list_windows, plan_fixed
from ivadomed.loader.prepared.recent import RecentCases
from ivadomed.loader.prepared.size import prepared_bytes
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.loader.segmentation_pair import FilenamePair, SegmentationPair, case_of
from ivadomed.loader.utils import create_temp_directory, dropout_input
from ivadomed.transforms import (
    Compose,
    ImedTransform,
    NumpyToTensor,
    Pipeline,
    Plan,
    Stage,
    Step,
    apply_preprocessing_transforms,
)
from ivadomed.transforms.base import KINDS, STEPS_KEY

MEMORY = 1 << 28
"""Bytes of prepared voxels that a process keeps, when it may keep any."""

SampleFilter = Callable[[Mapping[str, Any]], bool]
"""Told a sample (``input``, ``gt``), says whether it stays."""


class SegmentationDataset(Dataset[dict[str, Any]]):
    """Base of the documented data sets.

    Args:
        filename_pairs: Tuples (input file names, label file names, ROI file name or None, metadata per input).
        recipe: Slice axis, windows and rule of the slice filter; its fixed steps are taken from ``transform``.
        transform: [preprocessing or None, transforms per sample], or the latter alone.
        patch_filter_fn: Patches to keep, seen after the preprocessing.
        task: "segmentation": ``gt`` is a mask; "classification": 1 where a class has a voxel, else 0.
        is_input_dropout: Blank a random part of the channels of each sample.
        disk_cache: True keeps prepared cases in a temporary folder, False the last used ones in memory; None
            takes the disk when they do not fit in memory.
        budget: Bytes of prepared voxels to keep in memory.

    Attributes:
        filename_pairs: As given.
        handlers: One `SegmentationPair` per case.
        indexes: One `Window` per sample.
        prepro_transforms: What is done before samples are taken, or None.
        transform: What is done to each sample.
        task: As given.
        soft_gt: Whether labels keep values between 0 and 1.
        slice_axis: RAS axis along which slices are taken: 0 sagittal, 1 coronal, 2 axial.
        cache: Whether prepared voxels may be kept in memory.
        n_contrasts: Channels of a sample.
        has_bounding_box: Whether every case is cropped to a bounding box.
    """

    def __init__(
        self,
        filename_pairs: Sequence[FilenamePair],
        recipe: Recipe,
        transform: Compose | Sequence[Compose | None] | None,
        patch_filter_fn: SampleFilter | None,
        task: str,
        is_input_dropout: bool,
        disk_cache: bool | None,
        budget: int = MEMORY,
    ) -> None:
        self.filename_pairs = list(filename_pairs)
        pair = transform if isinstance(transform, (list, tuple)) else (None, transform)
        self.prepro_transforms, self.transform = pair[0], pair[1] or Compose({})
        fixed, rule = _pipeline(self.prepro_transforms), recipe.slice_filter
        if not (fixed.needs_roi or any(step.needs_roi for step in self.transform.transform["im"])):
            rule = replace(rule, min_roi_voxels=None)  # the region counts where it is cropped around
        self.recipe = replace(recipe, fixed=fixed, slice_filter=rule)
        self.patch_filter_fn = patch_filter_fn
        self.task = task
        self.is_input_dropout = is_input_dropout
        self.soft_gt, self.slice_axis = recipe.soft_gt, recipe.slice_axis
        self.cache = budget > 0
        self.disk_cache = disk_cache
        self.budget = budget
        self.cases = [case_of(pair) for pair in self.filename_pairs]
        self.handlers = [
            SegmentationPair(
                *(pair[0], pair[1], pair[3]),
                slice_axis=recipe.slice_axis,
                cache=False,
                prepro_transforms=self.prepro_transforms,
                soft_gt=recipe.soft_gt,
            )
            for pair in self.filename_pairs
        ]
        self._entries: Entries | None = None
        self._indexes: list[Window] | None = None

    @property
    def entries(self) -> Entries:
        """The prepared cases, opened on first use."""
        if self._entries is None:
            self._entries = self._open()
        return self._entries

    @property
    def indexes(self) -> list[Window]:
        """The samples, listed on first use."""
        if self._indexes is None:
            self._indexes = self._list()
        return self._indexes

    @property
    def n_contrasts(self) -> int:
        """Channels of a sample."""
        return len(self.filename_pairs[0][0]) if self.filename_pairs else 0

    @property
    def has_bounding_box(self) -> bool:
        """Whether every case is cropped to a bounding box."""
        return bool(self.cases) and all(case.box is not None for case in self.cases)

    def set_transform(self, transform: Compose) -> None:
        """Replace the transforms per sample."""
        self.transform = transform

    def __len__(self) -> int:
        return len(self.indexes)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample.

        Returns:
            ``input`` [C, ...] float32; ``gt`` [K, ...] uint8 (float32 with soft labels; [K] for a classification),
            None without labels; ``roi`` [1, ...] or None; and ``input_metadata`` (a list, one per channel),
            ``gt_metadata`` (one per class), ``roi_metadata``.
        """
        window = self.indexes[index]
        seg_pair, roi_pair = apply_preprocessing_transforms(self.transform, *self._read(window))
        item = {
            "input": _tensor(seg_pair["input"]),
            "gt": self._target(seg_pair["gt"]),
            "roi": None if roi_pair is None else _tensor(roi_pair["gt"]),
            "input_metadata": seg_pair["input_metadata"],
            "gt_metadata": seg_pair["gt_metadata"] or [],
            "roi_metadata": [] if roi_pair is None else roi_pair["gt_metadata"],
        }
        return dropout_input(item) if self.is_input_dropout else item

    def sampling_label(self, index: int, metadata: str = "gt") -> Any:
        """What `BalancedSampler` balances a sample by, without its random transforms.

        Args:
            index: Of the sample.
            metadata: "gt": whether it has a labelled voxel; else the value of this metadata key.
        """
        window = self.indexes[index]
        case = self.cases[window.case]
        if metadata != "gt":
            return self.handlers[window.case].metadata[0].get(metadata)
        _, labels = self.entries[window.case].read(window)
        return bool((labels[: len(case.rater_paths)] >= 0.5).any())

    def fixed_steps(self, window: Window) -> dict[str, Step]:
        """What the preprocessing did to the slice or volume of a window, by class name."""
        fixed, plans = _plans(self.cases[window.case], self.recipe)
        plan = plans[window.start[2] if self.recipe.is_2d else 0]
        return {
            type(stage.transform).__name__: step
            for stage, (_, step) in zip(fixed.stages, plan.steps, strict=True)
        }

    def _open(self) -> Entries:
        cases = [_with_roi_label(case) for case in self.cases]
        recent = RecentCases(cases, self.recipe, self.budget)
        on_disk = self.disk_cache
        if on_disk is None:
            on_disk = prepared_bytes(cases, self.recipe) > self.budget
        if on_disk:
            folder = create_temp_directory()
            weakref.finalize(self, _remove, folder, os.getpid())
            return open_cases(cases, self.recipe, "disk", Path(folder))
        return [recent.entry(place) for place in range(len(cases))]

    def _list(self) -> list[Window]:
        windows: list[Window] = []
        for place, (case, entry) in enumerate(zip(self.cases, self.entries, strict=True)):
            # The ROI lies behind the labels (see `_with_roi_label`); filters do not count it.
            labelled = [row[: len(case.rater_paths)] for row in entry.stored.facts.labelled]
            facts = replace(entry.stored.facts, labelled=labelled)
            try:
                listed = list_windows(place, entry.stored.image_shape, facts, self.recipe)
            except DataError as error:
                raise DataError(f"{case.id}: {error}") from error
            windows += [window for window in self._kept_slices(place, listed) if self._keeps_patch(window)]
        return windows

    def _kept_slices(self, place: int, windows: list[Window]) -> list[Window]:
        """What a filter that looks at voxels leaves of the windows of a case; here all."""
        return windows

    def _keeps_patch(self, window: Window) -> bool:
        filter_fn = self.patch_filter_fn
        if filter_fn is None or (isinstance(filter_fn, PatchFilter) and not filter_fn.active):
            return True
        case = self.cases[window.case]
        image, labels = self.entries[window.case].read(window)
        hard = labels if self.recipe.soft_gt else labels >= 0.5
        return filter_fn({"input": list(image), "gt": [[hard[i] for i in group] for group in case.raters]})

    def _read(self, window: Window) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Image and labels of a window, and its ROI, as arrays with metadata."""
        case, entry = self.cases[window.case], self.entries[window.case]
        image, labels = entry.read(window)
        drawn = [group[int(torch.randint(len(group), ()))] for group in case.raters]
        # Of 2D slices [N, C, h, w], of volumes [C, H, W, D].
        shape = tuple(entry.stored.image_shape[2 if self.recipe.is_2d else 1 :])
        metadata = self._metadata(window, entry.stored.zooms, shape)
        gt_metadata = [metadata["gt"] for _ in drawn]
        seg_pair = {
            "input": list(image),
            "gt": [labels[place] for place in drawn] or None,
            "input_metadata": metadata["input"],
            "gt_metadata": gt_metadata,
        }
        if case.roi is None:
            return seg_pair, None
        return seg_pair, {"gt": [labels[-1]], "gt_metadata": [metadata["roi"]]}

    def _metadata(self, window: Window, zooms: Sequence[float], shape: tuple[int, ...]) -> dict[str, Any]:
        """Metadata per channel, of the labels and of the ROI of a window of a slice or volume of some shape."""
        is_2d = self.recipe.is_2d
        whole = is_2d and not self.recipe.length
        ends = [(a, a + n) for a, n in zip(window.start, window.size, strict=True)][: 2 if is_2d else 3]
        coord = None if whole else [end for pair in ends for end in pair]
        handler = self.handlers[window.case]
        pair = handler.get_pair_metadata(window.start[2] if is_2d else 0, coord)
        steps = self.fixed_steps(window)
        inputs = [_recorded(record, steps, zooms) for record in pair["input_metadata"]]
        for record in inputs:
            record["index_shape"] = shape
        return {
            "input": inputs,
            "gt": _typed(inputs[0], "gt"),
            "roi": _typed(inputs[0], "roi"),
        }

    def _target(self, labels: Sequence[np.ndarray] | None) -> torch.Tensor | None:
        if labels is None:
            return None
        stacked = _tensor(labels)
        if self.task == "classification":
            return (stacked >= 0.5).flatten(1).any(dim=1).to(torch.uint8)
        return stacked if self.recipe.soft_gt else (stacked >= 0.5).to(torch.uint8)


def _pipeline(compose: Compose | None) -> Pipeline:
    """The transforms of images, as the engine takes them."""
    if compose is None:
        return Pipeline(())
    kinds = compose.transform

    def stage(transform: ImedTransform) -> Stage:
        # Preprocessing changes the grid, so image, labels and ROI have the same steps.
        own = frozenset(kind for kind in KINDS if any(other is transform for other in kinds[kind]))
        return Stage(transform) if transform.fixed else Stage(transform, own)

    return Pipeline(tuple(map(stage, kinds["im"])))


def _with_roi_label(case: Case) -> Case:
    """The case with its ROI as one more class, so that it is prepared, cached and read like a label."""
    return case if case.roi is None else replace(case, targets=(*case.targets, (case.roi,)))


@lru_cache(maxsize=128)
def _plans(case: Case, recipe: Recipe) -> tuple[Pipeline, list[Plan]]:
    """The fixed steps and their plans, from the image's header (and the ROI where a crop follows it)."""
    grid = grid_of(case, recipe.slice_axis)
    box = box_in(case, grid)
    roi = None
    if recipe.fixed.needs_roi and case.roi is not None:
        label = read_label(case.roi)
        own = label.grid(recipe.slice_axis)
        # Pictures, which do not say where they lie, and other grids were looked at before.
        roi = grid.to_hwd(grid.align(own, label.data) if grid.matches(own) else label.data)
    return fixed_steps(grid, recipe, box), plan_fixed(grid, roi, recipe, box)


def _recorded(metadata: SampleMetadata, steps: Mapping[str, Step], zooms: Sequence[float]) -> SampleMetadata:
    """Metadata with what the preprocessing did, under the keys that transforms read when they are undone."""
    new = SampleMetadata({**dict(metadata.items()), "zooms": tuple(zooms), STEPS_KEY: dict(steps)})
    for step in steps.values():
        for key, value in step.drawn.items():
            new[key] = {**(new.get(key) or {}), **value} if isinstance(value, dict) else value
    return new


def _typed(metadata: SampleMetadata, data_type: str) -> SampleMetadata:
    return SampleMetadata({**dict(metadata.items()), "data_type": data_type})


def _tensor(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    tensor, _ = NumpyToTensor()(list(arrays))
    return tensor


def _remove(folder: str, pid: int) -> None:
    """Delete the cache; only the process that made it may."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)
