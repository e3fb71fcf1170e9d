"""Treatment of predictions: `postprocessing`, `uncertainty` and `evaluation_parameters`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from typing_extensions import Self

from ivadomed.registry.section import OrderedSteps, Section, key, refuse
from ivadomed.registry.types import Flag, NonNegative, NonNegativeReal, SizeThreshold, Text

Unit = Literal["vox", "mm3"]


class PostprocessingStep(Section):
    """A postprocessing step and its arguments.

    Arguments that are null (the default) are not written, so that earlier versions without them can still read the
    step.
    """

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in handler(self).items()
            if value is not None or name not in fields or fields[name].default is not None
        }


class PostprocessingSteps(OrderedSteps):
    """Steps in order of application. Empty: predictions remain as the model outputs them."""

    @property
    def threshold(self) -> float | None:
        """Binarization threshold; None if predictions stay soft."""
        thr = getattr(self.steps.get("binarize_prediction"), "thr", -1)
        return thr if thr >= 0 else None


class Uncertainty(Section):
    """Monte Carlo estimates; computed when `n_it` > 0 and `epistemic` or `aleatoric` is true."""

    epistemic: Flag = key(False, "Uncertainty of the model: Monte Carlo dropout.")
    aleatoric: Flag = key(False, "Uncertainty of the data: test-time augmentation.")
    n_it: NonNegative = key(0, "Number of Monte Carlo iterations (>= 0); 0: none.", 20)

    @property
    def applied(self) -> bool:
        """True if uncertainty is computed."""
        return self.n_it > 0 and (self.epistemic or self.aleatoric)


class TargetSize(Section):
    """Bounds of the size classes for which lesion metrics are reported separately."""

    thr: Annotated[tuple[NonNegativeReal, ...], Field(min_length=1)] = key(
        ..., "Increasing bounds (>= 0), e.g. [20, 100] for 1-20, 21-100 and 101-infinity.", [20, 100]
    )
    unit: Unit = key("vox", "Unit of `thr`: voxels or cubic millimeters.")

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if any(low >= high for low, high in zip(self.thr, self.thr[1:], strict=False)):
            refuse([f"thr: {list(self.thr)} does not increase"])
        return self


class Overlap(Section):
    """Minimum overlap for a lesion to count as detected."""

    thr: NonNegativeReal = key(3, "Overlap (>= 0; at most 1 for a ratio).", 0.25)
    unit: Literal["vox", "mm3", "ratio"] = key(
        "vox", "Unit of `thr`: voxels, cubic millimeters, or the fraction of the lesion."
    )

    @model_validator(mode="after")
    def _ratio(self) -> Self:
        if self.unit == "ratio" and self.thr > 1:
            refuse([f"thr: {self.thr:g} is not a ratio; expected a number from 0 to 1"])
        return self


class RemoveSmallObjects(Section):
    """Minimum size of objects; smaller ones are ignored in prediction and ground truth."""

    thr: SizeThreshold = key(..., "Smallest size that counts (>= 0), or one such number per class.", 3)
    unit: Unit = key("vox", "Unit of `thr`: voxels or cubic millimeters.")


class EvaluationParameters(Section):
    """Metrics and figures of `ivadomed --test` and `--eval`."""

    target_size: TargetSize | None = key(
        None, "Report lesion metrics per size class; null: all sizes together."
    )
    overlap: Overlap | None = key(None, "Minimum overlap for a lesion to count as detected; null: 3 voxels.")
    remove_small: RemoveSmallObjects | None = key(None, "Ignore small objects; null: none.")
    object_detection_metrics: Flag = key(
        True, "Compute lesion-wise metrics and write the maps of true and false positives."
    )
    metrics: tuple[Text, ...] = key(
        (),
        "Further metrics, each a column per class: functions of `ivadomed.metrics`, or your own functions "
        "`package.module:function` of a prediction and a ground truth [H, W, D].",
        ["intersection_over_union", "my_package.metrics:relative_error"],
    )
    surface_metrics: Flag = key(
        True, "Compute surface distances in mm: hd, hd95, assd, and nsd at the tolerance."
    )
    surface_tolerance_mm: NonNegativeReal = key(
        1.0,
        "Tolerance in mm (>= 0) of the normalized surface Dice (nsd), such as the distance between raters' "
        "surfaces.",
        0.5,
    )
    overlays: NonNegative | None = key(
        None,
        "Number of cases (>= 0) with a figure in `results_eval/overlays`, worst first; null: all.",
        20,
    )
    report: Flag = key(True, "Write `results_eval/report.html`.")
    slices_mb: NonNegativeReal = key(
        48.0,
        "Maximum size in megabytes (>= 0) of the scrollable slices in `report.html`; 0: none.",
        200,
    )
