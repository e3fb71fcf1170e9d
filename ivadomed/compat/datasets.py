"""The 2D and 3D data sets of ivadomed 2.x: windows of prepared cases as dictionaries with metadata.

The package itself trains on ``samples.SampleDataset``; these classes give the same samples under the documented names
and keys, with metadata from which ``UndoCompose`` takes a prediction back.
"""

from __future__ import annotations

import copy
import os
import shutil
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ivadomed.compat.filters import PatchFilter, SliceFilter
from ivadomed.compat.loader import create_temp_directory, dropout_input, get_obj_size
from ivadomed.compat.pairs import FilenamePair, SampleMetadata, SegmentationPair, case_of
from ivadomed.compat.transforms import Compose, apply_preprocessing_transforms, as_pipeline
from ivadomed.errors import DataError
from ivadomed.geometry.windows import Window
from ivadomed.images.labels import read_label
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import box_in, grid_of
from ivadomed.loader.prepared.cache import Entries, RecentCases, open_cases
from ivadomed.loader.prepared.checks import prepared_bytes
from ivadomed.loader.prepared.files import StoredCase
from ivadomed.loader.prepared.prepare import Recipe, fixed_steps, list_windows, plan_fixed
from ivadomed.loader.slices import SliceRule
from ivadomed.transforms import NumpyToTensor, Pipeline, Step
from ivadomed.transforms.base import STEPS_KEY

MEMORY = 1 << 28
"""Bytes of prepared voxels that a process keeps, if caching is allowed."""

SampleFilter = Callable[[Mapping[str, Any]], bool]
"""Function of a sample (``input``, ``gt``); True to keep it."""

SliceChoice = SampleFilter | SliceRule | None
"""A `SliceFilter`, a function of a sample, or a rule."""


def rule_of(slice_filter_fn: SliceChoice) -> SliceRule:
    """The rule of a filter that does not depend on voxels; empty for a function."""
    if isinstance(slice_filter_fn, SliceFilter):
        return slice_filter_fn.rule
    return slice_filter_fn if isinstance(slice_filter_fn, SliceRule) else SliceRule(empty_input=False)


class SegmentationDataset(Dataset[dict[str, Any]]):
    """Base of the documented data sets.

    Args:
        filename_pairs: Tuples (input file names, label file names, ROI file name or None, metadata per input).
        recipe: Slice axis, windows and rule of the slice filter; its fixed steps are taken from ``transform``.
        transform: [preprocessing or None, transforms per sample], or the latter alone.
        patch_filter_fn: Patches to keep, seen after the preprocessing.
        task: "segmentation": ``gt`` is a mask; "classification": 1 where a class has a voxel, else 0.
        is_input_dropout: Blank a random part of the channels of each sample.
        disk_cache: True keeps prepared cases in a temporary folder, False keeps recently used ones in memory; None
            uses the disk if they do not fit into memory.
        budget: Bytes of prepared voxels to keep in memory.

    Attributes:
        filename_pairs: As given.
        handlers: One `SegmentationPair` per case.
        entries: The prepared cases, opened on first use.
        indexes: One `Window` per sample, listed on first use.
        prepro_transforms: Transforms before samples are taken, or None.
        transform: Transforms of each sample.
        task: As given.
        soft_gt: Labels keep values between 0 and 1.
        slice_axis: RAS axis along which slices are extracted: 0 sagittal, 1 coronal, 2 axial.
        cache: Prepared voxels may be kept in memory.
        n_contrasts: Channels of a sample.
        has_bounding_box: Every case is cropped to a bounding box.
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
        fixed, rule = as_pipeline(self.prepro_transforms), recipe.slice_filter
        if not (fixed.needs_roi or any(step.needs_roi for step in self.transform.transform["im"])):
            rule = replace(rule, min_roi_voxels=None)  # the region counts where it is cropped around
        self.recipe = replace(recipe, fixed=fixed, slice_filter=rule)
        self.patch_filter_fn, self.task, self.is_input_dropout = patch_filter_fn, task, is_input_dropout
        self.soft_gt, self.slice_axis = recipe.soft_gt, recipe.slice_axis
        self.cache, self.disk_cache, self.budget = budget > 0, disk_cache, budget
        self.cases = [case_of(pair) for pair in self.filename_pairs]
        self.handlers = [
            SegmentationPair(
                inputs, labels, metadata, recipe.slice_axis, False, self.prepro_transforms, recipe.soft_gt
            )
            for inputs, labels, _, metadata in self.filename_pairs
        ]

    @property
    def n_contrasts(self) -> int:
        """Channels of a sample."""
        return len(self.filename_pairs[0][0]) if self.filename_pairs else 0

    @property
    def has_bounding_box(self) -> bool:
        """True if every case is cropped to a bounding box."""
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
        """Label that `BalancedSampler` balances a sample by, without its random transforms.

        Args:
            index: Index of the sample.
            metadata: "gt": whether it has a labelled voxel; else the value of this metadata key.
        """
        window = self.indexes[index]
        case = self.cases[window.case]
        if metadata != "gt":
            return self.handlers[window.case].metadata[0].get(metadata)
        _, labels = self.entries[window.case].read(window)
        return bool((labels[: len(case.rater_files)] >= 0.5).any())

    @cached_property
    def entries(self) -> Entries:
        """The prepared cases, opened on first use."""
        # The ROI is an additional class, so it is prepared, cached and read like a label.
        cases = [
            case if case.roi is None else replace(case, targets=(*case.targets, (case.roi,)))
            for case in self.cases
        ]
        too_large = self.disk_cache is None and prepared_bytes(cases, self.recipe) > self.budget
        if not (self.disk_cache or too_large):
            recent = RecentCases(cases, self.recipe, self.budget)
            return [recent.entry(index) for index in range(len(cases))]
        folder = create_temp_directory()
        weakref.finalize(self, _remove, folder, os.getpid())
        return open_cases(cases, self.recipe, "disk", Path(folder))

    @cached_property
    def indexes(self) -> list[Window]:
        """The samples, listed on first use."""
        windows: list[Window] = []
        for index, (case, entry) in enumerate(zip(self.cases, self.entries, strict=True)):
            labelled = [
                row[: len(case.rater_files)] for row in entry.stored.facts.labelled
            ]  # without the ROI
            facts = replace(entry.stored.facts, labelled=labelled)
            try:
                listed = list_windows(index, entry.stored.image_shape, facts, self.recipe)
            except DataError as error:
                raise DataError(f"{case.id}: {error}") from error
            windows += filter(self._keeps_patch, self._kept_slices(index, listed))
        return windows

    def _kept_slices(self, case: int, windows: list[Window]) -> list[Window]:
        """Windows of a case kept by a voxel-dependent filter; here all."""
        return windows

    def _keeps_patch(self, window: Window) -> bool:
        filter_fn = self.patch_filter_fn
        if filter_fn is None or (isinstance(filter_fn, PatchFilter) and not filter_fn.active):
            return True
        image, labels = self.entries[window.case].read(window)
        labels = labels if self.recipe.soft_gt else labels >= 0.5
        raters = self.cases[window.case].raters
        return filter_fn({"input": list(image), "gt": [list(labels[list(group)]) for group in raters]})

    def _read(self, window: Window) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Image and labels of a window, and its ROI, as arrays with metadata."""
        case, entry = self.cases[window.case], self.entries[window.case]
        image, labels = entry.read(window)
        drawn = [group[int(torch.randint(len(group), ()))] for group in case.raters]
        records = self._metadata(window, entry.stored)
        shared = dict(records[0].items())
        seg_pair = {
            "input": list(image),
            "gt": [labels[rater] for rater in drawn] or None,
            "input_metadata": records,
            "gt_metadata": [SampleMetadata({**shared, "data_type": "gt"}) for _ in drawn],
        }
        if case.roi is None:
            return seg_pair, None
        roi_metadata = [SampleMetadata({**shared, "data_type": "roi"})]
        return seg_pair, {"gt": [labels[-1]], "gt_metadata": roi_metadata}

    def _metadata(self, window: Window, stored: StoredCase) -> list[SampleMetadata]:
        """Metadata per channel of a window, including the preprocessing of its slice or volume.

        The keys are those that transforms need to be undone.
        """
        is_2d, coord = self.recipe.is_2d, None
        if self.recipe.length or not is_2d:
            sides = list(zip(window.start, window.size, strict=True))[: 2 if is_2d else 3]
            coord = [end for start, size in sides for end in (start, start + size)]
        pair = self.handlers[window.case].get_pair_metadata(window.start[2] if is_2d else 0, coord)
        steps = _steps(self.cases[window.case], self.recipe)[window.start[2] if is_2d else 0]
        shared: dict[str, Any] = {
            "zooms": tuple(stored.zooms),
            "index_shape": tuple(stored.image_shape[2 if is_2d else 1 :]),  # [N, C, h, w] or [C, H, W, D]
            STEPS_KEY: dict(steps),
        }
        for step in steps.values():
            for key, value in step.drawn.items():
                shared[key] = {**shared.get(key, {}), **value} if isinstance(value, dict) else value
        return [SampleMetadata({**dict(record.items()), **shared}) for record in pair["input_metadata"]]

    def _target(self, labels: Sequence[np.ndarray] | None) -> torch.Tensor | None:
        if labels is None:
            return None
        stacked = _tensor(labels)
        if self.task == "classification":
            return (stacked >= 0.5).flatten(1).any(dim=1).to(torch.uint8)
        return stacked if self.recipe.soft_gt else (stacked >= 0.5).to(torch.uint8)


@lru_cache(maxsize=128)
def _steps(case: Case, recipe: Recipe) -> list[dict[str, Step]]:
    """Fixed steps by class name: per slice (2D), or of the volume. From the header, and the ROI where one is needed."""
    grid = grid_of(case, recipe.slice_axis)
    box = box_in(case, grid)
    roi = None
    if recipe.fixed.needs_roi and case.roi is not None:
        label = read_label(case.roi, soft=True, among=case.labels)
        own = label.grid(recipe.slice_axis)
        # Pictures, which have no position, and other grids were checked before.
        roi = grid.to_hwd(grid.align(own, label.data) if grid.matches(own) else label.data)
    names = [type(stage.transform).__name__ for stage in fixed_steps(grid, recipe, box).stages]
    plans = plan_fixed(grid, roi, recipe, box)
    return [dict(zip(names, (step for _, step in plan.steps), strict=True)) for plan in plans]


def _tensor(arrays: Sequence[np.ndarray]) -> torch.Tensor:
    tensor, _ = NumpyToTensor()(list(arrays))
    return tensor


def _remove(folder: str, pid: int) -> None:
    """Delete the cache, if this process created it."""
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


class MRI2DSegmentationDataset(SegmentationDataset):
    """Slices of images, or patches of them, see `SegmentationDataset` for the items.

    Args:
        filename_pairs: Tuples (input file names, label file names, ROI file name or None, metadata per input).
        length: Patch size [h, w] in voxels; none for whole slices.
        stride: Distance of neighboring patches; ``length`` when not given.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        nibabel_cache: Keep prepared images in memory if they fit; False keeps only the one in use.
        transform: [preprocessing or None, transforms per sample], e.g. of ``transforms.prepare_transforms``.
        slice_filter_fn: Slices to keep, a `SliceFilter` or a function of a sample as it was read.
        patch_filter_fn: Patches to keep, a `PatchFilter` or a function of a sample after the preprocessing.
        task: "segmentation" or "classification".
        roi_params: ``slice_filter_roi``: slices with fewer ROI voxels than this are discarded, if there
            is a `ROICrop`.
        soft_gt: Keep label values between 0 and 1.
        is_input_dropout: Blank a random part of the channels of each sample.
        disk_cache: Where prepared images are kept: True disk, False memory, None what they need.
    """

    def __init__(
        self,
        filename_pairs: Sequence[FilenamePair],
        length: Sequence[int] | None = None,
        stride: Sequence[int] | None = None,
        slice_axis: int = 2,
        nibabel_cache: bool = True,
        transform: Compose | Sequence[Compose | None] | None = None,
        slice_filter_fn: SampleFilter | None = None,
        patch_filter_fn: SampleFilter | None = None,
        task: str = "segmentation",
        roi_params: Mapping[str, Any] | None = None,
        soft_gt: bool = False,
        is_input_dropout: bool = False,
        disk_cache: bool | None = None,
    ) -> None:
        self.roi_thr = (roi_params or {}).get("slice_filter_roi")
        self.slice_filter_fn = slice_filter_fn
        self.length, self.stride = list(length or ()), list(stride or ())
        rule = replace(rule_of(slice_filter_fn), min_roi_voxels=self.roi_thr)
        size, step = tuple(self.length), tuple(self.stride)
        recipe = Recipe(Pipeline(), slice_axis, True, soft_gt, rule, length=size, stride=step)
        budget = MEMORY if nibabel_cache else 0
        super().__init__(
            filename_pairs, recipe, transform, patch_filter_fn, task, is_input_dropout, disk_cache, budget
        )

    @property
    def is_2d_patch(self) -> bool:
        """True if samples are patches of slices."""
        return bool(self.length)

    def load_filenames(self) -> None:
        """Prepare the images and list the samples now instead of on first use."""
        vars(self).pop("entries", None)
        self.prepare_indices()

    def prepare_indices(self) -> None:
        """List the samples: slices kept by the filters, and their patches."""
        vars(self).pop("indexes", None)
        len(self)  # lists them again

    def determine_cache_need(self, item: Any, n_slice: int) -> bool:
        """Return True if the data set does not fit into the allowed memory and needs the disk.

        Args:
            item: Data kept of one slice.
            n_slice: Slices of one image.
        """
        return get_obj_size(item) * n_slice * len(self.filename_pairs) > self.budget

    def _kept_slices(self, case: int, windows: list[Window]) -> list[Window]:
        filter_fn = self.slice_filter_fn
        if filter_fn is None or (isinstance(filter_fn, SliceFilter) and filter_fn.classifier is None):
            return windows  # `SliceRule` has done it
        pair = copy.copy(self.handlers[case])
        pair.cache = True  # until all slices have been checked
        kept = {z for z in np.unique([w.start[2] for w in windows]) if filter_fn(pair.get_pair_slice(int(z)))}
        return [window for window in windows if window.start[2] in kept]


class MRI3DSubVolumeSegmentationDataset(SegmentationDataset):
    """Patches of volumes, see `SegmentationDataset` for the items.

    Args:
        filename_pairs: Tuples (input file names, label file names, ROI file name or None, metadata per input).
        transform: [preprocessing or None, transforms per sample], e.g. of ``transforms.prepare_transforms``.
        length: Patch size [h, w, d] in voxels after the preprocessing.
        stride: Distance of neighboring patches; 0 stands for the length. The last patch of an axis is moved
            back to end with it.
        slice_axis: RAS axis that becomes the depth: 0 sagittal, 1 coronal, 2 axial.
        subvolume_filter_fn: Patches to keep, a `PatchFilter` or a function of a sample after the preprocessing.
        task: "segmentation" or "classification".
        soft_gt: Keep label values between 0 and 1.
        is_input_dropout: Blank a random part of the channels of each sample.
        disk_cache: Where prepared images are kept: True disk, False memory, None what they need.
    """

    def __init__(
        self,
        filename_pairs: Sequence[FilenamePair],
        transform: Compose | Sequence[Compose | None] | None = None,
        length: Sequence[int] = (64, 64, 64),
        stride: Sequence[int] = (0, 0, 0),
        slice_axis: int = 0,
        subvolume_filter_fn: SampleFilter | None = None,
        task: str = "segmentation",
        soft_gt: bool = False,
        is_input_dropout: bool = False,
        disk_cache: bool | None = True,
    ) -> None:
        self.length = list(length)
        self.stride = [step or size for step, size in zip(stride, length, strict=True)]
        size, step = tuple(self.length), tuple(self.stride)
        recipe = Recipe(Pipeline(), slice_axis, False, soft_gt, length=size, stride=step)
        super().__init__(
            filename_pairs, recipe, transform, subvolume_filter_fn, task, is_input_dropout, disk_cache
        )

    def __getitem__(self, subvolume_index: int) -> dict[str, Any]:
        """One patch, see `SegmentationDataset`."""
        return super().__getitem__(subvolume_index)

    def determine_cache_need(
        self, seg_pair: Mapping[str, Any], roi_pair: Mapping[str, Any] | None = None
    ) -> bool:
        """Return True if the data set does not fit into the allowed memory and needs the disk.

        Args:
            seg_pair: Data kept of the images and labels of one volume.
            roi_pair: Data kept of its ROI.
        """
        return get_obj_size((seg_pair, roi_pair)) * len(self.filename_pairs) > self.budget
