"""Losses by name, as modules: thin wrappers around `ivadomed.losses.functional`.

Losses that can ignore voxels have the signature ``forward(prediction, target, mask=None)``; ``mask`` [B, 1, ...] is
True at the voxels that count, None counts all. A loss without ``mask`` in its signature cannot ignore voxels.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from ivadomed.errors import ConfigError
from ivadomed.losses.functional import (
    EPS,
    adaptive_wing,
    cross_entropy,
    dice_score,
    focal_terms,
    generalized_dice,
    mean_of,
    sum_of,
    tversky_index,
    unless_all_ignored,
    without_ignored,
)
from ivadomed.registry import Registry, did_you_mean
from ivadomed.registry.types import (
    Doc,
    Flag,
    Fraction,
    Gt,
    Len,
    NonNegative,
    NonNegativeReal,
    PositiveReal,
    Real,
    Text,
)

LOSSES: Registry[type[nn.Module]] = Registry(
    nn.Module,
    place="loss.name: {name!r}",
    unknown="loss.name: {name!r} is unknown",
    no_argument="loss.{key}: {name} has no such argument{hint} Accepted: {known}.",
    expected="loss; expected a subclass of torch.nn.Module",
)
loss = LOSSES.register

Smooth = Annotated[NonNegativeReal, Doc("Added to numerator and denominator (>= 0).", 0.1)]
FalsePositives = Annotated[NonNegativeReal, Doc("Weight of false positives (>= 0).", 0.3)]
FalseNegatives = Annotated[NonNegativeReal, Doc("Weight of false negatives (>= 0).", 0.7)]


@loss
class DiceLoss(nn.Module):
    """Negated soft Dice over the whole batch and all classes together (Milletari et al., V-Net, 2016).

    Empty prediction and target give -1.
    """

    def __init__(self, smooth: Smooth = 1.0) -> None:
        super().__init__()
        self.smooth = smooth

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar in [-1, 0]."""
        return unless_all_ignored(-dice_score(prediction, target, self.smooth, mask), mask)


@loss
class MultiClassDiceLoss(nn.Module):
    """Mean over classes of `DiceLoss` (arXiv:1802.10508)."""

    def __init__(
        self,
        classes_of_interest: Annotated[
            tuple[NonNegative, ...] | None,
            Doc("Indices in target_suffix (from 0) of the classes that count; null: all.", [0]),
        ] = None,
    ) -> None:
        super().__init__()
        self.classes_of_interest = classes_of_interest
        self.dice_loss = DiceLoss()

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar in [-1, 0]."""
        classes = range(prediction.shape[1]) if self.classes_of_interest is None else self.classes_of_interest
        prediction, target = without_ignored(prediction, target, mask)
        scores = [self.dice_loss(prediction[:, i], target[:, i]) for i in classes]
        return unless_all_ignored(torch.stack(scores).mean(), mask)


@loss
class GeneralizedDiceLoss(nn.Module):
    """Negated Dice with classes weighted by their inverse squared volume (Sudre et al., 2017, arXiv:1707.03237)."""

    def __init__(
        self,
        epsilon: Annotated[PositiveReal, Doc("Keeps weights and quotients finite (> 0).", 0.001)] = 1e-5,
        include_background: Annotated[Flag, Doc("Count the background as a class.")] = True,
    ) -> None:
        super().__init__()
        self.epsilon, self.include_background = epsilon, include_background

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar in [-1, 0]."""
        return -generalized_dice(input, target, self.epsilon, self.include_background, mask)


@loss
class BinaryCrossEntropyLoss(nn.Module):
    """Mean binary cross-entropy."""

    def forward(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Non-negative scalar."""
        return mean_of(cross_entropy(*without_ignored(prediction, target, mask)), mask)


@loss
class FocalLoss(nn.Module):
    """Sum of the focal loss (Lin et al., 2017, arXiv:1708.02002)."""

    def __init__(
        self,
        gamma: Annotated[NonNegativeReal, Doc("Focusing exponent (>= 0); 0 gives cross-entropy.", 0.5)] = 2.0,
        alpha: Annotated[Fraction, Doc("Weight of the foreground (0 to 1).", 0.5)] = 0.25,
        eps: Annotated[
            PositiveReal, Doc("Margin by which probabilities are clamped away from 0 and 1 (> 0).", 1e-05)
        ] = 1e-7,
    ) -> None:
        super().__init__()
        self.gamma, self.alpha, self.eps = gamma, alpha, eps

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Non-negative scalar, the sum over all elements."""
        pair = without_ignored(input, target, mask)
        return sum_of(focal_terms(*pair, self.gamma, self.alpha, self.eps), mask)


@loss
class FocalDiceLoss(nn.Module):
    """Logarithm of the focal loss minus the logarithm of Dice (after Wong et al., 2018, arXiv:1809.00076)."""

    def __init__(
        self,
        beta: Annotated[NonNegativeReal, Doc("Weight of the Dice term (>= 0).", 0.5)] = 1.0,
        gamma: Annotated[NonNegativeReal, Doc("Focusing exponent of the focal term (>= 0).", 1.0)] = 2.0,
        alpha: Annotated[Fraction, Doc("Weight of the foreground in the focal term (0 to 1).", 0.5)] = 0.25,
    ) -> None:
        super().__init__()
        self.beta, self.gamma, self.alpha = beta, gamma, alpha

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Unbounded scalar; lower is better."""
        pair = without_ignored(input, target, mask)
        focal = sum_of(focal_terms(*pair, self.gamma, self.alpha, EPS), mask)
        value = torch.log(focal.clamp(min=EPS)) - self.beta * torch.log(dice_score(*pair).clamp(min=EPS))
        return unless_all_ignored(value, mask)


@loss
class TverskyLoss(nn.Module):
    """Negated Tversky index, mean over classes (Salehi et al., 2017, arXiv:1706.05721).

    With `alpha` and `beta` 0.5 it is a Dice loss.
    """

    def __init__(self, alpha: FalsePositives = 0.7, beta: FalseNegatives = 0.3, smooth: Smooth = 1.0) -> None:
        super().__init__()
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def tversky_index(self, y_pred: Tensor, y_true: Tensor) -> Tensor:
        """Tversky index of one class."""
        return tversky_index(y_pred, y_true, self.alpha, self.beta, self.smooth)

    def _indices(self, prediction: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
        prediction, target = without_ignored(prediction, target, mask)
        classes = range(prediction.shape[1])
        return torch.stack([self.tversky_index(prediction[:, i], target[:, i]) for i in classes])

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar in [-1, 0]."""
        return unless_all_ignored(-self._indices(input, target, mask).mean(), mask)


@loss
class FocalTverskyLoss(TverskyLoss):
    """Mean over classes of ``(1 - index)^(1 / gamma)`` (Abraham and Khan, 2019, arXiv:1810.07842)."""

    def __init__(
        self,
        alpha: FalsePositives = 0.7,
        beta: FalseNegatives = 0.3,
        gamma: Annotated[PositiveReal, Doc("The loss is raised to 1 / gamma (> 0).", 2.0)] = 1.33,
        smooth: Smooth = 1.0,
    ) -> None:
        super().__init__(alpha, beta, smooth)
        self.gamma = gamma

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar in [0, 1]."""
        # The root has an infinite slope at 0, where prediction and target agree.
        miss = (1.0 - self._indices(input, target, mask)).clamp(min=EPS)
        return unless_all_ignored((miss ** (1.0 / self.gamma)).mean(), mask)


@loss
class L2loss(nn.Module):
    """Half the sum of squared differences."""

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Non-negative scalar."""
        input, target = without_ignored(input, target, mask)
        return (input - target).square().sum() / 2


@loss
class AdapWingLoss(nn.Module):
    """Summed adaptive wing loss for heat maps in [0, 1] (Wang et al., 2019, arXiv:1904.07399)."""

    def __init__(
        self,
        theta: Annotated[PositiveReal, Doc("Switch between the two branches (> 0).", 0.6)] = 0.5,
        alpha: Annotated[Real, Gt(2), Doc("Exponent (> 2, slightly above).", 2.2)] = 2.1,
        omega: Annotated[PositiveReal, Doc("Scale of the non-linear branch (> 0).", 8.0)] = 14.0,
        epsilon: Annotated[PositiveReal, Doc("Curvature of the non-linear branch (> 0).", 0.5)] = 1.0,
    ) -> None:
        super().__init__()
        self.theta, self.alpha, self.omega, self.epsilon = theta, alpha, omega, epsilon

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Non-negative scalar."""
        pair = without_ignored(input, target, mask)
        return sum_of(adaptive_wing(*pair, self.theta, self.alpha, self.omega, self.epsilon), mask)


def losses_without_mask(name: str, arguments: Mapping[str, Any]) -> list[str]:
    """Names of the losses that cannot ignore voxels; for a combination, each of its parts is checked.

    Raises:
        ConfigError: For an unknown name.
    """
    names = arguments.get("losses_list") or [name]
    return [one for one in names if "mask" not in inspect.signature(LOSSES.find(one).forward).parameters]


def build_loss(params: Mapping[str, Any]) -> nn.Module:
    """Build the loss described by a configuration.

    Args:
        params: ``{"name": ..., <its arguments>}``; the name is one of `LOSSES`, or ``package.module:Class``.

    Raises:
        ConfigError: For an unknown name or argument.
    """
    arguments = {key: value for key, value in params.items() if key != "name"}
    return LOSSES.build(params.get("name"), arguments)


@loss
class LossCombination(nn.Module):
    """Sum of several losses."""

    def __init__(
        self,
        losses_list: Annotated[
            tuple[Text, ...],
            Len(1),
            Doc("Names of the losses to sum.", ["DiceLoss", "FocalLoss"]),
        ],
        params_list: Annotated[
            tuple[dict[str, Any] | None, ...] | None,
            Doc(
                "Arguments of each loss in the same order, null for its defaults; null: all defaults.",
                [None, {"gamma": 0.5}],
            ),
        ] = None,
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

    @staticmethod
    def problems(
        losses_list: Sequence[str], params_list: Sequence[Mapping[str, Any] | None] | None
    ) -> list[str]:
        """Problems of the individual losses."""
        from ivadomed.registry.section import parse_arguments  # pydantic, which only a configuration needs

        single = [name for name in LOSSES if name != "LossCombination"]
        found = [
            f"losses_list[{index}]: {name!r} is unknown; expected one of {', '.join(single)}"
            f"{did_you_mean(name, single)}"
            for index, name in enumerate(losses_list)
            if name not in single and ":" not in name
        ]
        if params_list is not None and len(params_list) != len(losses_list):
            found.append(
                f"params_list: has {len(params_list)} entries for {len(losses_list)} losses; expected one object or "
                "null per loss"
            )
        for index, (name, params) in enumerate(zip(losses_list, params_list or (), strict=False)):
            if name in single and params:
                found += [f"params_list[{index}].{text}" for text in parse_arguments(LOSSES[name], params)[1]]
        return found

    def forward(self, input: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Scalar, the sum of the losses."""
        given = {} if mask is None else {"mask": mask}
        return torch.stack([part(input, target, **given) for part in self.losses]).sum()
