"""`evaluation_parameters`: how predictions are compared with the ground truth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from ivadomed.config.schema.base import Flag, NonNegativeReal, Section, SizeThreshold, refuse

Unit = Literal["vox", "mm3"]


class TargetSize(Section):
    """Bounds of the size classes for which lesion metrics are reported separately."""

    thr: Annotated[tuple[NonNegativeReal, ...], Field(min_length=1)] = Field(
        description="Increasing bounds (>= 0), e.g. [20, 100] for 1-20, 21-100 and 101-infinity."
    )
    unit: Unit = Field(default="vox", description="Unit of `thr`: voxels or cubic millimetres.")

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if any(low >= high for low, high in zip(self.thr, self.thr[1:], strict=False)):
            refuse([f"thr: {list(self.thr)} does not increase"])
        return self


class Overlap(Section):
    """Least overlap at which a lesion counts as found."""

    thr: NonNegativeReal = Field(default=3, description="Overlap (>= 0).")
    unit: Unit = Field(default="vox", description="Unit of `thr`: voxels or cubic millimetres.")


class RemoveSmallObjects(Section):
    """Objects below this size are ignored in prediction and ground truth."""

    thr: SizeThreshold = Field(description="Smallest size that counts (>= 0), or one such number per class.")
    unit: Unit = Field(default="vox", description="Unit of `thr`: voxels or cubic millimetres.")


class EvaluationParameters(Section):
    """Metrics of `ivadomed --test`."""

    target_size: TargetSize | None = Field(
        default=None, description="Report lesion metrics per size class; null: all sizes together."
    )
    overlap: Overlap | None = Field(
        default=None, description="Overlap at which a lesion counts as found; null: 3 voxels."
    )
    remove_small: RemoveSmallObjects | None = Field(
        default=None, description="Ignore small objects; null: none."
    )
    object_detection_metrics: Flag = Field(
        default=True,
        description="Compute lesion-wise metrics and write the maps of true and false positives.",
    )
