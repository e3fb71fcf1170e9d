"""Import path of ivadomed 2; `ivadomed.inference.uncertainty` does the work."""

from ivadomed.inference.uncertainty import (
    combine_predictions,
    run_uncertainty,
    structurewise_uncertainty,
    voxelwise_uncertainty,
)

__all__ = ["combine_predictions", "run_uncertainty", "structurewise_uncertainty", "voxelwise_uncertainty"]
