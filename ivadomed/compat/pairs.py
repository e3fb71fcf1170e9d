"""A case in the form of ivadomed 2.x: images and labels by file name, with their metadata."""

from __future__ import annotations

import os
from collections.abc import ItemsView, Iterable, KeysView, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import nibabel as nib
import numpy as np

from ivadomed.compat.transforms import Compose
from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import make_nifti, read_grid, read_image, split_extension
from ivadomed.images.labels import LabelFile, read_label
from ivadomed.images.volume_of import parse_image
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume, grid_of, pixel_size_mm, read_volume

FilenamePair: TypeAlias = Sequence[Any]
"""(input file names, label file names, ROI file name or None, metadata per input)."""


class SampleMetadata:
    """Metadata of one sample: voxel size, file names, and what the transforms drew.

    Args:
        d: Initial content; copied.

    Attributes:
        metadata: The content.
    """

    def __init__(self, d: Mapping[str, Any] | None = None) -> None:
        self.metadata: dict[str, Any] = dict(d or {})

    def __getitem__(self, key: str) -> Any:
        """Return the value of `key`."""
        return self.metadata[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set the value of `key`."""
        self.metadata[key] = value

    def __contains__(self, key: object) -> bool:
        """Tell whether `key` is set."""
        return key in self.metadata

    def __copy__(self) -> SampleMetadata:
        """Return a copy whose keys can be set without touching this one."""
        return SampleMetadata(self.metadata)

    def __repr__(self) -> str:
        """Show the content."""
        return f"SampleMetadata({self.metadata!r})"

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, `default` if it is not set."""
        return self.metadata.get(key, default)

    def items(self) -> ItemsView[str, Any]:
        """Return the (key, value) pairs."""
        return self.metadata.items()

    def keys(self) -> KeysView[str]:
        """Return the keys."""
        return self.metadata.keys()

    def _update(self, ref: Mapping[str, Any] | SampleMetadata, keys: Iterable[str]) -> None:
        """Take `keys` over from `ref` where they are missing or empty here."""
        for key in keys:
            if key in ref and (key not in self or not self[key]):
                self[key] = ref[key]


class SegmentationPair:
    """Images (channels) and labels (classes) on one grid. Files are read on demand.

    Args:
        input_filenames: One file per channel.
        gt_filenames: Per class a file, a list of files (several raters), or None (no voxel); None for no labels.
        metadata: Per channel a mapping, or one for all.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        cache: Keep the voxels once they were read.
        prepro_transforms: Steps that come after reading; kept for the caller.
        soft_gt: Keep label values between 0 and 1; otherwise labels are uint8, binarized at 0.5.

    Attributes:
        case: The same files as a `Case`.
        input_filenames: As given; so are the labels, the slice axis and what else is an argument.
        metadata: Per channel a dictionary.
        input_handle: Per channel the image, as a NIfTI image in memory, in RAS orientation.
        gt_handle: Per class its label, see ``read_file`` (a list for several raters, None without a file); empty
            without labels.
    """

    def __init__(
        self,
        input_filenames: Sequence[str | os.PathLike[str]],
        gt_filenames: Sequence[Any] | None,
        metadata: Any = None,
        slice_axis: int = 2,
        cache: bool = True,
        prepro_transforms: Compose | None = None,
        soft_gt: bool = False,
    ) -> None:
        self.input_filenames = [os.fspath(name) for name in input_filenames]
        self.gt_filenames = None if gt_filenames is None else list(gt_filenames)
        self.metadata = _per_channel(metadata, len(self.input_filenames))
        self.slice_axis = slice_axis
        self.cache = cache
        self.prepro_transforms = prepro_transforms
        self.soft_gt = soft_gt
        self.case = case_of((self.input_filenames, self.gt_filenames, None, self.metadata))
        self._volume: Volume | None = None

    @cached_property
    def grid(self) -> Grid:
        """Grid of the first channel; of a NIfTI file only the header is read."""
        return grid_of(self.case, self.slice_axis)

    @property
    def input_handle(self) -> list[nib.Nifti1Image]:
        """Image of each channel, read on demand."""
        return [nib.as_closest_canonical(self.read_file(name)) for name in self.input_filenames]

    @property
    def gt_handle(self) -> list[Any]:
        """Label of each class, read on demand."""

        def read(file: Any) -> Any:
            return file and nib.as_closest_canonical(self.read_file(file, is_gt=True))

        return [
            list(map(read, names)) if isinstance(names, (list, tuple)) else read(names)
            for names in self.gt_filenames or ()
        ]

    def get_pair_shapes(self) -> tuple[tuple[int, int, int], tuple[int, int, int] | None]:
        """Shapes of images and of labels in HWD order; None without labels.

        Raises:
            DataError: They differ.
        """
        paths = [*self.case.images, *(file.path for file in self.case.rater_files if file is not None)]
        for path in paths[1:]:
            shape = read_grid(path, self.slice_axis).hwd_shape
            if shape != self.grid.hwd_shape:
                raise DataError(f"{path}: shape {shape}, but {paths[0]} has {self.grid.hwd_shape}")
        return self.grid.hwd_shape, self.grid.hwd_shape if any(self.case.targets) else None

    def get_pair_data(self) -> tuple[list[np.ndarray], list[Any]]:
        """Images and labels as lists of [H, W, D]; a class with several raters is a list again."""
        volume = self._volume or read_volume(self.case, self.slice_axis, self.soft_gt)
        if self.cache:
            self._volume = volume
        assert volume.target is not None
        labels = volume.target.astype(np.float32 if self.soft_gt else np.uint8)
        return list(volume.image), [_one_or_all([labels[i] for i in group]) for group in self.case.raters]

    def get_pair_metadata(self, slice_index: int = 0, coord: Sequence[int] | None = None) -> dict[str, Any]:
        """Metadata of one slice, or of one patch.

        Args:
            slice_index: Slice of the image; 0 in 3D.
            coord: First and last-plus-one voxel per axis, [x_min, x_max, y_min, y_max, ...], or None.

        Returns:
            ``input_metadata``: one `SampleMetadata` per channel; ``gt_metadata``: one per class (a list of raters
            for several). ``zooms`` (mm) and ``data_shape`` are those of the image in HWD order.
        """
        place = {
            "zooms": self.grid.zooms,
            "data_shape": self.grid.hwd_shape,
            "slice_index": slice_index,
            "coord": None if coord is None else list(coord),
            "input_filenames": self.input_filenames,
            "gt_filenames": self.gt_filenames,
        }
        inputs = [SampleMetadata({**own, **place, "data_type": "im"}) for own in self.metadata]
        shared = {**self.metadata[0], **place, "data_type": "gt"}
        labels = [_one_or_all([SampleMetadata(shared) for _ in group]) for group in self.case.raters]
        return {"input_metadata": inputs, "gt_metadata": labels}

    def get_pair_slice(self, slice_index: int, gt_type: str = "segmentation") -> dict[str, Any]:
        """One slice.

        Args:
            slice_index: Along the slice axis.
            gt_type: "segmentation": labels are [H, W]; "classification": 1 where the slice has a labelled voxel.

        Returns:
            ``input``, ``gt``, ``input_metadata``, ``gt_metadata``, see ``get_pair_data``.
        """
        images, labels = self.get_pair_data()
        classify = gt_type == "classification"

        def cut(label: Any) -> Any:
            if isinstance(label, list):
                return [cut(rater) for rater in label]
            return int(label[..., slice_index].any()) if classify else label[..., slice_index]

        return {
            "input": [image[..., slice_index] for image in images],
            "gt": [cut(label) for label in labels],
            **self.get_pair_metadata(slice_index),
        }

    def read_file(self, filename: str | os.PathLike[str], is_gt: bool = False) -> nib.Nifti1Image:
        """Read an image, or a label as it is trained with, as a NIfTI image in memory.

        Args:
            filename: NIfTI or picture; of a picture, PixelSize of the metadata gives the voxel size.
            is_gt: It is a label.
        """
        pixel_size = pixel_size_mm(self.metadata[0], filename)
        if not is_gt:
            image = read_image(filename, pixel_size)
            return make_nifti(image.data, image.affine, image.header)
        label = read_label(LabelFile.parse(filename), pixel_size, self.soft_gt, self.case.labels)
        data = label.data if self.soft_gt else label.data.astype(np.uint8)
        return make_nifti(data, label.affine, label.header)

    def convert_file_to_nifti(
        self, filename: str | os.PathLike[str], extension: str, is_gt: bool = False
    ) -> nib.Nifti1Image:
        """Convert a picture in memory, see ``read_file``; nothing is written into the data set.

        Args:
            filename: The picture.
            extension: Kept for callers of 2.9.10; the file name says it.
            is_gt: It is a label.
        """
        return self.read_file(filename, is_gt)

    def get_microscopy_pixelsize(self, filename: str | os.PathLike[str]) -> tuple[float, float]:
        """Pixel size in mm along rows and columns, from PixelSize and PixelSizeUnits of the metadata.

        Raises:
            DataError: There is none.
        """
        size = pixel_size_mm(self.metadata[0], filename)
        if size is None:
            raise DataError(f"{os.fspath(filename)}: no PixelSize; add it to the JSON sidecar")
        return size


def case_of(pair: FilenamePair) -> Case:
    """The case that a tuple of file names describes.

    Args:
        pair: See ``FilenamePair``; the ROI may be a list of one name, and the metadata of the first channel may
            have a ``bounding_box``.
    """
    inputs, labels, roi, metadata = (*pair, None, None)[:4]
    images = tuple(map(parse_image, inputs))
    channels = _per_channel(metadata, len(images))
    return Case(
        id=split_extension(images[0].name)[0],
        images=images,
        targets=tuple(_files(names) or None for names in labels or ()),
        subject=str(channels[0].get("participant_id", "")),
        contrasts=tuple(str(own["contrast"]) for own in channels if "contrast" in own),
        roi=next(iter(_files(roi)), None),
        box=tuple(channels[0]["bounding_box"]) if "bounding_box" in channels[0] else None,
        metadata=channels[0],
    )


def filename_pair_of(case: Case) -> tuple[list[str], list[Any], list[str] | None, list[SampleMetadata]]:
    """The tuple of file names that describes a case, the inverse of ``case_of``."""
    labels = [
        None if raters is None else _one_or_all([str(file) for file in raters]) for raters in case.targets
    ]
    shared = {**case.metadata, **({} if case.box is None else {"bounding_box": list(case.box)})}
    metadata = [SampleMetadata({**shared, "contrast": contrast}) for contrast in case.contrasts]
    roi = None if case.roi is None else [str(case.roi)]
    return [str(path) for path in case.images], labels, roi, metadata


def _files(names: Any) -> tuple[LabelFile, ...]:
    """One label, several or none."""
    if names is None or isinstance(names, (str, os.PathLike)):
        return () if names is None else (LabelFile.parse(names),)
    return tuple(map(LabelFile.parse, names))


def _one_or_all(raters: list[Any]) -> Any:
    return raters[0] if len(raters) == 1 else raters


def _per_channel(metadata: Any, n: int) -> list[dict[str, Any]]:
    records = (list(metadata) if isinstance(metadata, (list, tuple)) else [metadata] * n) or [None] * n
    if len(records) != n:
        raise DataError(f"metadata of {len(records)} channels given for {n} input files; give one for each")
    return [{} if record is None else dict(record.items()) for record in records]
