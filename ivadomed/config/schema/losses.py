"""The losses and their arguments, one model per class of `ivadomed.losses`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator
from typing_extensions import Self

from ivadomed.config.problems import suggestion
from ivadomed.config.schema.base import (
    Flag,
    Fraction,
    Named,
    NonNegative,
    NonNegativeReal,
    PositiveReal,
    Real,
    Text,
    name_or,
    refuse,
)


class DiceLoss(Named):
    """Soft Dice (Milletari et al., V-Net, 2016)."""

    name: Literal["DiceLoss"] = Field(default="DiceLoss", description="Name of the loss.")
    smooth: NonNegativeReal = Field(
        default=1.0, description="Added to numerator and denominator (>= 0).", examples=[0.1]
    )


class MultiClassDiceLoss(Named):
    """Mean of the soft Dice of the classes."""

    name: Literal["MultiClassDiceLoss"] = Field(default="MultiClassDiceLoss", description="Name of the loss.")
    classes_of_interest: tuple[NonNegative, ...] | None = Field(
        default=None,
        description="Positions in target_suffix, from 0, of the classes that count; null: all.",
        examples=[[0]],
    )


class GeneralizedDiceLoss(Named):
    """Dice with classes weighted by their inverse squared volume (Sudre et al., 2017)."""

    name: Literal["GeneralizedDiceLoss"] = Field(
        default="GeneralizedDiceLoss", description="Name of the loss."
    )
    epsilon: PositiveReal = Field(
        default=1e-5, description="Keeps weights and quotients finite (> 0).", examples=[0.001]
    )
    include_background: Flag = Field(default=True, description="Count the background as a class.")


class BinaryCrossEntropyLoss(Named):
    """Binary cross-entropy."""

    name: Literal["BinaryCrossEntropyLoss"] = Field(
        default="BinaryCrossEntropyLoss", description="Name of the loss."
    )


class FocalLoss(Named):
    """Focal loss (Lin et al., 2017)."""

    name: Literal["FocalLoss"] = Field(default="FocalLoss", description="Name of the loss.")
    gamma: NonNegativeReal = Field(
        default=2.0, description="Focusing exponent (>= 0); 0 gives cross-entropy.", examples=[0.5]
    )
    alpha: Fraction = Field(default=0.25, description="Weight of the foreground (0 to 1).", examples=[0.5])
    eps: PositiveReal = Field(
        default=1e-7, description="Distance that probabilities keep from 0 and 1 (> 0).", examples=[1e-05]
    )


class FocalDiceLoss(Named):
    """Logarithm of the focal loss minus that of Dice (after Wong et al., 2018)."""

    name: Literal["FocalDiceLoss"] = Field(default="FocalDiceLoss", description="Name of the loss.")
    beta: NonNegativeReal = Field(default=1.0, description="Weight of the Dice term (>= 0).", examples=[0.5])
    gamma: NonNegativeReal = Field(
        default=2.0, description="Focusing exponent of the focal term (>= 0).", examples=[1.0]
    )
    alpha: Fraction = Field(
        default=0.25, description="Weight of the foreground in the focal term (0 to 1).", examples=[0.5]
    )


class TverskyLoss(Named):
    """Tversky index (Salehi et al., 2017)."""

    name: Literal["TverskyLoss"] = Field(default="TverskyLoss", description="Name of the loss.")
    alpha: NonNegativeReal = Field(
        default=0.7, description="Weight of false positives (>= 0).", examples=[0.3]
    )
    beta: NonNegativeReal = Field(
        default=0.3, description="Weight of false negatives (>= 0).", examples=[0.7]
    )
    smooth: NonNegativeReal = Field(
        default=1.0, description="Added to numerator and denominator (>= 0).", examples=[0.1]
    )


class FocalTverskyLoss(Named):
    """Focal Tversky loss (Abraham and Khan, 2019)."""

    name: Literal["FocalTverskyLoss"] = Field(default="FocalTverskyLoss", description="Name of the loss.")
    alpha: NonNegativeReal = Field(
        default=0.7, description="Weight of false positives (>= 0).", examples=[0.3]
    )
    beta: NonNegativeReal = Field(
        default=0.3, description="Weight of false negatives (>= 0).", examples=[0.7]
    )
    gamma: PositiveReal = Field(
        default=1.33, description="The loss is raised to 1 / gamma (> 0).", examples=[2.0]
    )
    smooth: NonNegativeReal = Field(
        default=1.0, description="Added to numerator and denominator (>= 0).", examples=[0.1]
    )


class L2loss(Named):
    """Half the sum of squared differences."""

    name: Literal["L2loss"] = Field(default="L2loss", description="Name of the loss.")


class AdapWingLoss(Named):
    """Adaptive wing loss for heat maps (Wang et al., 2019)."""

    name: Literal["AdapWingLoss"] = Field(default="AdapWingLoss", description="Name of the loss.")
    theta: PositiveReal = Field(
        default=0.5, description="Switch between the two branches (> 0).", examples=[0.6]
    )
    alpha: Real = Field(default=2.1, gt=2, description="Exponent (> 2, slightly above).", examples=[2.2])
    omega: PositiveReal = Field(
        default=14.0, description="Scale of the non-linear branch (> 0).", examples=[8.0]
    )
    epsilon: PositiveReal = Field(
        default=1.0, description="Curvature of the non-linear branch (> 0).", examples=[0.5]
    )


SINGLE: tuple[type[Named], ...] = (
    DiceLoss,
    MultiClassDiceLoss,
    GeneralizedDiceLoss,
    BinaryCrossEntropyLoss,
    FocalLoss,
    FocalDiceLoss,
    TverskyLoss,
    FocalTverskyLoss,
    L2loss,
    AdapWingLoss,
)
SINGLE_LOSSES: dict[str, type[Named]] = {model.__name__: model for model in SINGLE}


class LossCombination(Named):
    """Sum of several losses."""

    name: Literal["LossCombination"] = Field(default="LossCombination", description="Name of the loss.")
    losses_list: tuple[Text, ...] = Field(
        min_length=1, description="Names of the losses that are added.", examples=[["DiceLoss", "FocalLoss"]]
    )
    params_list: tuple[dict[str, Any] | None, ...] | None = Field(
        default=None,
        description="Arguments of each loss in the same order, null for its defaults; null: all defaults.",
        examples=[[None, {"gamma": 0.5}]],
    )

    @model_validator(mode="after")
    def _each_loss(self) -> Self:
        problems = []
        for index, name in enumerate(self.losses_list):
            if name not in SINGLE_LOSSES:
                problems.append(
                    f"losses_list[{index}]: {name!r} is unknown; expected one of {', '.join(SINGLE_LOSSES)}"
                    f"{suggestion(name, list(SINGLE_LOSSES))}"
                )
        if self.params_list is not None and len(self.params_list) != len(self.losses_list):
            problems.append(
                f"params_list: has {len(self.params_list)} entries for {len(self.losses_list)} losses; "
                "expected "
                "one object or null per loss"
            )
        pairs = zip(self.losses_list, self.params_list or (), strict=False)
        for index, (name, arguments) in enumerate(pairs):
            if name in SINGLE_LOSSES and arguments:
                problems += _argument_problems(f"params_list[{index}]", SINGLE_LOSSES[name], arguments)
        refuse(problems)
        return self


def _argument_problems(place: str, model: type[Named], arguments: dict[str, Any]) -> list[str]:
    known = [key for key in model.model_fields if key != "name"]
    found = [
        f"{place}.{key}: unknown key; {model.__name__} takes {', '.join(known) or 'no arguments'}"
        for key in arguments
        if key not in known
    ]
    try:
        model.model_validate({key: value for key, value in arguments.items() if key in known})
    except ValidationError as error:
        found += [
            f"{place}.{entry['loc'][0]}: {entry['input']!r}; {entry['msg']}" for entry in error.errors()
        ]
    return found


Loss = Annotated[
    Annotated[DiceLoss, Tag("DiceLoss")]
    | Annotated[MultiClassDiceLoss, Tag("MultiClassDiceLoss")]
    | Annotated[GeneralizedDiceLoss, Tag("GeneralizedDiceLoss")]
    | Annotated[BinaryCrossEntropyLoss, Tag("BinaryCrossEntropyLoss")]
    | Annotated[FocalLoss, Tag("FocalLoss")]
    | Annotated[FocalDiceLoss, Tag("FocalDiceLoss")]
    | Annotated[TverskyLoss, Tag("TverskyLoss")]
    | Annotated[FocalTverskyLoss, Tag("FocalTverskyLoss")]
    | Annotated[L2loss, Tag("L2loss")]
    | Annotated[AdapWingLoss, Tag("AdapWingLoss")]
    | Annotated[LossCombination, Tag("LossCombination")],
    Discriminator(name_or("DiceLoss")),
]
