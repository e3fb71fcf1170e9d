"""The documented 3D data set: patches of volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.segmentation_dataset import SampleFilter, SegmentationDataset
from ivadomed.loader.segmentation_pair import FilenamePair
from ivadomed.loader.utils import get_obj_size
from ivadomed.transforms import Compose, Pipeline


class MRI3DSubVolumeSegmentationDataset(SegmentationDataset):
    """Patches of volumes, see `SegmentationDataset` for the items.

    Args:
        filename_pairs: Tuples (input file names, label file names, ROI file name or None, metadata per input).
        transform: [preprocessing or None, transforms per sample], e.g. of ``transforms.prepare_transforms``.
        length: Patch size [h, w, d] in voxels after the preprocessing.
        stride: Distance of neighbouring patches; 0 stands for the length. The last patch of an axis is moved
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
        recipe = Recipe(
            Pipeline(),
            slice_axis=slice_axis,
            is_2d=False,
            soft_gt=soft_gt,
            length=tuple(self.length),
            stride=tuple(self.stride),
        )
        super().__init__(
            filename_pairs, recipe, transform, subvolume_filter_fn, task, is_input_dropout, disk_cache
        )

    def __getitem__(self, subvolume_index: int) -> dict[str, Any]:
        """One patch, see `SegmentationDataset`."""
        return super().__getitem__(subvolume_index)

    def determine_cache_need(
        self, seg_pair: Mapping[str, Any], roi_pair: Mapping[str, Any] | None = None
    ) -> bool:
        """Whether the data set needs the disk, because it does not fit in the memory it may take.

        Args:
            seg_pair: What is kept of the images and labels of one volume.
            roi_pair: What is kept of its ROI.
        """
        return get_obj_size((seg_pair, roi_pair)) * len(self.filename_pairs) > self.budget
