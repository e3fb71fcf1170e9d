"""From the file of bounding boxes to the cases of a cascade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ivadomed.errors import ConfigError, DataError
from ivadomed.geometry.boxes import BOXES_FILE, Boxes, find_box, read_boxes
from ivadomed.loader.cases.case import Case


def with_boxes(cases: Sequence[Case], boxes: Boxes) -> tuple[Case, ...]:
    """Give each case the box of its object.

    Raises:
        DataError: A case has none.
    """
    boxed = []
    for case in cases:
        box = find_box(boxes, case.images)
        if box is None:
            raise DataError(f"{case.images[0]}: has no box in {BOXES_FILE}; run the object detection again")
        boxed.append(replace(case, box=tuple(box)))
    return tuple(boxed)


def saved_boxes(object_detection_params: Mapping[str, Any] | None) -> Boxes | None:
    """Read the boxes that the documented data sets crop to; they do not run the detection themselves.

    Args:
        object_detection_params: ``object_detection_path`` and ``path_output``, the folder of the file.

    Returns:
        None when no detection model is named.

    Raises:
        ConfigError: A model is named, but there is no file of boxes.
        DataError: The file cannot be read.
    """
    params = object_detection_params or {}
    if not params.get("object_detection_path"):
        return None
    file = Path(params.get("path_output") or "") / BOXES_FILE
    if not file.is_file():
        raise ConfigError(
            f"object_detection_params.object_detection_path: names a model, but {file} does not exist; run the "
            "object detection first (ivadomed.detection.utils.load_bounding_boxes)"
        )
    return read_boxes(file)
