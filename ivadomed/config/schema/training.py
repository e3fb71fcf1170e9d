"""`training_parameters`: batches, loss, duration, learning rate, sampling, transfer learning, precision."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from ivadomed.config.schema.base import (
    Flag,
    Fraction,
    Named,
    NonNegative,
    NonNegativeReal,
    PathText,
    Positive,
    PositiveReal,
    Section,
    Text,
    name_or,
    refuse,
    section,
)
from ivadomed.config.schema.losses import DiceLoss, Loss


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Precision = Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_as_text)]


class TrainingTime(Section):
    """How long the training goes on."""

    num_epochs: Positive = Field(default=100, description="Largest number of epochs (> 0).")
    early_stopping_patience: Positive = Field(
        default=50,
        description="Stop after this many epochs in a row (> 0) in which the validation loss hardly changed.",
    )
    early_stopping_epsilon: NonNegativeReal = Field(
        default=0.001,
        description="Smallest change of the validation loss from one epoch to the next (>= 0) that counts.",
    )


class CosineAnnealingLR(Named):
    """Half a cosine from `initial_lr` to 0 over `num_epochs`."""

    name: Literal["CosineAnnealingLR"] = Field(
        default="CosineAnnealingLR", description="Name of the scheduler."
    )
    base_lr: PositiveReal | None = Field(
        default=None, description="Without effect here; the documents' examples carry it."
    )
    max_lr: PositiveReal | None = Field(
        default=None, description="Without effect here; the documents' examples carry it."
    )


class CosineAnnealingWarmRestarts(Named):
    """Cosine with restarts (Loshchilov and Hutter, SGDR, 2017)."""

    name: Literal["CosineAnnealingWarmRestarts"] = Field(
        default="CosineAnnealingWarmRestarts", description="Name of the scheduler."
    )
    T_0: Positive = Field(default=10, description="Epochs until the first restart (> 0).")
    T_mult: Positive = Field(
        default=1, description="Each period is this many times as long as the one before (>= 1)."
    )
    base_lr: PositiveReal | None = Field(
        default=None, description="Without effect here; the documents' examples carry it."
    )
    max_lr: PositiveReal | None = Field(
        default=None, description="Without effect here; the documents' examples carry it."
    )


class CyclicLR(Named):
    """Learning rate that cycles between two bounds, stepped per batch (Smith, 2017)."""

    name: Literal["CyclicLR"] = Field(default="CyclicLR", description="Name of the scheduler.")
    base_lr: PositiveReal = Field(default=1e-5, description="Lower bound of the learning rate (> 0).")
    max_lr: PositiveReal = Field(default=1e-2, description="Upper bound of the learning rate (>= base_lr).")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base_lr > self.max_lr:
            refuse([f"base_lr: {self.base_lr} is above max_lr {self.max_lr}"])
        return self


LrScheduler = Annotated[
    Annotated[CosineAnnealingLR, Tag("CosineAnnealingLR")]
    | Annotated[CosineAnnealingWarmRestarts, Tag("CosineAnnealingWarmRestarts")]
    | Annotated[CyclicLR, Tag("CyclicLR")],
    Discriminator(name_or("CosineAnnealingLR")),
]


class Scheduler(Section):
    """The learning rate over time."""

    initial_lr: PositiveReal = Field(default=0.001, description="Learning rate at the start (> 0).")
    lr_scheduler: LrScheduler = section(CosineAnnealingLR, "How the learning rate changes.")


class BalanceSamples(Section):
    """Draw samples so that rare ones are seen as often as frequent ones."""

    applied: Flag = Field(
        default=False, description="Balance the samples of the training and validation sets."
    )
    type: Text = Field(
        default="gt",
        description="What is balanced: `gt` (with and without label), or a metadata column, e.g. `sex`.",
    )


class TransferLearning(Section):
    """Start from the weights of an earlier model."""

    retrain_model: PathText | None = Field(
        default=None, description="Path of the model to start from; null: from scratch."
    )
    retrain_fraction: Fraction = Field(
        default=1.0,
        description="Fraction (0 to 1) of the layers, counted from the last, that is trained; others freeze.",
    )
    reset: Flag = Field(
        default=True, description="Draw new weights for the trained layers instead of keeping the loaded."
    )


class TrainingParameters(Section):
    """The optimisation."""

    batch_size: Positive = Field(default=18, description="Samples per batch (> 0).")
    loss: Loss = section(DiceLoss, "Loss function and its arguments.")
    training_time: TrainingTime = section(TrainingTime, "Epochs and early stopping.")
    scheduler: Scheduler = section(Scheduler, "Learning rate.")
    balance_samples: BalanceSamples = section(BalanceSamples, "Balanced sampling.")
    mixup_alpha: PositiveReal | None = Field(
        default=None,
        description="Alpha (> 0) of the Beta distribution of Mixup (Zhang et al., 2018); null: no Mixup.",
    )
    transfer_learning: TransferLearning = section(TransferLearning, "Start from an earlier model.")
    num_workers: NonNegative | None = Field(
        default=None,
        description="Processes that load data; 0: the main process; null: by the number of cores.",
    )
    augment_on: Literal["worker", "device"] = Field(
        default="worker",
        description="Where the random transforms of a sample are computed: `worker`, sample by sample in the loading "
        "processes, or `device`, a batch at a time where the training runs (worth it on a GPU). The same are drawn.",
    )
    precision: Precision = Field(
        default="auto",
        description="Number format: 32 bits, or mixed with bf16 or fp16. auto: what the hardware does well.",
    )
    seed: NonNegative = Field(
        default=0,
        description="Seed (>= 0) of initial weights, sampling and augmentation; the split has its own.",
    )
    channels_last: Flag = Field(
        default=True, description="Keep tensors in channels-last memory format, mostly faster."
    )
