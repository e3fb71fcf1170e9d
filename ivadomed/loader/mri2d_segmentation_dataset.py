"""The documented 2D data set: slices, or patches of slices."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ivadomed.geometry.windows import Window
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.segmentation_dataset import MEMORY, SampleFilter, SegmentationDataset
from ivadomed.loader.segmentation_pair import FilenamePair
from ivadomed.loader.slice_filter import SliceFilter, SliceRule
from ivadomed.loader.utils import get_obj_size
from ivadomed.transforms import Compose, Pipeline


class MRI2DSegmentationDataset(SegmentationDataset):
    """Slices of images, or patches of them, see `SegmentationDataset` for the items.

    Args:
        filename_pairs: Tuples (input file names, label file names, ROI file name or None, metadata per input).
        length: Patch size [h, w] in voxels; none for whole slices.
        stride: Distance of neighbouring patches; ``length`` when not given.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        nibabel_cache: Keep prepared images in memory as far as they fit; False keeps the one in use.
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
        rule = SliceRule(empty_input=False)
        if isinstance(slice_filter_fn, SliceFilter):
            rule = slice_filter_fn.rule
        self.roi_thr = (roi_params or {}).get("slice_filter_roi")
        self.slice_filter_fn = slice_filter_fn
        self.length, self.stride = list(length or ()), list(stride or ())
        recipe = Recipe(
            Pipeline(),
            slice_axis=slice_axis,
            soft_gt=soft_gt,
            slice_filter=replace(rule, min_roi_voxels=self.roi_thr),
            length=tuple(self.length),
            stride=tuple(self.stride),
        )
        budget = MEMORY if nibabel_cache else 0
        super().__init__(
            filename_pairs, recipe, transform, patch_filter_fn, task, is_input_dropout, disk_cache, budget
        )

    @property
    def is_2d_patch(self) -> bool:
        """Whether samples are patches of slices."""
        return bool(self.length)

    def load_filenames(self) -> None:
        """Prepare the images and list the samples; done on first use otherwise."""
        self._entries = self._open()
        self.prepare_indices()

    def prepare_indices(self) -> None:
        """List the samples: slices that the filters leave, and their patches."""
        self._indexes = self._list()

    def determine_cache_need(self, item: Any, n_slice: int) -> bool:
        """Whether the data set needs the disk, because it does not fit in the memory it may take.

        Args:
            item: What is kept of one slice.
            n_slice: Slices of one image.
        """
        return get_obj_size(item) * n_slice * len(self.filename_pairs) > self.budget

    def _kept_slices(self, place: int, windows: list[Window]) -> list[Window]:
        filter_fn = self.slice_filter_fn
        if filter_fn is None or (isinstance(filter_fn, SliceFilter) and filter_fn.classifier is None):
            return windows  # `SliceRule` has done it
        pair = copy.copy(self.handlers[place])
        pair.cache = True  # until all slices were looked at
        kept = {z for z in np.unique([w.start[2] for w in windows]) if filter_fn(pair.get_pair_slice(int(z)))}
        return [window for window in windows if window.start[2] in kept]
