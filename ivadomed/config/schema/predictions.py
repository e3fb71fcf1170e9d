"""`postprocessing`, `uncertainty` and `evaluation_parameters`: what is done with predictions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from typing_extensions import Self

from ivadomed.registry.section import OrderedSteps, Section, key, refuse
from ivadomed.registry.types import Flag, NonNegative, NonNegativeReal, SizeThreshold, Text

Unit = Literal["vox", "mm3"]


class PostprocessingStep(Section):
    """A postprocessing step and its arguments.

    An argument that is null, as it is by default, is not written: earlier versions, which do not know it, read such a
    step as they always did.
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
    """Steps in the order in which they run. Empty: predictions stay as the model gives them."""

    @property
    def threshold(self) -> float | None:
        """Threshold that makes masks; None where predictions stay soft."""
        thr = getattr(self.steps.get("binarize_prediction"), "thr", -1)
        return thr if thr >= 0 else None


class Uncertainty(Section):
    """Monte Carlo estimates; computed when `n_it` > 0 and `epistemic` or `aleatoric` is true."""

    epistemic: Flag = key(False, "Uncertainty of the model: Monte Carlo dropout.")
    aleatoric: Flag = key(False, "Uncertainty of the data: test-time augmentation.")
    n_it: NonNegative = key(0, "Number of Monte Carlo iterations (>= 0); 0: none.", 20)

    @property
    def applied(self) -> bool:
        """Whether uncertainty is computed at all."""
        return self.n_it > 0 and (self.epistemic or self.aleatoric)


class TargetSize(Section):
    """Bounds of the size classes for which lesion metrics are reported separately."""

    thr: Annotated[tuple[NonNegativeReal, ...], Field(min_length=1)] = key(
        ..., "Increasing bounds (>= 0), e.g. [20, 100] for 1-20, 21-100 and 101-infinity.", [20, 100]
    )
    unit: Unit = key("vox", "Unit of `thr`: voxels or cubic millimetres.")

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if any(low >= high for low, high in zip(self.thr, self.thr[1:], strict=False)):
            refuse([f"thr: {list(self.thr)} does not increase"])
        return self


class Overlap(Section):
    """Least overlap at which a lesion counts as found."""

    thr: NonNegativeReal = key(3, "Overlap (>= 0; at most 1 for a ratio).", 0.25)
    unit: Literal["vox", "mm3", "ratio"] = key(
        "vox", "Unit of `thr`: voxels, cubic millimetres, or the fraction of the lesion."
    )

    @model_validator(mode="after")
    def _ratio(self) -> Self:
        if self.unit == "ratio" and self.thr > 1:
            refuse([f"thr: {self.thr:g} is not a ratio; expected a number from 0 to 1"])
        return self


class RemoveSmallObjects(Section):
    """Objects below this size are ignored in prediction and ground truth."""

    thr: SizeThreshold = key(..., "Smallest size that counts (>= 0), or one such number per class.", 3)
    unit: Unit = key("vox", "Unit of `thr`: voxels or cubic millimetres.")


class EvaluationParameters(Section):
    """Metrics and pictures of `ivadomed --test` and `--eval`."""

    target_size: TargetSize | None = key(
        None, "Report lesion metrics per size class; null: all sizes together."
    )
    overlap: Overlap | None = key(None, "Overlap at which a lesion counts as found; null: 3 voxels.")
    remove_small: RemoveSmallObjects | None = key(None, "Ignore small objects; null: none.")
    object_detection_metrics: Flag = key(
        True, "Compute lesion-wise metrics and write the maps of true and false positives."
    )
    metrics: tuple[Text, ...] = key(
        (),
        "Further metrics, each a column per class: functions of `ivadomed.metrics`, or functions "
        "`package.module:function` of your own, of a prediction and a ground truth [H, W, D].",
        ["intersection_over_union", "my_package.metrics:relative_error"],
    )
    surface_metrics: Flag = key(
        True, "Compute distances between the surfaces in mm: hd, hd95, assd, and nsd at the tolerance."
    )
    surface_tolerance_mm: NonNegativeReal = key(
        1.0,
        "Distance in mm (>= 0) up to which surfaces agree in the normalized surface Dice (nsd): the "
        "accuracy that raters reach.",
        0.5,
    )
    overlays: NonNegative | None = key(
        None,
        "Number of cases (>= 0) with a picture in `results_eval/overlays`, the worst ones; null: all.",
        20,
    )
    report: Flag = key(True, "Write `results_eval/report.html`.")
    slices_mb: NonNegativeReal = key(
        48.0,
        "Megabytes (>= 0) that slices to scroll through take in `report.html` at most; 0: none.",
        200,
    )
