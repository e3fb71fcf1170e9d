"""`training_parameters` and `wandb`: batches, loss, length, learning rate, sampling, transfer learning, precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from ivadomed.config.schema import PathText
from ivadomed.registry.section import Named, OneOf, Section, key, name_or, refuse, section
from ivadomed.registry.types import (
    Flag,
    Fraction,
    NonNegative,
    NonNegativeReal,
    Positive,
    PositiveReal,
    Real,
    Text,
)


class Loss(Named):
    """Loss function and its arguments."""

    name: Text = key("DiceLoss", "Name of the loss.")


def _as_text(value: Any) -> Any:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Precision = Annotated[Literal["auto", "32", "bf16", "16"], BeforeValidator(_as_text)]


class TrainingTime(Section):
    """Length of the training, in epochs, in minutes, or the shorter of both."""

    num_epochs: Positive | None = key(
        100,
        "Maximum number of epochs (> 0). null, the default if `max_minutes` is given: no limit.",
        200,
    )
    max_minutes: PositiveReal | None = key(
        None,
        "Maximum duration of the training in minutes (> 0), preprocessing included: the number of epochs follows "
        "from the pace of the first ones, and the learning rate schedule spans it. null: no limit.",
        90,
    )
    early_stopping_patience: Positive = key(
        50, "Stop after this many consecutive epochs (> 0) in which the validation loss hardly changed.", 20
    )
    early_stopping_epsilon: NonNegativeReal = key(
        0.001, "Smallest change of the validation loss between epochs (>= 0) that counts.", 0.0001
    )

    @model_validator(mode="before")
    @classmethod
    def _minutes_alone(cls, value: Any) -> Any:
        # Set in the parsed section, so that files written from it contain it too.
        if not isinstance(value, Mapping) or value.get("max_minutes") is None:
            return value
        return {"num_epochs": None, **value}

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if self.num_epochs is None and self.max_minutes is None:
            refuse(["num_epochs: null; expected an integer, unless max_minutes is given"])
        return self


class CosineAnnealingLR(Named):
    """Half a cosine from `initial_lr` to `eta_min` over `num_epochs`."""

    name: Literal["CosineAnnealingLR"] = key("CosineAnnealingLR", "Name of the scheduler.")
    T_max: Positive | None = key(None, "Epochs (> 0) until the lowest rate; null: `num_epochs`.", 50)
    eta_min: NonNegativeReal = key(0.0, "Lowest learning rate (>= 0).", 1e-06)


class CosineAnnealingWarmRestarts(Named):
    """Cosine annealing with restarts (Loshchilov and Hutter, SGDR, 2017)."""

    name: Literal["CosineAnnealingWarmRestarts"] = key(
        "CosineAnnealingWarmRestarts", "Name of the scheduler."
    )
    T_0: Positive = key(10, "Epochs until the first restart (> 0).", 20)
    T_mult: Positive = key(1, "Factor (>= 1) by which each period is longer than the previous one.", 2)
    eta_min: NonNegativeReal = key(0.0, "Lowest learning rate (>= 0).", 1e-06)


class Momentum(Named):
    """Momentum cycled inversely to the learning rate."""

    cycle_momentum: Flag = key(False, "Cycle the momentum (Adam: beta1) inversely to the learning rate.")
    base_momentum: Fraction | None = key(
        None,
        "Momentum (0 to 1) at the highest learning rate, with `cycle_momentum`; null: torch's default.",
        0.8,
    )
    max_momentum: Fraction | None = key(
        None,
        "Momentum (0 to 1) at the lowest learning rate, with `cycle_momentum`; null: torch's default.",
        0.9,
    )


class CyclicLR(Momentum):
    """Learning rate that cycles between two bounds, stepped per batch (Smith, 2017)."""

    name: Literal["CyclicLR"] = key("CyclicLR", "Name of the scheduler.")
    base_lr: PositiveReal = key(1e-5, "Lower bound of the learning rate (> 0).", 0.0001)
    max_lr: PositiveReal = key(1e-2, "Upper bound of the learning rate (>= base_lr).", 0.001)
    step_size_up: Positive = key(2000, "Updates (> 0) of the rising half of a cycle.", 500)
    step_size_down: Positive | None = key(
        None, "Updates (> 0) of the falling half; null: `step_size_up`.", 500
    )
    mode: Literal["triangular", "triangular2", "exp_range"] = key(
        "triangular2", "Amplitude of the cycles: constant, halved each cycle, or times `gamma` per update."
    )
    gamma: PositiveReal = key(1.0, "Factor (> 0) per update of `exp_range`.", 0.999)
    scale_mode: Literal["cycle", "iterations"] = key(
        "cycle", "Unit that a custom scaling function counts; an argument of torch's, kept for compatibility."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base_lr > self.max_lr:
            refuse([f"base_lr: {self.base_lr} is above max_lr {self.max_lr}"])
        return self


class PolynomialLR(Named):
    """`initial_lr * (1 - epoch / num_epochs) ** power` (Chen et al., DeepLab, 2017)."""

    name: Literal["PolynomialLR"] = key("PolynomialLR", "Name of the scheduler.")
    power: PositiveReal = key(0.9, "Exponent (> 0); 1 is a straight line.", 1.0)
    total_iters: Positive | None = key(None, "Epochs (> 0) until 0 is reached; null: `num_epochs`.", 50)


class OneCycleLR(Momentum):
    """From `initial_lr` up to `max_lr` and down to almost 0, stepped per update (Smith and Topin, 2018)."""

    name: Literal["OneCycleLR"] = key("OneCycleLR", "Name of the scheduler.")
    max_lr: PositiveReal = key(1e-2, "Highest learning rate (>= initial_lr).", 0.005)
    pct_start: Fraction = key(0.3, "Fraction (0 to 1) of the training in which the learning rate rises.", 0.1)
    total_steps: Positive | None = key(None, "Updates (> 0) of the cycle; null: those of the training.", 5000)
    epochs: Positive | None = key(None, "With `steps_per_epoch`, instead of `total_steps`.", 100)
    steps_per_epoch: Positive | None = key(None, "With `epochs`, instead of `total_steps`.", 50)
    anneal_strategy: Literal["cos", "linear"] = key("cos", "Shape of the slopes.")
    div_factor: PositiveReal | None = key(
        None, "The cycle starts at `max_lr / div_factor`; null: at `initial_lr`.", 25.0
    )
    final_div_factor: PositiveReal = key(1e4, "The cycle ends at its start divided by this (> 0).", 1000.0)
    three_phase: Flag = key(False, "Return to the start in a separate phase before the final decline.")

    @model_validator(mode="after")
    def _length(self) -> Self:
        if (self.epochs is None) != (self.steps_per_epoch is None):
            refuse(["epochs: goes with steps_per_epoch; give both or neither"])
        return self


LrScheduler = Annotated[
    Annotated[CosineAnnealingLR, Tag("CosineAnnealingLR")]
    | Annotated[CosineAnnealingWarmRestarts, Tag("CosineAnnealingWarmRestarts")]
    | Annotated[PolynomialLR, Tag("PolynomialLR")]
    | Annotated[CyclicLR, Tag("CyclicLR")]
    | Annotated[OneCycleLR, Tag("OneCycleLR")],
    Discriminator(name_or("CosineAnnealingLR")),
]


class Scheduler(Section):
    """The learning rate over time."""

    initial_lr: PositiveReal = key(0.001, "Learning rate at the start (> 0).", 0.01)
    lr_scheduler: LrScheduler = section("Learning rate schedule.")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        cycle = self.lr_scheduler
        if isinstance(cycle, OneCycleLR) and cycle.div_factor is None and cycle.max_lr < self.initial_lr:
            refuse([f"lr_scheduler.max_lr: {cycle.max_lr} is below initial_lr {self.initial_lr}"])
        return self


class Adam(Named):
    """Adam (Kingma and Ba, 2015)."""

    name: Literal["Adam"] = key("Adam", "Name of the optimizer.")
    weight_decay: NonNegativeReal = key(0.0, "L2 penalty (>= 0) in the gradient.", 1e-05)


class AdamW(Named):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    name: Literal["AdamW"] = key("AdamW", "Name of the optimizer.")
    weight_decay: NonNegativeReal = key(
        0.01, "Fraction (>= 0) of a weight subtracted per step, times the learning rate.", 0.05
    )


class SGD(Named):
    """Stochastic gradient descent with momentum; the defaults are nnU-Net's (with initial_lr 0.01, PolynomialLR)."""

    name: Literal["SGD"] = key("SGD", "Name of the optimizer.")
    momentum: Annotated[Real, Field(ge=0, lt=1)] = key(
        0.99, "Fraction (>= 0, < 1) of the previous step that is added.", 0.9
    )
    nesterov: Flag = key(True, "Nesterov's momentum; needs a momentum > 0.")
    weight_decay: NonNegativeReal = key(3e-5, "L2 penalty (>= 0) in the gradient.", 0.0001)

    @model_validator(mode="after")
    def _has_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            refuse(["nesterov: needs a momentum above 0"])
        return self


Optimizer = Annotated[
    Annotated[Adam, Tag("Adam")] | Annotated[AdamW, Tag("AdamW")] | Annotated[SGD, Tag("SGD")],
    Discriminator(name_or("Adam")),
]


class BalanceSamples(Section):
    """Balanced sampling: rare samples are drawn as often as frequent ones."""

    applied: Flag = key(False, "Balance the samples of the training and validation sets.")
    type: Text = key(
        "gt", "Criterion to balance: `gt` (with or without label), or a metadata column, e.g. `sex`.", "sex"
    )


class TransferLearning(Section):
    """Start from the weights of an earlier model."""

    retrain_model: PathText | None = key(
        None, "Path of the model to start from; null: from scratch.", "models/seg_sc/seg_sc.pt"
    )
    retrain_fraction: Fraction = key(
        1.0, "Fraction (0 to 1) of the layers to train, counted from the last; the others are frozen.", 0.5
    )
    reset: Flag = key(True, "Reinitialize the layers to train instead of keeping the loaded weights.")


class TrainingParameters(Section):
    """Training: batches, loss, optimizer, schedule and precision."""

    batch_size: Positive = key(18, "Samples per batch (> 0), over all processes if several train.", 8)
    loss: Annotated[Loss, OneOf("ivadomed.losses:LOSSES", Loss, "DiceLoss")] = section(
        "Loss function and its arguments."
    )
    training_time: TrainingTime = section("Epochs and early stopping.")
    scheduler: Scheduler = section("Learning rate.")
    optimizer: Optimizer = section("Optimizer of the weights.")
    gradient_clipping: PositiveReal | None = key(
        None, "Maximum norm (> 0) of the gradient; larger ones are scaled down. null: no limit.", 12.0
    )
    accumulate_batches: Positive = key(
        1, "Batches (> 0) whose gradients are averaged for one update of the weights.", 4
    )
    ema_decay: Annotated[Real, Field(gt=0, lt=1)] | None = key(
        None,
        "Decay (> 0, < 1) of an exponential moving average of the weights, e.g. 0.999, which is validated and "
        "packaged in their place; null: none.",
        0.999,
    )
    balance_samples: BalanceSamples = section("Balanced sampling.")
    mixup_alpha: PositiveReal | None = key(
        None, "Alpha (> 0) of the Beta distribution of Mixup (Zhang et al., 2018); null: no Mixup.", 2.0
    )
    transfer_learning: TransferLearning = section("Start from an earlier model.")
    num_workers: NonNegative | None = key(
        None, "Data loading processes; 0: the main process; null: chosen by the number of cores.", 4
    )
    augment_on: Literal["worker", "device"] = key(
        "worker",
        "Where random transforms are computed: `worker`, per sample in the data loading processes, or "
        "`device`, per batch on the device of the training (worthwhile on a GPU). Both draw the same parameters.",
    )
    precision: Precision = key(
        "auto",
        "Number format: 32 bits, or mixed with bf16 or fp16. auto: chosen by the hardware. CUDA GPUs predict in fp16 "
        "unless it is 32.",
    )
    seed: NonNegative = key(
        0, "Seed (>= 0) of initial weights, sampling and augmentation; the split has its own.", 42
    )
    channels_last: Literal[True, False, "auto"] = key(
        "auto",
        "Keep images and weights in the channels-last memory format. auto: where that is faster on this processor.",
        True,
    )
    compile: Flag = key(False, "Compile the network (torch.compile): slow to start, then usually faster.")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        cycle = self.scheduler.lr_scheduler
        if self.training_time.max_minutes is None or not isinstance(cycle, OneCycleLR):
            return self
        given = [name for name in ("total_steps", "epochs") if getattr(cycle, name) is not None]
        place = "scheduler.lr_scheduler"
        refuse(
            [f"{place}.{name}: leave it out; the cycle is as long as max_minutes allows" for name in given]
        )
        return self


class Wandb(Section):
    """Tracking of a run with Weights & Biases."""

    wandb_api_key: Text = Field(
        default="",
        repr=False,
        description="API key. Preferably left empty in favor of the environment variable WANDB_API_KEY or "
        "`wandb login`, which keep the key out of files.",
        examples=[""],
    )
    project_name: Text = key("ivadomed", "Name of the project.", "cord")
    group_name: Text | None = key(None, "Name of the group of runs; null: none.", "dropout")
    run_name: Text | None = key(None, "Name of the run; null: chosen by wandb.", "dropout-0.2")
    log_grads_every: Positive = key(100, "Batches (> 0) between logs of the gradients.", 50)
