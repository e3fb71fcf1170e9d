"""Bounding boxes from the predictions of a detection model, and the crops made of them.

Arrays and boxes are in HWD order; see ``ivadomed.geometry.boxes`` for what a box is. Functions that add a box to
metadata change the metadata they are given, as those of ivadomed 2.9.10, and return them too.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed.detection.boxes import Boxes, find_box, read_boxes, write_boxes
from ivadomed.detection.cascade import detect
from ivadomed.detection.crops import (
    adjust_transforms,
    adjust_undo_transforms,
    resample_bounding_box,
    verify_metadata,
)
from ivadomed.errors import DataError
from ivadomed.geometry.boxes import BOXES_FILE, adjust_bb_size, box_size, resize_to_multiple
from ivadomed.images.io import read_label, split_extension
from ivadomed.inference.detection import Detector, get_bounding_boxes, prior_box
from ivadomed.loader.cases.case import Case
from ivadomed.runtime.device import define_device

__all__ = [
    "adjust_bb_size",
    "adjust_transforms",
    "adjust_undo_transforms",
    "bounding_box_prior",
    "compute_bb_statistics",
    "generate_bounding_box_file",
    "get_bounding_boxes",
    "load_bounding_boxes",
    "resample_bounding_box",
    "resize_to_multiple",
    "verify_metadata",
]

log = logging.getLogger(__name__)


def bounding_box_prior(
    fname_mask: str | os.PathLike[str],
    metadata: Any,
    slice_axis: int,
    safety_factor: Sequence[float] | None = None,
) -> Any:
    """Store the box around a mask in metadata.

    Args:
        fname_mask: Mask of the region of interest; of several objects, the box that holds them all counts.
        metadata: Of the image, a mapping; gets ``bounding_box``.
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
    """Minimum, maximum and mean of the extents of all boxes in a file, logged and returned.

    Args:
        bounding_box_path: JSON file, see ``generate_bounding_box_file``.

    Returns:
        {"height" | "width" | "depth" | "volume": {"min": ..., "max": ..., "mean": ...}} in voxels.

    Raises:
        DataError: The file cannot be read, or holds no box.
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
    paths = _of_contrasts(subject_path_list, contrast_lst)
    boxes = _detect_all(paths, model_path, gpu_id, slice_axis, keep_largest_only, safety_factor)
    write_boxes(Path(path_output) / BOXES_FILE, boxes)
    return boxes


def load_bounding_boxes(
    object_detection_params: Mapping[str, Any] | None,
    subject_path_list: Sequence[str | os.PathLike[str]],
    slice_axis: int,
    constrast_lst: Sequence[str] | None,
) -> Boxes:
    """Read ``bounding_boxes.json`` of the output folder; detect the object in images that are not in it.

    Args:
        object_detection_params: ``path_output``, ``object_detection_path`` (None: no detection),
            ``safety_factor``, ``gpu_ids`` (a number or a list).
        subject_path_list: Images.
        slice_axis: 0 sagittal, 1 coronal, 2 axial.
        constrast_lst: Use only images of these contrasts; None for all.

    Returns:
        Boxes by image path; empty without a file and a model.

    Raises:
        DataError: There is a file, but it cannot be read.
    """
    params = object_detection_params or {}
    output = params.get("path_output")
    file = None if output is None else Path(output) / BOXES_FILE
    known = read_boxes(file) if file is not None and file.is_file() else {}
    missing = [
        path for path in _of_contrasts(subject_path_list, constrast_lst) if find_box(known, [path]) is None
    ]
    if not missing or file is None or not params.get("object_detection_path"):
        return known
    gpu = params.get("gpu_ids", 0)
    gpu_id = (gpu[0] if gpu else None) if isinstance(gpu, (list, tuple)) else gpu
    model, factor = params["object_detection_path"], params.get("safety_factor")
    boxes = {**known, **_detect_all(missing, model, gpu_id, slice_axis, True, factor)}
    write_boxes(file, boxes)
    return boxes


def _of_contrasts(paths: Sequence[str | os.PathLike[str]], contrasts: Sequence[str] | None) -> list[str]:
    """The images whose name has the suffix and the entities of one of the contrasts."""

    def is_wanted(path: str | os.PathLike[str]) -> bool:
        parts = Path(split_extension(path)[0]).name.split("_")
        wanted = [contrast.split("_") for contrast in contrasts or ()]
        return contrasts is None or any(w[-1] == parts[-1] and set(w) <= set(parts) for w in wanted)

    return [os.fspath(path) for path in paths if is_wanted(path)]


def _detect_all(
    paths: Sequence[str],
    model: str | os.PathLike[str],
    gpu_id: int | None,
    slice_axis: int,
    keep_largest: bool,
    safety_factor: Sequence[float] | None,
) -> Boxes:
    detector = Detector.open(model, define_device(gpu_id)[1])
    cases = [Case(id=split_extension(Path(path).name)[0], images=(Path(path),)) for path in paths]
    return detect(detector, cases, slice_axis, keep_largest, safety_factor)
