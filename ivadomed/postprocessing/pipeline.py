"""Postprocessing steps available in a configuration, run in the configured order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np

from ivadomed.errors import ConfigError, DataError
from ivadomed.postprocessing import masks
from ivadomed.postprocessing.objects import EDGES, binary_structure, minimum_voxels, per_class
from ivadomed.registry import Registry
from ivadomed.registry.types import Doc, Ge, Le, Len, NonNegative, Real, SizeThreshold, Text

# In these files, high values mean that the samples agree; in all others, that they disagree.
CONFIDENCE_SUFFIXES = ("_unc-iou.nii.gz", "_soft.nii.gz")

STEPS: Registry[Callable[..., np.ndarray]] = Registry(
    None,
    place="postprocessing.{name}",
    unknown="postprocessing.{name}: unknown step",
    no_argument="postprocessing.{name}.{key}: no such argument, expected {known}{hint}",
    expected="function; expected one of a prediction and keyword arguments",
)
"""Name -> function that maps a `Postprocessing` and keyword arguments to the new prediction."""
step = STEPS.register

SoftValue = Annotated[Real, Ge(-1), Le(1)]
Classes = Annotated[tuple[NonNegative, ...], Len(1)] | None


class Postprocessing:
    """Apply postprocessing steps to a prediction.

    Args:
        postprocessing_params: Step name to its parameters, in the order of execution:
            ``{"binarize_prediction": {"thr": 0.5}, "keep_largest": {}}``. Known steps are the methods below;
            ``package.module:function`` is a user-defined function.
        data_pred: [H, W, D] or [H, W, D, C], values in [0, 1]; D may be 1. It is not changed.
        dim_lst: Voxel size in mm along H, W, D.
        filename_prefix: Path to which the suffix of the uncertainty file is appended.

    Attributes:
        data_pred: Result of the steps so far.
        zooms: Voxel size in mm along H, W, D.
        filename_prefix: As given.
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
        self.zooms = (*(float(zoom) for zoom in dim_lst), 1.0)[:3]
        self.filename_prefix = filename_prefix

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.data_pred.shape[3] if self.data_pred.ndim == 4 else 1

    def apply(self) -> np.ndarray:
        """Run all steps and return the result.

        Raises:
            ConfigError: A step is unknown, or its parameters are invalid.
            DataError: The uncertainty file is missing or has another shape.
        """
        for name, arguments in self.postprocessing_dict.items():
            STEPS.check(name, arguments or {})
            self._run(name, **(arguments or {}))
        return self.data_pred

    def _run(self, name: str, **arguments: Any) -> None:
        self.data_pred = STEPS.find(name)(self, **arguments)

    def binarize_prediction(self, thr: float) -> None:
        """Set values below `thr` to 0 and others to 1; a negative `thr` keeps soft values."""
        self._run("binarize_prediction", thr=thr)

    def binarize_maxpooling(self) -> None:
        """Set the most probable class of every voxel to 1 and the others to 0."""
        self._run("binarize_maxpooling")

    def uncertainty(self, thr: float, suffix: str) -> None:
        """Set voxels to 0 if their uncertainty, in the file ``filename_prefix + suffix``, exceeds `thr`."""
        self._run("uncertainty", thr=thr, suffix=suffix)

    def remove_small(self, unit: str, thr: float | Sequence[float]) -> None:
        """Remove objects smaller than `thr`, in "vox" or "mm3"."""
        self._run("remove_small", unit=unit, thr=thr)

    def fill_holes(self, classes: Sequence[int] | None = None) -> None:
        """Fill the holes of a binary prediction, in all or some classes."""
        self._run("fill_holes", classes=classes)

    def keep_largest(self, classes: Sequence[int] | None = None) -> None:
        """Keep the largest object, in all or some classes."""
        self._run("keep_largest", classes=classes)

    def remove_noise(self, thr: float) -> None:
        """Set values below `thr` to 0."""
        self._run("remove_noise", thr=thr)


@step
def remove_noise(
    prediction: Postprocessing,
    *,
    thr: Annotated[SoftValue, Doc("Threshold (0 to 1); -1: no thresholding.", 0.1)] = -1.0,
) -> np.ndarray:
    """Set values below a threshold to zero."""
    data = prediction.data_pred
    return masks.mask_predictions(data, data >= thr) if thr >= 0 else data


@step
def keep_largest(
    prediction: Postprocessing,
    *,
    classes: Annotated[
        Classes,
        Doc(
            "Classes (from 0) of which only the largest component is kept, independently. null: all; overlapping "
            "components of different classes, such as lesions and the surrounding cord, are treated as one.",
            [0],
        ),
    ] = None,
) -> np.ndarray:
    """Keep the largest component of each class."""
    if classes is None:
        return masks.keep_largest_object(prediction.data_pred)
    return _of_classes(masks.keep_largest_object, prediction, classes, "keep_largest")


@step
def binarize_prediction(
    prediction: Postprocessing,
    *,
    thr: Annotated[
        SoftValue,
        Doc("Threshold (0 to 1), also for the metrics of `--test`; -1: keep soft values.", 0.4),
    ] = 0.5,
) -> np.ndarray:
    """Values at or above the threshold become 1, others 0."""
    return masks.threshold_predictions(prediction.data_pred, thr) if thr >= 0 else prediction.data_pred


@step
def binarize_maxpooling(prediction: Postprocessing) -> np.ndarray:
    """Assign each voxel to its most probable class.

    The background competes with probability ``1 - sum(classes)``, as if the classes were exclusive.
    """
    data = prediction.data_pred
    classes = data if data.ndim == 4 else data[..., None]
    best = classes.argmax(axis=-1)
    highest = np.take_along_axis(classes, best[..., None], axis=-1)[..., 0]
    best[highest < 1 - classes.sum(axis=-1)] = -1
    result = np.stack([best == c for c in range(classes.shape[-1])], axis=-1).astype(np.uint8)
    return result if data.ndim == 4 else result[..., 0]


@step
def uncertainty(
    prediction: Postprocessing,
    *,
    thr: Annotated[
        Real, Doc("Largest uncertainty to keep (in units of the measure); -1: no thresholding.", 0.3)
    ] = -1.0,
    suffix: Annotated[
        Text, Doc("Suffix of the file with the uncertainty measure.", "_unc-iou.nii.gz")
    ] = "_unc-vox.nii.gz",
) -> np.ndarray:
    """Set voxels with an uncertainty above a threshold to zero.

    For ``_unc-iou.nii.gz`` and ``_soft.nii.gz``, which measure confidence, values below the threshold are set to 0.
    """
    data = prediction.data_pred
    if thr < 0:
        return data
    path = f"{os.fspath(prediction.filename_prefix)}{suffix}"
    values = _read_uncertainty(path)
    if values.shape not in (data.shape, data.shape[:3]):
        raise DataError(
            f"{path}: shape {values.shape} does not fit the prediction's {data.shape}; "
            "run the uncertainty estimation again for this image"
        )
    return masks.mask_predictions(data, values >= thr if suffix in CONFIDENCE_SUFFIXES else values <= thr)


@step
def fill_holes(
    prediction: Postprocessing,
    *,
    classes: Annotated[Classes, Doc("Classes (from 0) whose holes are filled; null: all.", [0])] = None,
) -> np.ndarray:
    """Fill holes inside components."""
    if classes is None:
        return masks.fill_holes(prediction.data_pred)
    return _of_classes(masks.fill_holes, prediction, classes, "fill_holes")


@step
def remove_small(
    prediction: Postprocessing,
    *,
    unit: Annotated[Literal["vox", "mm3"], Doc("Unit of `thr`: voxels or cubic millimetres.")] = "vox",
    thr: Annotated[SizeThreshold, Doc("Smallest size to keep (>= 0), or one value per class.", [3, 10])],
) -> np.ndarray:
    """Remove connected components below a size; voxels that share a face or an edge are connected."""
    key, data, volume = "postprocessing.remove_small", prediction.data_pred, float(np.prod(prediction.zooms))
    sizes = [
        minimum_voxels(size, unit, volume, key) for size in per_class(thr, prediction.n_classes, f"{key}.thr")
    ]
    structure = binary_structure(EDGES)
    if data.ndim < 4:
        return masks.remove_small_objects(data, structure, sizes[0])
    return np.stack(
        [masks.remove_small_objects(data[..., c], structure, size) for c, size in enumerate(sizes)], axis=-1
    )


def _of_classes(
    change: Callable[[np.ndarray], np.ndarray], prediction: Postprocessing, classes: Sequence[int], name: str
) -> np.ndarray:
    """The prediction after changing some of its classes, each separately."""
    count = prediction.n_classes
    if strangers := [k for k in classes if k >= count]:
        raise ConfigError(
            f"postprocessing.{name}.classes: {strangers[0]}; the prediction has {count}, expected 0 to {count - 1}"
        )
    result = prediction.data_pred.copy()
    parts = result if result.ndim == 4 else result[..., None]
    for k in classes:
        parts[..., k] = change(parts[..., k])
    return result


def _read_uncertainty(path: str) -> np.ndarray:
    if not os.path.isfile(path):
        raise DataError(
            f"{path}: no such uncertainty file; set uncertainty.n_it above 0 to create it, or "
            "postprocessing.uncertainty.thr to -1 to skip this step"
        )
    import nibabel as nib

    image: Any = nib.load(path)
    return np.asarray(image.dataobj, np.float32)
