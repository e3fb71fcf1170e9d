"""Model cascade: each case is cropped to the bounding box of its object, detected once per output folder.

Boxes are stored in one file of the output folder, which the documented data sets also read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.boxes import BOXES_FILE, Box, box_size
from ivadomed.images.files import parse_json, write_json
from ivadomed.inference.detection import Detector
from ivadomed.loader.cases.case import Case
from ivadomed.runtime.terminal import hidden_bar

log = logging.getLogger(__name__)

Boxes = dict[str, list[Box]]
"""Image path -> boxes of its objects, the largest object first."""

_SHOWN = 500
"""Maximum length of a key; it may be longer than any path."""
_FARTHEST = 2**31
"""No voxel has a larger index."""


def with_boxes(cases: Sequence[Case], boxes: Boxes) -> tuple[Case, ...]:
    """Attach to each case the box of its object.

    Raises:
        DataError: A case has no box.
    """
    boxed = []
    for case in cases:
        box = find_box(boxes, case.images)
        if box is None:
            raise DataError(f"{case.images[0]}: has no box in {BOXES_FILE}; run the object detection again")
        boxed.append(replace(case, box=tuple(box)))
    return tuple(boxed)


def saved_boxes(object_detection_params: Mapping[str, Any] | None) -> Boxes | None:
    """Read the boxes to which the documented data sets crop; they do not run the detection themselves.

    Args:
        object_detection_params: ``object_detection_path`` and ``path_output``, the folder of the file.

    Returns:
        The boxes; None if no detection model is named.

    Raises:
        ConfigError: A model is named, but the file of boxes is missing.
        DataError: The file cannot be read.
    """
    params = object_detection_params or {}
    if not params.get("object_detection_path"):
        return None
    file = Path(params.get("path_output") or "") / BOXES_FILE
    if not file.is_file():
        raise ConfigError(
            f"object_detection_params.object_detection_path: names a model, but {file} does not exist; run the "
            "object detection first (ivadomed.object_detection.utils.load_bounding_boxes)"
        )
    return read_boxes(file)


def find_box(boxes: Mapping[str, Sequence[Box]], paths: Iterable[str | os.PathLike[str]]) -> Box | None:
    """Box of the largest object of the first image that has one; None if none has.

    The file may name an image by its path relative to the working directory, as in ivadomed 2.9.10.
    """
    for path in paths:
        found = boxes.get(os.fspath(path)) or boxes.get(os.path.relpath(path))
        if found:
            return found[0]
    return None


def read_boxes(path: str | os.PathLike[str]) -> Boxes:
    """Read a file of boxes: one box or a list of boxes per image.

    Raises:
        DataError: The file cannot be read or has other content.
    """
    try:
        content = parse_json(Path(path).read_text(encoding="utf-8"), unique=True)
    except (OSError, ValueError) as error:
        raise DataError(f"{os.fspath(path)}: not a readable file of bounding boxes ({error})") from error
    if not isinstance(content, dict):
        raise DataError(f"{os.fspath(path)}: expected {{image path: boxes}}, got a {type(content).__name__}")
    return {image: _boxes(value, f"{os.fspath(path)}: {image[:_SHOWN]}") for image, value in content.items()}


def write_boxes(path: str | os.PathLike[str], boxes: Mapping[str, Sequence[Sequence[int]]]) -> None:
    """Write boxes as JSON, atomically."""
    write_json(path, {image: [list(map(int, box)) for box in found] for image, found in boxes.items()})


def _boxes(value: Any, place: str) -> list[Box]:
    boxes = [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value
    if not isinstance(boxes, list) or not all(_is_box(box) for box in boxes):
        raise DataError(
            f"{place}: {shortened(value)} is not a bounding box; expected [x_min, x_max, y_min, y_max, z_min, z_max] "
            "in whole voxels, or a list of such boxes"
        )
    return boxes


def _is_box(box: Any) -> bool:
    if not isinstance(box, list) or len(box) != 6:
        return False
    if not all(type(end) is int and abs(end) <= _FARTHEST for end in box):
        return False
    return all(low <= high for low, high in zip(box[::2], box[1::2], strict=True))


if TYPE_CHECKING:
    from ivadomed.config.schema.loader import ObjectDetection


def add_boxes(
    cases: Sequence[Case], params: ObjectDetection, folder: Path, slice_axis: int, device: torch.device
) -> tuple[Case, ...]:
    """Attach the boxes of ``bounding_boxes.json`` to cases; run the detection on cases missing from it.

    Args:
        cases: Cases of the second model.
        params: Detection model and safety factor; without a model, cases are returned unchanged.
        folder: Output folder of the run, which contains the file.
        slice_axis: Slice axis of the second model.
        device: Device of the detection.

    Raises:
        DataError: An image or the file of boxes is unusable.
        ModelError: The detection model is unusable.
    """
    if params.object_detection_path is None:
        return tuple(cases)
    model, file = params.object_detection_path, folder / BOXES_FILE
    return with_boxes(cases, completed_boxes(file, cases, model, slice_axis, device, params.safety_factor))


def completed_boxes(
    file: Path,
    cases: Sequence[Case],
    model: str | os.PathLike[str],
    slice_axis: int,
    device: torch.device,
    safety_factor: Sequence[float] | None = None,
) -> Boxes:
    """Boxes of a file, completed by detection on cases missing from it; new boxes are added to the file.

    Args:
        file: File of boxes; it may be missing.
        cases: Cases that need a box.
        model: Folder of the detection model.
        slice_axis: Axis of the boxes, see ``Detector.run``.
        device: Device of the detection.
        safety_factor: See ``Detector.run``.
    """
    boxes = read_boxes(file) if file.is_file() else {}
    missing = [case for case in cases if find_box(boxes, case.images) is None]
    if len(missing) < len(cases):
        log.info(
            "Bounding boxes of %d images were read from %s; delete it to detect again.",
            len(cases) - len(missing),
            file,
        )
    if missing:
        detector = Detector.open(model, device)
        found = detect(detector, missing, slice_axis, safety_factor=safety_factor)
        boxes = {**boxes, **found}
        write_boxes(file, boxes)
        size = np.mean([box_size(of_image[0]) for of_image in found.values()], axis=0)
        log.info(
            "Bounding boxes of %d images found by %s, on average %.0f x %.0f x %.0f voxels: %s",
            *(len(found), detector.folder, *size, file),
        )
    return boxes


def detect(
    detector: Detector,
    cases: Sequence[Case],
    slice_axis: int,
    keep_largest: bool = True,
    safety_factor: Sequence[float] | None = None,
) -> Boxes:
    """Detect boxes, by path of the image, with a progress bar; see ``Detector.run``."""
    found = detector.run(cases, slice_axis, keep_largest, safety_factor)
    progress = tqdm(
        found, desc="Object detection", total=len(cases), unit="image", leave=False, disable=hidden_bar()
    )
    return {
        os.fspath(detector.images_for(case)[0]): boxes for case, boxes in zip(cases, progress, strict=True)
    }
