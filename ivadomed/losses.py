"""Loss functions for imbalanced classes, soft labels and heatmaps.

Each class is a thin wrapper of a pure function. All compute in float32 (float64 stays), whatever autocast
chose for the network: logarithms and sums over many voxels do not fit half precision.

Predictions are probabilities ``[B, C, ...]`` in [0, 1] of the shape of the target; losses are scalars, lower
is better. Dice and Tversky losses are negated scores in [-1, 0].
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ivadomed.errors import ConfigError

_EPS = 1e-7


def _float(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(x if x.dtype == torch.float64 else x.float() for x in tensors)


def dice_score(prediction: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """Soft Dice over all elements, ``(2 sum(pt) + s) / (sum(p) + sum(t) + s)`` (arXiv:1606.04797)."""
    prediction, target = _float(prediction, target)
    overlap = (prediction * target).sum()
    return (2.0 * overlap + smooth) / (prediction.sum() + target.sum() + smooth)


def cross_entropy(prediction: Tensor, target: Tensor, eps: float = _EPS) -> Tensor:
    """Element-wise binary cross-entropy; predictions are kept `eps` away from 0 and 1."""
    prediction, target = _float(prediction, target)
    prediction = prediction.clamp(eps, 1.0 - eps)
    return -(target * torch.log(prediction) + (1.0 - target) * torch.log1p(-prediction))


def focal_terms(prediction: Tensor, target: Tensor, gamma: float, alpha: float, eps: float) -> Tensor:
    """Element-wise focal loss ``-a_t (1 - p_t)^gamma log(p_t)`` (arXiv:1708.02002, equation 5)."""
    entropy = cross_entropy(prediction, target, eps)
    (target,) = _float(target)
    balance = alpha * target + (1.0 - alpha) * (1.0 - target)
    return balance * (1.0 - torch.exp(-entropy)) ** gamma * entropy


def tversky_index(prediction: Tensor, target: Tensor, alpha: float, beta: float, smooth: float) -> Tensor:
    """``(TP + s) / (TP + alpha FP + beta FN + s)`` (arXiv:1706.05721, equation 3)."""
    prediction, target = _float(prediction, target)
    true_positive = (target * prediction).sum()
    false_negative = (target * (1.0 - prediction)).sum()
    false_positive = ((1.0 - target) * prediction).sum()
    denominator = true_positive + alpha * false_positive + beta * false_negative + smooth
    return (true_positive + smooth) / denominator


def generalized_dice(prediction: Tensor, target: Tensor, epsilon: float, include_background: bool) -> Tensor:
    """Dice whose classes weigh by the inverse of their squared volume (arXiv:1707.03237, section 2.1).

    Every class of every sample has its own weight. The background is where all classes are exactly 0.
    """
    prediction, target = _float(prediction, target)
    if include_background:
        prediction, target = _with_background(prediction), _with_background(target)
    prediction, target = prediction.flatten(2), target.flatten(2)
    weight = 1.0 / target.sum(-1).square().clamp(min=epsilon)
    overlap = ((prediction * target).sum(-1) * weight).sum()
    volume = ((prediction + target).sum(-1) * weight).clamp(min=epsilon).sum()
    return 2.0 * overlap / volume


def _with_background(x: Tensor) -> Tensor:
    background = x.sum(dim=1, keepdim=True) == 0
    return torch.cat([x, background.to(x.dtype)], dim=1)


def adaptive_wing(
    prediction: Tensor, target: Tensor, theta: float, alpha: float, omega: float, epsilon: float
) -> Tensor:
    """Element-wise adaptive wing loss (Wang et al., ICCV 2019, arXiv:1904.07399, equation 3)."""
    prediction, target = _float(prediction, target)
    difference = (target - prediction).abs()
    exponent = alpha - target
    ratio = theta / epsilon
    slope = omega / (1.0 + ratio**exponent) * exponent * ratio ** (exponent - 1.0) / epsilon
    offset = theta * slope - omega * torch.log1p(ratio**exponent)
    # The branch `where` does not take must stay finite, also in its gradient.
    near = difference.clamp(max=theta)
    curved = omega * torch.log1p((near / epsilon) ** exponent)
    return torch.where(difference < theta, curved, slope * difference - offset)


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
        focal = focal_terms(input, target, self.gamma, self.alpha, _EPS).sum()
        dice = dice_score(input, target)
        return torch.log(focal.clamp(min=_EPS)) - self.beta * torch.log(dice.clamp(min=_EPS))


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
        miss = (1.0 - self._indices(input, target)).clamp(min=_EPS)
        return (miss ** (1.0 / self.gamma)).mean()


class L2loss(nn.Module):
    """Half the sum of squared differences."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Non-negative scalar."""
        input, target = _float(input, target)
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


class LossCombination(nn.Module):
    """Sum of other losses.

    Args:
        losses_list: Names, see `LOSSES`.
        params_list: Arguments of each, None for the defaults; None for the defaults of all.
    """

    def __init__(
        self, losses_list: Sequence[str], params_list: Sequence[Mapping[str, Any] | None] | None = None
    ) -> None:
        super().__init__()
        params = [None] * len(losses_list) if params_list is None else list(params_list)
        if len(params) != len(losses_list):
            raise ConfigError(
                f"loss.params_list: {len(params)} items, {len(losses_list)} losses; give one each, or null."
            )
        self.losses_list = list(losses_list)
        self.params_list = params_list
        self.losses = nn.ModuleList(
            build_loss({**(arguments or {}), "name": name})
            for name, arguments in zip(losses_list, params, strict=True)
        )

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Sum of the losses' scalars."""
        return torch.stack([loss(input, target) for loss in self.losses]).sum()


LOSSES: dict[str, Callable[..., nn.Module]] = {
    "AdapWingLoss": AdapWingLoss,
    "BinaryCrossEntropyLoss": BinaryCrossEntropyLoss,
    "DiceLoss": DiceLoss,
    "FocalDiceLoss": FocalDiceLoss,
    "FocalLoss": FocalLoss,
    "FocalTverskyLoss": FocalTverskyLoss,
    "GeneralizedDiceLoss": GeneralizedDiceLoss,
    "L2loss": L2loss,
    "LossCombination": LossCombination,
    "MultiClassDiceLoss": MultiClassDiceLoss,
    "TverskyLoss": TverskyLoss,
}


def build_loss(params: Mapping[str, Any]) -> nn.Module:
    """Make the loss a configuration describes.

    Args:
        params: ``{"name": ..., <its arguments>}``.

    Raises:
        ConfigError: For an unknown name or argument.
    """
    arguments = {key: value for key, value in params.items() if key != "name"}
    name = params.get("name")
    if name not in LOSSES:
        raise ConfigError(
            f"loss.name: {name!r} is unknown{_nearest(str(name), LOSSES)} Known: {', '.join(LOSSES)}."
        )
    # A loss without a constructor of its own shows the ``*args, **kwargs`` of nn.Module.
    known = [key for key in inspect.signature(LOSSES[name]).parameters if key not in ("args", "kwargs")]
    for key in arguments:
        if key not in known:
            accepted = ", ".join(known) or "none"
            raise ConfigError(
                f"loss.{key}: {name} has no such argument{_nearest(key, known)} Accepted: {accepted}."
            )
    return LOSSES[name](**arguments)


def _nearest(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "."
