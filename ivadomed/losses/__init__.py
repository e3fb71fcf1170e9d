"""Loss functions for imbalanced classes, soft labels and heatmaps.

Predictions are probabilities ``[B, C, ...]`` in [0, 1] with the shape of the target, tensors or arrays; losses are
scalar tensors, lower is better. A ``mask`` [B, 1, ...] is True at the voxels that count; None counts all. Dice and
Tversky losses are negated scores in [-1, 0].
"""

from ivadomed.losses.deep_supervision import DeepSupervisionLoss, full_resolution
from ivadomed.losses.functional import dice_score
from ivadomed.losses.modules import (
    LOSSES,
    AdapWingLoss,
    BinaryCrossEntropyLoss,
    DiceLoss,
    FocalDiceLoss,
    FocalLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    L2loss,
    LossCombination,
    MultiClassDiceLoss,
    TverskyLoss,
    build_loss,
    loss,
    losses_without_mask,
)

__all__ = [
    "LOSSES",
    "AdapWingLoss",
    "BinaryCrossEntropyLoss",
    "DeepSupervisionLoss",
    "DiceLoss",
    "FocalDiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "L2loss",
    "LossCombination",
    "MultiClassDiceLoss",
    "TverskyLoss",
    "build_loss",
    "dice_score",
    "full_resolution",
    "loss",
    "losses_without_mask",
]
