"""Metrics of one predicted volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ivadomed import metrics
from ivadomed.config.schema.predictions import EvaluationParameters
from ivadomed.errors import DataError
from ivadomed.evaluation.objects import (
    Objects,
    evaluation_parameters,
    least_overlap,
    match_objects,
    paint_detection,
    size_ranges,
    size_suffixes,
    smallest_sizes,
)
from ivadomed.evaluation.surfaces import SurfaceDistances
from ivadomed.postprocessing.objects import EDGES, binary_structure

_SURFACE = 0.5


class EvaluationResult(NamedTuple):
    """Metrics by name, and the objects [H, W, D] or [H, W, D, C] painted TP = 1, FP = 2, FN = 3."""

    metrics: dict[str, float]
    painted: np.ndarray


def evaluate_pair(
    prediction: np.ndarray,
    target: np.ndarray,
    zooms: Sequence[float],
    params: Mapping[str, Any] | EvaluationParameters | None = None,
    ignore: np.ndarray | None = None,
) -> EvaluationResult:
    """Evaluate one prediction; see ``Evaluation3DMetrics`` for arguments, metrics and errors."""
    return Evaluation3DMetrics(prediction, target, zooms, params, ignore).run_eval()


class Evaluation3DMetrics:
    """Metrics of a prediction against its ground truth, class by class.

    Names end in ``_class0``, ``_class1``, ...; ``docs/metrics.md`` has formulas, sources, and the values for empty
    masks (undefined metrics are NaN):

    * ``vol_pred``, ``vol_gt``: volume in mm3; for soft masks, the sum of the values;
    * ``rvd``, ``avd``: relative volume difference ``(gt - pred) / gt`` and its absolute value;
    * ``vs``: volumetric similarity ``1 - |pred - gt| / (pred + gt)``;
    * ``dice``, ``precision``, ``recall``, ``specificity``, ``mse``: see ``ivadomed.metrics``;
    * the functions listed under ``metrics`` in ``params``, by their own names;
    * ``hd``, ``hd95``, ``assd`` in mm, ``nsd``: see ``SurfaceDistances``; for soft masks, the surface at 0.5. Omitted
      without ``surface_metrics``;
    * ``n_pred``, ``n_gt``: number of objects;
    * ``ltpr``: found objects of the ground truth / all of its objects (lesion true positive rate);
    * ``lfdr``: false objects of the prediction / (false objects + found objects of the ground truth) (lesion false
      detection rate, 1 - precision);
    * ``lf1``: harmonic mean of ``ltpr`` and ``1 - lfdr``. All three are NaN without object detection; see
      ``match_objects`` for when an object counts as found;
    * with size ranges also ``ltpr_21-100vox``, ``lfdr_21-100vox``, ``lf1_21-100vox`` and so on for each range, over
      the objects whose own size is in the range; NaN if there are none. The number of true objects in the range is
      ``n_21-100vox`` (of the last class, as in ivadomed 2.9.10; with several classes also ``n_21-100vox_class0`` and
      so on).

    Args:
        data_pred: [H, W, D, C], values in [0, 1]; nonzero voxels belong to an object.
        data_gt: [H, W, D, C].
        dim_lst: Voxel size in mm along H, W, D.
        params: Evaluation parameters of the configuration.
        ignore: [H, W, D], ignored voxels: removed from both masks before small objects are, and from all
            denominators. None for none.

    Attributes:
        data_pred, data_gt: The masks, without ignored voxels and the small objects that ``params`` removes.
        n_classes: Number of classes, C.
        px, py, pz: Voxel size in mm.
        bin_struct: Connectivity of objects: 18 neighbors.
        size_min: Size in voxels of the smallest object that is kept, per class.
        overlap_vox, overlap_ratio: Minimum overlap for an object to count as found; one of them is None.
        data_pred_label, data_gt_label: [H, W, D, C], objects numbered per class.
        n_pred, n_gt: Number of objects per class.
        size_suffix_lst: Name of each size range, per class.
        data_painted: [H, W, D, C], objects of the prediction TP = 1 or FP = 2, missed ones FN = 3. Without
            object detection it is the prediction.

    Raises:
        ConfigError: ``params`` is invalid.
        DataError: The two masks differ in shape, or have no class axis.
    """

    def __init__(
        self,
        data_pred: np.ndarray,
        data_gt: np.ndarray,
        dim_lst: Sequence[float],
        params: Mapping[str, Any] | EvaluationParameters | None = None,
        ignore: np.ndarray | None = None,
    ) -> None:
        self.params = evaluation_parameters(params)
        self.data_pred, self.data_gt = np.asarray(data_pred), np.asarray(data_gt)
        self._mask = None if ignore is None else ~np.asarray(ignore, bool)
        if self.data_pred.shape != self.data_gt.shape or self.data_pred.ndim != 4:
            raise DataError(
                f"evaluation: prediction {self.data_pred.shape} and ground truth {self.data_gt.shape}; "
                "expected two masks of the same shape [H, W, D, classes]"
            )
        if self._mask is not None:
            self.data_pred, self.data_gt = (
                np.where(self._mask[..., None], data, np.zeros((), data.dtype))
                for data in (self.data_pred, self.data_gt)
            )
        self.n_classes = self.data_pred.shape[3]
        self.px, self.py, self.pz = (float(zoom) for zoom in dim_lst[:3])
        self.bin_struct = binary_structure(EDGES)
        self.overlap_vox, self.overlap_ratio = least_overlap(self.params.overlap, self.voxel_volume)
        self.further_metrics = [metrics.METRICS.find(name) for name in self.params.metrics]
        self.object_detection_metrics = self.params.object_detection_metrics
        self.size_min = smallest_sizes(self.params.remove_small, self.voxel_volume, self.n_classes)
        self.size_suffix_lst = [
            size_suffixes(self.params.target_size, self.voxel_volume, smallest) for smallest in self.size_min
        ]
        if any(self.size_min):
            self.data_pred = self.remove_small_objects(self.data_pred)
            self.data_gt = self.remove_small_objects(self.data_gt)
        self._pred = [Objects.of(self.data_pred[..., c]) for c in range(self.n_classes)]
        self._gt = [Objects.of(self.data_gt[..., c]) for c in range(self.n_classes)]
        self.n_pred, self.n_gt = [len(o) for o in self._pred], [len(o) for o in self._gt]
        matches = [
            match_objects(*pair, self.overlap_vox, self.overlap_ratio)
            for pair in zip(self._pred, self._gt, strict=True)
        ]
        self._pred_found = [predicted for predicted, _ in matches]
        self._gt_found = [true for _, true in matches]

    @property
    def voxel_volume(self) -> float:
        """mm3 of one voxel."""
        return self.px * self.py * self.pz

    @property
    def data_pred_label(self) -> np.ndarray:
        """Numbered objects of the prediction [H, W, D, C]."""
        return np.stack([objects.labels for objects in self._pred], axis=-1)

    @property
    def data_gt_label(self) -> np.ndarray:
        """Numbered objects of the ground truth [H, W, D, C]."""
        return np.stack([objects.labels for objects in self._gt], axis=-1)

    @property
    def data_painted(self) -> np.ndarray:
        """Objects painted by outcome [H, W, D, C]."""
        if not self.object_detection_metrics:
            return self.data_pred
        parts = zip(self._pred, self._gt, self._pred_found, self._gt_found, strict=True)
        return np.stack([paint_detection(*part) for part in parts], axis=-1)

    def label_per_size(self, data: np.ndarray) -> np.ndarray:
        """Fill every object of a mask [H, W, D] with the number of its size range: 1, 2, ..."""
        objects = Objects.of(np.asarray(data))
        return objects.paint(self._size_ranges(objects))

    def get_vol(self, data: np.ndarray) -> float:
        """Volume of a mask in mm3."""
        return float(np.sum(data, dtype=np.float64)) * self.voxel_volume

    def get_rvd(self, class_idx: int | None = None) -> float:
        """Relative volume difference ``(gt - pred) / gt`` of a class (None: of all); NaN if gt is empty."""
        chosen = slice(None) if class_idx is None else class_idx
        true = self.get_vol(self.data_gt[..., chosen])
        return (true - self.get_vol(self.data_pred[..., chosen])) / true if true else float("nan")

    def get_avd(self, class_idx: int | None = None) -> float:
        """Absolute volume difference: ``abs(get_rvd())``."""
        return abs(self.get_rvd(class_idx))

    def get_ltpr(self, label_size: int | None = None, class_idx: int = 0) -> tuple[float, int]:
        """Lesion true positive rate (recall, sensitivity) and the number of true objects.

        Args:
            label_size: Only objects of this size range (1, 2, ...); None for all.
            class_idx: Class.

        Returns:
            The rate, NaN without such objects or without object detection; the number of objects.
        """
        found, missed, _ = self._detections(label_size, class_idx)
        return self._rate(found, found + missed), found + missed

    def get_lfdr(self, label_size: int | None = None, class_idx: int = 0) -> float:
        """Lesion false detection rate: 1 - precision, with found objects of the ground truth as true positives.

        Args:
            label_size: Only objects of this size range (1, 2, ...); None for all.
            class_idx: Class.

        Returns:
            The rate, NaN without such objects or without object detection.
        """
        found, _, false = self._detections(label_size, class_idx)
        return self._rate(false, found + false)

    def get_lf1(self, label_size: int | None = None, class_idx: int = 0) -> float:
        """Lesion-wise F1: harmonic mean of the lesion true positive rate and ``1 - get_lfdr()``.

        Args:
            label_size: Only objects of this size range (1, 2, ...); None for all.
            class_idx: Class.

        Returns:
            The score; 0 if only one of the masks has such objects, NaN if neither has or without object detection.
        """
        found, missed, false = self._detections(label_size, class_idx)
        return self._rate(2 * found, 2 * found + missed + false)

    def remove_small_objects(self, data: np.ndarray, class_idx: int = 0) -> np.ndarray:
        """Copy of a mask without the objects of fewer than ``size_min`` voxels.

        Args:
            data: [H, W, D] of one class, or [H, W, D, C] of all.
            class_idx: Class of [H, W, D].
        """
        data = np.asarray(data)
        if data.ndim == 4:
            kept = [self.remove_small_objects(data[..., c], c) for c in range(data.shape[3])]
            return np.stack(kept, axis=-1)
        kept_objects = Objects.of(data).without(self.size_min[class_idx])
        return np.where(kept_objects, data, np.zeros((), data.dtype))

    def run_eval(self) -> EvaluationResult:
        """Compute all metrics; the painted image has no class axis if there is one class."""
        values: dict[str, float] = {}
        for c in range(self.n_classes):
            for found in (self._voxel_metrics(c), self._surface_metrics(c), self._object_metrics(c)):
                values.update({f"{name}_class{c}": value for name, value in found.items()})
            values.update(self._size_metrics(c))
        painted = self.data_painted
        return EvaluationResult(values, painted[..., 0] if self.n_classes == 1 else painted)

    def _voxel_metrics(self, c: int) -> dict[str, float]:
        prediction, truth = self.data_pred[..., c], self.data_gt[..., c]
        nan, counted = float("nan"), {} if self._mask is None else {"mask": self._mask}
        return {
            "vol_pred": self.get_vol(prediction),
            "vol_gt": self.get_vol(truth),
            "rvd": self.get_rvd(c),
            "avd": self.get_avd(c),
            "vs": metrics.volumetric_similarity(prediction, truth),
            "dice": metrics.dice_score(truth, prediction),
            "recall": metrics.recall_score(prediction, truth, err_value=nan),
            "precision": metrics.precision_score(prediction, truth, err_value=nan),
            "specificity": metrics.specificity_score(prediction, truth, err_value=nan, **counted),
            "mse": metrics.mse(truth, prediction, **counted),
            **{
                further.__name__: float(further(prediction, truth, **counted))
                for further in self.further_metrics
            },
        }

    def _surface_metrics(self, c: int) -> dict[str, float]:
        if not self.params.surface_metrics:
            return {}
        masks = self.data_pred[..., c] >= _SURFACE, self.data_gt[..., c] >= _SURFACE
        distances = SurfaceDistances.between(*masks, (self.px, self.py, self.pz))
        return {
            "hd": distances.hausdorff(),
            "hd95": distances.hausdorff(95),
            "assd": distances.average(),
            "nsd": distances.surface_dice(self.params.surface_tolerance_mm),
        }

    def _object_metrics(self, c: int) -> dict[str, float]:
        return {
            "n_pred": float(self.n_pred[c]),
            "n_gt": float(self.n_gt[c]),
            "ltpr": self.get_ltpr(class_idx=c)[0],
            "lfdr": self.get_lfdr(class_idx=c),
            "lf1": self.get_lf1(class_idx=c),
        }

    def _size_metrics(self, c: int) -> dict[str, float]:
        values: dict[str, float] = {}
        for size, suffix in enumerate(self.size_suffix_lst[c], start=1):
            values[f"ltpr{suffix}_class{c}"], count = self.get_ltpr(size, c)
            values[f"lfdr{suffix}_class{c}"] = self.get_lfdr(size, c)
            values[f"lf1{suffix}_class{c}"] = self.get_lf1(size, c)
            values[f"n{suffix}"] = float(count)
            if self.n_classes > 1:
                values[f"n{suffix}_class{c}"] = float(count)
        return values

    def _detections(self, label_size: int | None, c: int) -> tuple[int, int, int]:
        """Number of found and of missed true objects, and of false predicted objects."""
        found = self._gt_found[c][self._of_size(self._gt[c], label_size)]
        right = self._pred_found[c][self._of_size(self._pred[c], label_size)]
        return int(found.sum()), int((~found).sum()), int((~right).sum())

    def _of_size(self, objects: Objects, label_size: int | None) -> np.ndarray:
        if label_size is None:
            return np.ones(len(objects), bool)
        return self._size_ranges(objects) == label_size

    def _size_ranges(self, objects: Objects) -> np.ndarray:
        return size_ranges(self.params.target_size, objects.sizes, self.voxel_volume)

    def _rate(self, part: int, whole: int) -> float:
        return part / whole if self.object_detection_metrics and whole else float("nan")
