"""First step of a cascade: a packaged model that detects an object, and bounding boxes around it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import find_objects

from ivadomed.errors import ConfigError, DataError, ModelError
from ivadomed.geometry.boxes import Box, adjust_bb_size, box_of_slices, whole_image
from ivadomed.images.volume_of import ImagePath
from ivadomed.inference.outputs import finish
from ivadomed.inference.packaged import PackagedModel
from ivadomed.inference.prediction import Prediction
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import read_ahead
from ivadomed.postprocessing import keep_largest_object, threshold_predictions
from ivadomed.postprocessing.objects import EDGES, bounding_box, label_objects, object_sizes

if TYPE_CHECKING:
    from ivadomed.config import RunConfig

log = logging.getLogger(__name__)

KEY = "object_detection_params.object_detection_path"
_THRESHOLD = 0.5  # of a soft mask


@dataclass(frozen=True, eq=False)
class Detector:
    """A detection model, loaded once.

    Args:
        folder: Folder of the packaged model.
        config: Configuration of the model.
        model: The loaded model.
    """

    folder: Path
    config: RunConfig
    model: PackagedModel

    @classmethod
    def open(cls, folder: str | os.PathLike[str], device: torch.device) -> Detector:
        """Load a packaged model.

        Raises:
            ConfigError: The model is itself the second step of a cascade.
            ModelError: The folder or one of its files is missing or damaged.
        """
        try:
            model = PackagedModel.open(folder, device)
        except ModelError as error:
            raise ModelError(f"{KEY}: {error}") from error
        if model.config.object_detection_params.object_detection_path is not None:
            raise ConfigError(
                f"{KEY}: {os.fspath(folder)} works in the boxes of its own detection model; "
                "expected a model that works on whole images"
            )
        return cls(Path(folder), model.config, model)

    def run(
        self,
        cases: Sequence[Case],
        slice_axis: int,
        keep_largest: bool = True,
        safety_factor: Sequence[float] | None = None,
    ) -> Iterator[list[Box]]:
        """Yield the boxes of the objects of each case, largest first; batches are filled across cases.

        An image without any object gets a box around the whole image, and a warning.

        Args:
            cases: Images, see ``images_for``.
            slice_axis: 0 sagittal, 1 coronal, 2 axial; boxes are along H, W, D of this axis.
            keep_largest: One box, around the largest object.
            safety_factor: Factor per dimension (H, W, D) that enlarges the boxes.

        Raises:
            DataError: An image is unusable.
        """
        inputs = [self._shown(case) for case in cases]
        volumes = read_ahead(inputs, self.model.slice_axis, with_target=False)
        for prediction in self.model.predict(volumes):
            mask = self._mask(prediction, slice_axis)
            boxes = get_bounding_boxes(keep_largest_object(mask) if keep_largest else mask)
            if not boxes:
                image = prediction.case.images[0]
                log.warning("%s: %s found no object; the whole image is used.", image, self.folder)
                yield [whole_image(mask.shape)]
            else:
                yield [adjust_bb_size(box, safety_factor) if safety_factor else box for box in boxes]

    def images_for(self, case: Case) -> tuple[ImagePath, ...]:
        """Images of a case used by the model: the channels with its contrasts, in its order.

        A model with one channel uses the first image of a contrast it knows, else the first image.

        Raises:
            DataError: A channel of the model is missing.
        """
        known = dict(zip(case.contrasts, case.images, strict=False))
        wanted = self.config.loader_parameters.contrast_params.training_validation
        if self.config.in_channel == 1:
            familiar = (image for contrast, image in known.items() if contrast in wanted)
            return (next(familiar, case.images[0]),)
        missing = [contrast for contrast in wanted if contrast not in known]
        if missing:
            raise DataError(
                f"{case.id}: the detection model {self.folder} takes {', '.join(wanted)}, of which the image has "
                f"no {', '.join(missing)}; its contrasts are {', '.join(known) or 'not known'}"
            )
        return tuple(known[contrast] for contrast in wanted)

    def _shown(self, case: Case) -> Case:
        """The part of a case used by the model."""
        images = self.images_for(case)
        contrasts = dict(zip(case.images, case.contrasts, strict=False))
        return Case(
            id=case.id,
            images=images,
            subject=case.subject,
            contrasts=tuple(contrasts[image] for image in images if image in contrasts),
            metadata=case.metadata,
        )

    def _mask(self, prediction: Prediction, slice_axis: int) -> np.ndarray:
        """Mask [H, W, D] of the union of all classes."""
        data = finish(prediction, self.config.postprocessing.arguments)
        mask = threshold_predictions(data.max(axis=-1), _THRESHOLD)
        return replace(prediction.grid, slice_axis=slice_axis).to_hwd(mask)


def get_bounding_boxes(mask: np.ndarray) -> list[Box]:
    """Boxes around the objects of a mask; voxels that share a face or an edge are connected.

    Args:
        mask: [H, W, D]; nonzero voxels belong to an object.

    Returns:
        One box per object, largest object first; empty for an empty mask.

    Raises:
        DataError: The mask does not have three axes.
    """
    mask = np.asarray(mask)
    if mask.ndim != 3:
        raise DataError(f"get_bounding_boxes: a mask [H, W, D] expected, got shape {mask.shape}")
    labels, count = label_objects(mask, EDGES)
    boxes = [box_of_slices(slices) for slices in find_objects(labels.astype(np.int32, copy=False), count)]
    return [boxes[i] for i in np.argsort(-object_sizes(labels, count), kind="stable")]


def prior_box(
    mask: np.ndarray, path: str | os.PathLike[str], safety_factor: Sequence[float] | None = None
) -> Box:
    """Box around all objects of a mask.

    Args:
        mask: [H, W, D]; thresholded at 0.5.
        path: File of the mask, for the error.
        safety_factor: Factor per dimension that enlarges the box.

    Raises:
        DataError: The mask is empty.
    """
    slices = bounding_box(mask >= _THRESHOLD)
    if slices is None:
        raise DataError(f"{os.fspath(path)}: the mask is empty, so it has no bounding box")
    box = box_of_slices(slices)
    return adjust_bb_size(box, safety_factor) if safety_factor else box
