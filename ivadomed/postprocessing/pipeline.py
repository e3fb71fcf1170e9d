"""The postprocessing section of the configuration, run step by step in the user's order."""

from __future__ import annotations

import difflib
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ivadomed.errors import ConfigError, DataError
from ivadomed.postprocessing.masks import (
    fill_holes,
    keep_largest_object,
    mask_predictions,
    remove_small_objects,
    threshold_predictions,
)
from ivadomed.postprocessing.objects import EDGES, binary_structure, minimum_voxels, per_class

STEPS = (
    "remove_noise",
    "keep_largest",
    "binarize_prediction",
    "binarize_maxpooling",
    "uncertainty",
    "fill_holes",
    "remove_small",
)

# In these files a high value means that the samples agree; in all others, that they do not.
CONFIDENCE_SUFFIXES = ("_unc-iou.nii.gz", "_soft.nii.gz")


class Postprocessing:
    """Clean a prediction.

    Args:
        postprocessing_params: Step name to its parameters, in the order in which the steps run:
            ``{"binarize_prediction": {"thr": 0.5}, "keep_largest": {}}``. Known steps are the methods below.
        data_pred: [H, W, D] or [H, W, D, C], values in [0, 1]; D may be 1. It is not changed.
        dim_lst: Voxel size in mm along H, W, D.
        filename_prefix: Path that the suffix of the uncertainty file continues.

    Attributes:
        data_pred: The result of the steps so far.
    """

    def __init__(
        self,
        postprocessing_params: Mapping[str, Mapping[str, Any] | None] | None,
        data_pred: np.ndarray,
        dim_lst: Sequence[float],
        filename_prefix: str | os.PathLike[str],
    ) -> None:
        self.postprocessing_dict = dict(postprocessing_params or {})
        self.data_pred = np.asarray(data_pred)
        self.px, self.py, self.pz = (*(float(zoom) for zoom in dim_lst), 1.0)[:3]
        self.filename_prefix = filename_prefix
        self.bin_struct = binary_structure(EDGES)

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.data_pred.shape[3] if self.data_pred.ndim == 4 else 1

    def apply(self) -> np.ndarray:
        """Run all steps and return the cleaned prediction.

        Raises:
            ConfigError: An unknown step, or parameters that do not fit it.
            DataError: The uncertainty file is absent or has another shape.
        """
        for step, params in self.postprocessing_dict.items():
            if step not in STEPS:
                near = difflib.get_close_matches(step, STEPS, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(STEPS)}"
                raise ConfigError(f"postprocessing.{step}: unknown step{hint}")
            method = getattr(self, step)
            try:
                arguments = inspect.signature(method).bind(**(params or {}))
            except TypeError as error:
                expected = ", ".join(inspect.signature(method).parameters) or "no parameters"
                raise ConfigError(f"postprocessing.{step}: {error}; expected {expected}") from error
            method(**arguments.arguments)
        return self.data_pred

    def binarize_prediction(self, thr: float) -> None:
        """Set values below ``thr`` to 0 and others to 1; ``thr`` < 0 keeps the soft values."""
        if thr >= 0:
            self.data_pred = threshold_predictions(self.data_pred, thr)

    def binarize_maxpooling(self) -> None:
        """Set the most probable class of every voxel to 1 and the others to 0.

        Background takes part with what the classes, taken as exclusive, leave of 1: ``1 - sum(classes)``.
        """
        classes = self.data_pred if self.data_pred.ndim == 4 else self.data_pred[..., None]
        best = classes.argmax(axis=-1)
        highest = np.take_along_axis(classes, best[..., None], axis=-1)[..., 0]
        best[highest < 1 - classes.sum(axis=-1)] = -1
        result = np.stack([best == c for c in range(classes.shape[-1])], axis=-1).astype(np.uint8)
        self.data_pred = result if self.data_pred.ndim == 4 else result[..., 0]

    def uncertainty(self, thr: float, suffix: str) -> None:
        """Set voxels whose uncertainty exceeds ``thr`` to 0; ``thr`` < 0 keeps all.

        Of ``_unc-iou.nii.gz`` and ``_soft.nii.gz``, which measure confidence, values below ``thr``
        are set to 0.

        Args:
            thr: In the unit of the file.
            suffix: The file is ``filename_prefix + suffix``, [H, W, D] or [H, W, D, C].
        """
        if thr < 0:
            return
        path = f"{os.fspath(self.filename_prefix)}{suffix}"
        values = _read_uncertainty(path)
        if values.shape not in (self.data_pred.shape, self.data_pred.shape[:3]):
            raise DataError(
                f"{path}: shape {values.shape} does not fit the prediction's {self.data_pred.shape}; "
                "run the uncertainty estimation again for this image"
            )
        certain = values >= thr if suffix in CONFIDENCE_SUFFIXES else values <= thr
        self.data_pred = mask_predictions(self.data_pred, certain)

    def remove_small(self, unit: str, thr: float | Sequence[float]) -> None:
        """Remove objects smaller than ``thr``; voxels that share a face or an edge are connected.

        Args:
            unit: "vox" or "mm3".
            thr: Size of the smallest object to keep, one for all classes or one per class.
        """
        key = "postprocessing.remove_small"
        volume = self.px * self.py * self.pz
        sizes = [minimum_voxels(t, unit, volume, key) for t in per_class(thr, self.n_classes, f"{key}.thr")]
        if self.data_pred.ndim < 4:
            self.data_pred = remove_small_objects(self.data_pred, self.bin_struct, sizes[0])
            return
        cleaned = [
            remove_small_objects(self.data_pred[..., c], self.bin_struct, size)
            for c, size in enumerate(sizes)
        ]
        self.data_pred = np.stack(cleaned, axis=-1)

    def fill_holes(self) -> None:
        """Fill the holes of a binary prediction, see ``fill_holes``."""
        self.data_pred = fill_holes(self.data_pred)

    def keep_largest(self) -> None:
        """Keep the largest object, see ``keep_largest_object``."""
        self.data_pred = keep_largest_object(self.data_pred)

    def remove_noise(self, thr: float) -> None:
        """Set values below ``thr`` to 0 and keep the others; ``thr`` < 0 keeps all."""
        if thr >= 0:
            self.data_pred = mask_predictions(self.data_pred, self.data_pred >= thr)


def _read_uncertainty(path: str) -> np.ndarray:
    if not os.path.isfile(path):
        raise DataError(
            f"{path}: no such uncertainty file; set uncertainty.n_it above 0 to make it, or "
            "postprocessing.uncertainty.thr to -1 to go without"
        )
    import nibabel as nib

    image: Any = nib.load(path)
    return np.asarray(image.dataobj, np.float32)
