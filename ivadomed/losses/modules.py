"""The losses as modules: thin wrappers of `ivadomed.losses.functional`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ivadomed.losses.functional import (
    EPS,
    adaptive_wing,
    as_float,
    cross_entropy,
    dice_score,
    focal_terms,
    generalized_dice,
    tversky_index,
)


class DiceLoss(nn.Module):
    """Negated soft Dice over the whole batch and all classes together.

    Args:
        smooth: Added to both sides of the fraction; empty prediction and target give -1.
    """

    def __init__(self, smooth: float = 1.0) -> None:
        super().__init__()
        self.smooth = smooth

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar in [-1, 0]."""
        return -dice_score(prediction, target, self.smooth)


class MultiClassDiceLoss(nn.Module):
    """Mean over classes of `DiceLoss` (arXiv:1802.10508).

    Args:
        classes_of_interest: Channels to average; None takes all.
    """

    def __init__(self, classes_of_interest: Sequence[int] | None = None) -> None:
        super().__init__()
        self.classes_of_interest = classes_of_interest
        self.dice_loss = DiceLoss()

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar in [-1, 0]."""
        classes = range(prediction.shape[1]) if self.classes_of_interest is None else self.classes_of_interest
        return torch.stack([self.dice_loss(prediction[:, i], target[:, i]) for i in classes]).mean()


class BinaryCrossEntropyLoss(nn.Module):
    """Mean binary cross-entropy."""

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Non-negative scalar."""
        return cross_entropy(prediction, target).mean()


class FocalLoss(nn.Module):
    """Sum of the focal loss (Lin et al., 2017, arXiv:1708.02002).

    Args:
        gamma: 0 to 5, how much easy voxels are discounted; 0 is balanced cross-entropy.
        alpha: 0 to 1, weight of the foreground, usually its inverse frequency.
        eps: Distance predictions keep from 0 and 1.
    """

    def __init__(self, gamma: float = 2, alpha: float = 0.25, eps: float = 1e-7) -> None:
        super().__init__()
        self.gamma, self.alpha, self.eps = gamma, alpha, eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Non-negative scalar, the sum over all elements."""
        return focal_terms(input, target, self.gamma, self.alpha, self.eps).sum()


class FocalDiceLoss(nn.Module):
    """Difference of the logarithms of focal loss and Dice (after Wong et al., 2018, arXiv:1809.00076).

    Args:
        beta: Weight of the Dice part.
        gamma: See `FocalLoss`.
        alpha: See `FocalLoss`.
    """

    def __init__(self, beta: float = 1, gamma: float = 2, alpha: float = 0.25) -> None:
        super().__init__()
        self.beta, self.gamma, self.alpha = beta, gamma, alpha

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Unbounded scalar; lower is better."""
        focal = focal_terms(input, target, self.gamma, self.alpha, EPS).sum()
        dice = dice_score(input, target)
        return torch.log(focal.clamp(min=EPS)) - self.beta * torch.log(dice.clamp(min=EPS))


class GeneralizedDiceLoss(nn.Module):
    """Negated generalised Dice (Sudre et al., 2017, arXiv:1707.03237).

    Args:
        epsilon: Lower bound of squared volumes and of the denominator.
        include_background: Append a background channel, weighed as the others.
    """

    def __init__(self, epsilon: float = 1e-5, include_background: bool = True) -> None:
        super().__init__()
        self.epsilon, self.include_background = epsilon, include_background

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scalar in [-1, 0]."""
        return -generalized_dice(input, target, self.epsilon, self.include_background)


class TverskyLoss(nn.Module):
    """Negated Tversky index, mean over classes (Salehi et al., 2017, arXiv:1706.05721).

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives; both 0.5 make a Dice loss.
        smooth: Added to both sides of the fraction.
    """

    def __init__(self, alpha: float = 0.7, beta: float = 0.3, smooth: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def tversky_index(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Tversky index of one class."""
        return tversky_index(y_pred, y_true, self.alpha, self.beta, self.smooth)

    def _indices(self, prediction: Tensor, target: Tensor) -> Tensor:
        classes = range(prediction.shape[1])
        return torch.stack([self.tversky_index(prediction[:, i], target[:, i]) for i in classes])

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scalar in [-1, 0]."""
        return -self._indices(input, target).mean()


class FocalTverskyLoss(TverskyLoss):
    """Mean over classes of ``(1 - index)^(1 / gamma)`` (Abraham and Khan, 2019, arXiv:1810.07842).

    Args:
        alpha: Weight of false positives.
        beta: Weight of false negatives.
        gamma: 1 to 3, how much well segmented classes are discounted.
        smooth: Added to both sides of the fraction.
    """

    def __init__(
        self, alpha: float = 0.7, beta: float = 0.3, gamma: float = 1.33, smooth: float = 1.0
    ) -> None:
        super().__init__(alpha, beta, smooth)
        self.gamma = gamma

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scalar in [0, 1]."""
        # The root has an infinite slope at 0, where prediction and target agree.
        miss = (1.0 - self._indices(input, target)).clamp(min=EPS)
        return (miss ** (1.0 / self.gamma)).mean()


class L2loss(nn.Module):
    """Half the sum of squared differences."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Non-negative scalar."""
        input, target = as_float(input, target)
        return (input - target).square().sum() / 2


class AdapWingLoss(nn.Module):
    """Summed adaptive wing loss for heatmap targets in [0, 1] (Wang et al., 2019, arXiv:1904.07399).

    Args:
        theta: Difference at which the loss becomes linear.
        alpha: Shape; slightly above 2 makes the loss smooth at 0 (background).
        omega: Factor of the curved part.
        epsilon: Bound of the gradient near 0; must not be too small.
    """

    def __init__(self, theta: float = 0.5, alpha: float = 2.1, omega: float = 14, epsilon: float = 1) -> None:
        super().__init__()
        self.theta, self.alpha, self.omega, self.epsilon = theta, alpha, omega, epsilon

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Non-negative scalar."""
        return adaptive_wing(input, target, self.theta, self.alpha, self.omega, self.epsilon).sum()
