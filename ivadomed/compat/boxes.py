"""``ivadomed.object_detection.utils``: bounding boxes from a detection model, and crops to them.

Arrays and boxes are in HWD order; see ``ivadomed.geometry.boxes`` for the definition of a box. As in ivadomed 2.9.10,
functions that store values modify the given metadata and also return them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ivadomed.compat.transforms import Chain, Compose, UndoCompose
from ivadomed.detection.cascade import Boxes, completed_boxes, detect, read_boxes, write_boxes
from ivadomed.errors import DataError
from ivadomed.geometry.boxes import BOXES_FILE, adjust_bb_size, box_size, resize_to_multiple
from ivadomed.images.io import split_extension
from ivadomed.images.labels import read_label
from ivadomed.inference.detection import Detector, get_bounding_boxes, prior_box
from ivadomed.loader.cases.case import Case
from ivadomed.runtime.device import define_device
from ivadomed.transforms import BoundingBoxCrop
from ivadomed.transforms.fixed import box_crop, resampling_factors
from ivadomed.transforms.steps import KINDS

log = logging.getLogger(__name__)


def bounding_box_prior(
    fname_mask: str | os.PathLike[str],
    metadata: Any,
    slice_axis: int,
    safety_factor: Sequence[float] | None = None,
) -> Any:
    """Store the box around a mask in metadata.

    Args:
        fname_mask: Mask of the region of interest; for several objects, the box encloses all of them.
        metadata: Metadata of the image, a mapping; gets ``bounding_box``.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        safety_factor: Factor per dimension (H, W, D) that enlarges the box.

    Returns:
        ``metadata``.

    Raises:
        DataError: The mask is empty or cannot be read.
    """
    image = read_label(fname_mask)
    mask = image.grid(slice_axis).to_hwd(image.data)
    metadata["bounding_box"] = prior_box(mask, fname_mask, safety_factor)
    return metadata


def compute_bb_statistics(bounding_box_path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Log and return the minimum, maximum and mean extents of all boxes in a file.

    Args:
        bounding_box_path: JSON file, see ``generate_bounding_box_file``.

    Returns:
        {"height" | "width" | "depth" | "volume": {"min": ..., "max": ..., "mean": ...}} in voxels.

    Raises:
        DataError: The file cannot be read, or contains no box.
    """
    boxes = [box for found in read_boxes(bounding_box_path).values() for box in found]
    if not boxes:
        raise DataError(f"{os.fspath(bounding_box_path)}: holds no bounding box")
    sizes = np.array([box_size(box) for box in boxes], float)
    columns = dict(zip(("height", "width", "depth"), sizes.T, strict=True))
    columns["volume"] = sizes.prod(axis=1)
    statistics = {
        name: {"min": float(values.min()), "max": float(values.max()), "mean": float(values.mean())}
        for name, values in columns.items()
    }
    for name, values in statistics.items():
        log.info("%s: min %g, max %g, mean %g voxels", name, values["min"], values["max"], values["mean"])
    return statistics


def generate_bounding_box_file(
    subject_path_list: Sequence[str | os.PathLike[str]],
    model_path: str | os.PathLike[str],
    path_output: str | os.PathLike[str],
    gpu_id: int | None = 0,
    slice_axis: int = 0,
    contrast_lst: Sequence[str] | None = None,
    keep_largest_only: bool = True,
    safety_factor: Sequence[float] | None = None,
) -> Boxes:
    """Detect the object in images and write the boxes to ``path_output/bounding_boxes.json``.

    The file maps each image path to the boxes of its objects:
    {"img.nii.gz": [[x_min, x_max, y_min, y_max, z_min, z_max], ...]}. An image without any object gets a box
    around all of it, and a warning.

    Args:
        subject_path_list: Images.
        model_path: Folder of the detection model.
        path_output: Folder of the run.
        gpu_id: GPU to use where there is one; None for the CPU.
        slice_axis: 0 sagittal, 1 coronal, 2 axial; boxes are along H, W, D of this axis.
        contrast_lst: Use only images of these contrasts; None for all.
        keep_largest_only: One box, around the largest object.
        safety_factor: Factor per dimension (H, W, D) that enlarges the boxes.

    Returns:
        What was written.
    """
    detector = Detector.open(model_path, define_device(gpu_id)[1])
    cases = _cases(subject_path_list, contrast_lst)
    boxes = detect(detector, cases, slice_axis, keep_largest_only, safety_factor)
    write_boxes(Path(path_output) / BOXES_FILE, boxes)
    return boxes


def load_bounding_boxes(
    object_detection_params: Mapping[str, Any] | None,
    subject_path_list: Sequence[str | os.PathLike[str]],
    slice_axis: int,
    constrast_lst: Sequence[str] | None,
) -> Boxes:
    """Read ``bounding_boxes.json`` of the output folder; run the detection on images missing from it.

    Args:
        object_detection_params: ``path_output``, ``object_detection_path`` (None: no detection),
            ``safety_factor``, ``gpu_ids`` (a number or a list).
        subject_path_list: Images.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        constrast_lst: Use only images of these contrasts; None for all.

    Returns:
        Boxes by image path; empty without a file and a model.

    Raises:
        DataError: The file exists, but cannot be read.
    """
    params = object_detection_params or {}
    output, model = params.get("path_output"), params.get("object_detection_path")
    file = None if output is None else Path(output) / BOXES_FILE
    if file is None or not model:
        return read_boxes(file) if file is not None and file.is_file() else {}
    gpu = params.get("gpu_ids", 0)
    gpu_id = (gpu[0] if gpu else None) if isinstance(gpu, (list, tuple)) else gpu
    cases, device = _cases(subject_path_list, constrast_lst), define_device(gpu_id)[1]
    return completed_boxes(file, cases, model, slice_axis, device, params.get("safety_factor"))


def _cases(paths: Sequence[str | os.PathLike[str]], contrasts: Sequence[str] | None) -> list[Case]:
    """A case per image whose name has the suffix and the entities of one of the contrasts."""

    def is_wanted(name: str) -> bool:
        parts = name.split("_")
        wanted = [contrast.split("_") for contrast in contrasts or ()]
        return contrasts is None or any(w[-1] == parts[-1] and set(w) <= set(parts) for w in wanted)

    named = [(split_extension(Path(path).name)[0], Path(path)) for path in paths]
    return [Case(id=name, images=(path,)) for name, path in named if is_wanted(name)]


_PAIR_KEYS = ("input_metadata", "gt_metadata")
Pair = TypeVar("Pair", bound=Mapping[str, Any])


def resample_bounding_box(metadata: Pair, transform: Compose | None) -> Pair:
    """Convert the boxes in metadata to the voxel size of ``Resample``; see ``adjust_bb_size``.

    Args:
        metadata: ``input_metadata`` and ``gt_metadata``: lists of metadata with ``bounding_box`` and, of the
            first input, ``zooms`` in mm. Each gets the box on the new grid.
        transform: Transforms, with or without ``Resample``.

    Returns:
        ``metadata``.
    """
    first = metadata["input_metadata"][0]
    box, zooms = first["bounding_box"], tuple(first["zooms"])
    factors = resampling_factors(transform.transform["im"] if transform else (), box_size(box), zooms)
    for key in _PAIR_KEYS:
        for record in metadata.get(key) or ():
            if record is not None:
                record["bounding_box"] = adjust_bb_size(box, factors, resample=True)
    return metadata


def adjust_transforms(
    transforms: Compose | None,
    seg_pair: Mapping[str, Any],
    length: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
) -> Compose:
    """Add the crop to an image's box to the preprocessing, right after ``Resample``.

    Args:
        transforms: Preprocessing; None for none.
        seg_pair: ``input_metadata`` [...] with ``bounding_box`` on the grid of the file and ``zooms``.
        length: Patch size: the box is enlarged so that patches cover it exactly.
        stride: Distance of neighboring patches; ``length`` when not given.

    Returns:
        New transforms; the arguments are not modified.
    """
    return _with_crop(transforms, seg_pair["input_metadata"][0], length or (), stride or ())


def adjust_undo_transforms(
    transforms: UndoCompose, seg_pair: Mapping[str, Any], index: int = 0
) -> UndoCompose:
    """Add the crop to the box to the transforms that are undone, replacing an earlier one.

    Args:
        transforms: Transforms to undo; gets the crop.
        seg_pair: A batch: ``input_metadata`` [B][C] as the crop returned them; without ``bounding_box`` there
            was no crop.
        index: Sample in the batch.

    Returns:
        ``transforms``.
    """
    record = seg_pair["input_metadata"][index][0]
    if "bounding_box" in record:
        # The step recorded in the metadata is undone; the crop itself only names it.
        transforms.transforms = _with_crop(transforms.transforms, record)
    return transforms


def verify_metadata(metadata: Mapping[str, Any], has_bounding_box: bool) -> bool:
    """Return True if every input and label of a sample has a box.

    Args:
        metadata: ``input_metadata`` and ``gt_metadata``: lists of metadata.
        has_bounding_box: All samples before had one.
    """
    records = [record for key in _PAIR_KEYS for record in metadata.get(key) or () if record is not None]
    return has_bounding_box and all("bounding_box" in record for record in records)


def _with_crop(
    transforms: Compose | None, record: Any, length: Sequence[int] = (), stride: Sequence[int] = ()
) -> Compose:
    """Copy of the transforms with the crop to the box of a record, and no other."""
    new = Compose({})
    for kind in KINDS:
        given = transforms.transform[kind] if transforms else ()
        before = [transform for transform in given if not isinstance(transform, BoundingBoxCrop)]
        place, crop = box_crop(
            before, record["bounding_box"], record["zooms"], record.get("data_shape"), length, stride
        )
        new.transform[kind] = Chain([*before[:place], crop, *before[place:]])
    return new
