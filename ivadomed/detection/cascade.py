"""The cascade of the commands: every case gets the box of its object, found once per output folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from ivadomed.detection.boxes import Boxes, find_box, read_boxes, with_boxes, write_boxes
from ivadomed.geometry.boxes import BOXES_FILE, box_size
from ivadomed.inference.detection import Detector
from ivadomed.loader.cases.case import Case
from ivadomed.runtime.terminal import hidden_bar

if TYPE_CHECKING:
    from ivadomed.config.schema.loader import ObjectDetection

log = logging.getLogger(__name__)


def add_boxes(
    cases: Sequence[Case], params: ObjectDetection, folder: Path, slice_axis: int, device: torch.device
) -> tuple[Case, ...]:
    """Give cases the boxes of ``bounding_boxes.json``; detect the object in those that are not in it.

    Args:
        cases: Cases of the second model.
        params: Detection model and safety factor; without a model the cases stay as they are.
        folder: Output folder of the run, with the file.
        slice_axis: Slice axis of the second model.
        device: Device of the detection.

    Raises:
        DataError: An image or the file of boxes cannot be used.
        ModelError: The detection model cannot be used.
    """
    if params.object_detection_path is None:
        return tuple(cases)
    file = folder / BOXES_FILE
    boxes = read_boxes(file) if file.is_file() else {}
    missing = [case for case in cases if find_box(boxes, case.images) is None]
    if len(missing) < len(cases):
        log.info(
            "Bounding boxes of %d images are those of %s; delete it to detect again.",
            len(cases) - len(missing),
            file,
        )
    if missing:
        detector = Detector.open(params.object_detection_path, device)
        found = detect(detector, missing, slice_axis, safety_factor=params.safety_factor)
        boxes = {**boxes, **found}
        write_boxes(file, boxes)
        size = np.mean([box_size(of_image[0]) for of_image in found.values()], axis=0)
        log.info(
            "Bounding boxes of %d images found by %s, on average %.0f x %.0f x %.0f voxels: %s",
            *(len(found), detector.folder, *size, file),
        )
    return with_boxes(cases, boxes)


def detect(
    detector: Detector,
    cases: Sequence[Case],
    slice_axis: int,
    keep_largest: bool = True,
    safety_factor: Sequence[float] | None = None,
) -> Boxes:
    """Boxes by the path of the image that was looked at, with a progress bar; see ``Detector.run``."""
    found = detector.run(cases, slice_axis, keep_largest, safety_factor)
    progress = tqdm(
        found, desc="Object detection", total=len(cases), unit="image", leave=False, disable=hidden_bar()
    )
    return {
        os.fspath(detector.images_for(case)[0]): boxes for case, boxes in zip(cases, progress, strict=True)
    }
