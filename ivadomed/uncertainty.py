"""Import path of ivadomed 2; implemented in `ivadomed.inference.uncertainty`."""

from ivadomed.inference.uncertainty import (
    combine_predictions,
    run_uncertainty,
    structurewise_uncertainty,
    voxelwise_uncertainty,
)

__all__ = ["combine_predictions", "run_uncertainty", "structurewise_uncertainty", "voxelwise_uncertainty"]
