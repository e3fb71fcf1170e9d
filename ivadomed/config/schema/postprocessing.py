"""`postprocessing` and `uncertainty`: what happens to predictions, in the order of the keys."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ivadomed.registry.section import OrderedSteps, Section
from ivadomed.registry.types import Flag, NonNegative, Real, SizeThreshold, Text


class BinarizePrediction(Section):
    """Values at or above the threshold become 1, others 0."""

    thr: Real = Field(
        default=0.5,
        ge=-1,
        le=1,
        description="Threshold (0 to 1), also for the metrics of `--test`; -1: keep soft values.",
        examples=[0.4],
    )


class BinarizeMaxpooling(Section):
    """Each voxel goes to its most probable class."""


class ThresholdUncertainty(Section):
    """Set to zero where the uncertainty is above a threshold."""

    thr: Real = Field(
        default=-1.0,
        description="Largest uncertainty that is kept (unit of the measure); -1: no thresholding.",
        examples=[0.3],
    )
    suffix: Text = Field(
        default="_unc-vox.nii.gz",
        description="Suffix of the file with the uncertainty measure.",
        examples=["_unc-iou.nii.gz"],
    )


class RemoveSmall(Section):
    """Remove connected components below a size."""

    thr: SizeThreshold = Field(
        description="Smallest size that stays (>= 0), or one such number per class.", examples=[[3, 10]]
    )
    unit: Literal["vox", "mm3"] = Field(
        default="vox", description="Unit of `thr`: voxels or cubic millimetres."
    )


class FillHoles(Section):
    """Fill holes inside components."""


class KeepLargest(Section):
    """Keep the largest component of each class."""


class RemoveNoise(Section):
    """Set values below a threshold to zero."""

    thr: Real = Field(
        default=-1.0, ge=-1, le=1, description="Threshold (0 to 1); -1: no thresholding.", examples=[0.1]
    )


class Postprocessing(OrderedSteps):
    """Steps in the order in which they run. Empty: predictions stay as the model gives them."""

    remove_noise: RemoveNoise | None = Field(default=None, description="Zero small values.")
    keep_largest: KeepLargest | None = Field(default=None, description="Keep the largest component.")
    binarize_prediction: BinarizePrediction | None = Field(default=None, description="Threshold.")
    binarize_maxpooling: BinarizeMaxpooling | None = Field(default=None, description="Most probable class.")
    uncertainty: ThresholdUncertainty | None = Field(default=None, description="Zero uncertain voxels.")
    fill_holes: FillHoles | None = Field(default=None, description="Fill holes.")
    remove_small: RemoveSmall | None = Field(default=None, description="Remove small components.")


class Uncertainty(Section):
    """Monte Carlo estimates; computed when `n_it` > 0 and `epistemic` or `aleatoric` is true."""

    epistemic: Flag = Field(default=False, description="Uncertainty of the model: Monte Carlo dropout.")
    aleatoric: Flag = Field(default=False, description="Uncertainty of the data: test-time augmentation.")
    n_it: NonNegative = Field(
        default=0, description="Number of Monte Carlo iterations (>= 0); 0: none.", examples=[20]
    )

    @property
    def applied(self) -> bool:
        """Whether uncertainty is computed at all."""
        return self.n_it > 0 and (self.epistemic or self.aleatoric)
