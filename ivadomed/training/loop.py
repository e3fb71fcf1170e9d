"""The training loop."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric

from ivadomed.device import fabric_precision
from ivadomed.errors import ConfigError, ModelError
from ivadomed.loader.balanced_sampler import balancing_weights
from ivadomed.loader.samples import Batch, EpochSampler, SampleDataset, make_loader
from ivadomed.losses import DiceLoss, build_loss
from ivadomed.metrics import MetricManager
from ivadomed.mixup import mixup
from ivadomed.models import Network, build_model, frozen_parameters, set_model_for_retrain
from ivadomed.models.checkpoint import save_model
from ivadomed.training.checkpoint import read_checkpoint, restore_rng, save_checkpoint, seed_all
from ivadomed.training.monitor import Monitor
from ivadomed.training.schedule import EarlyStopping, get_scheduler, stretch
from ivadomed.training.signals import StopRequest

log = logging.getLogger(__name__)

CHECKPOINT, BEST, FINAL = "checkpoint.pth.tar", "best_model.pt", "final_model.pt"


@dataclass(frozen=True)
class TrainingResult:
    """Of the epoch with the lowest validation loss; "dice" is the Dice loss, whatever loss was trained with."""

    training_dice: float = math.inf
    training_loss: float = math.inf
    validation_dice: float = math.inf
    validation_loss: float = math.inf


@dataclass(frozen=True)
class _Means:
    """Means over the batches of one pass through a data set."""

    loss: float
    dice: float


def train(
    model_params: Mapping[str, Any],
    dataset_train: SampleDataset,
    dataset_val: SampleDataset,
    training_params: Mapping[str, Any],
    path_output: str | os.PathLike[str],
    device: torch.device,
    metric_fns: Sequence[Callable[..., float]] = (),
    resume_training: bool = False,
    fingerprint: str = "",
) -> TrainingResult:
    """Train a network.

    Writes ``checkpoint.pth.tar`` after every epoch, ``best_model.pt`` (lowest validation loss) and
    ``final_model.pt``, all atomically, and TensorBoard events.

    Args:
        model_params: "name" and the arguments of the network.
        dataset_train: Training samples.
        dataset_val: Validation samples.
        training_params: The ``training_parameters`` section.
        path_output: Folder of the run.
        device: Where to train.
        metric_fns: Metrics of the validation predictions.
        resume_training: Continue from the checkpoint in ``path_output``, with the numbers that an
            uninterrupted run would have.
        fingerprint: Of the configuration; a run is resumed only under the same one.

    Raises:
        ModelError: The loss is not a number, or the checkpoint cannot be used.
        Interrupted: SIGINT or SIGTERM came; the last whole epoch is in the checkpoint.
    """
    trainer = Trainer(
        model_params, dataset_train, dataset_val, training_params, Path(path_output), device, metric_fns
    )
    trainer.fingerprint = fingerprint
    if resume_training:
        trainer.resume()
    return trainer.fit()


class Trainer:
    """One training run; see ``train`` for the arguments."""

    def __init__(
        self,
        model_params: Mapping[str, Any],
        dataset_train: SampleDataset,
        dataset_val: SampleDataset,
        training_params: Mapping[str, Any],
        folder: Path,
        device: torch.device,
        metric_fns: Sequence[Callable[..., float]],
    ) -> None:
        self.folder, self.device, self.metric_fns, self.fingerprint = folder, device, metric_fns, ""
        self.dataset_train, self.dataset_val = dataset_train, dataset_val
        self.soft_gt = dataset_train.soft_gt
        self.mixup_alpha = training_params["mixup_alpha"]
        self.num_epochs = training_params["training_time"]["num_epochs"]
        self.first_epoch, self.best = 1, TrainingResult()
        seed_all(training_params["seed"])

        self.name = model_params["name"]
        self.arguments = {key: value for key, value in model_params.items() if key != "name"}
        self.model = _initial_model(self.name, self.arguments, training_params["transfer_learning"])
        channels_last = training_params["channels_last"] and self.model.channels_last
        self.memory_format = _memory_format(channels_last, dataset_train.is_2d)
        precision = fabric_precision(training_params["precision"], device)
        devices = 1 if device.index is None else [device.index]
        self.fabric = Fabric(accelerator=device.type, devices=devices, precision=precision)  # type: ignore[arg-type]
        self._set_optimization(training_params)

        batch_size, workers, seed = (training_params[key] for key in ("batch_size", "num_workers", "seed"))
        pin = device.type == "cuda"
        balance = training_params["balance_samples"]
        weights = balancing_weights(dataset_train, balance["type"]) if balance["applied"] else None
        self.sampler = EpochSampler(len(dataset_train), seed, weights=weights)
        self.train_batches = make_loader(dataset_train, self.sampler, batch_size, workers, pin)
        in_order = EpochSampler(len(dataset_val), seed, shuffle=False)
        self.val_batches = make_loader(dataset_val, in_order, batch_size, min(workers, 1), pin)

    def _set_optimization(self, params: Mapping[str, Any]) -> None:
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        if not trainable:
            raise ConfigError(
                "training_parameters.transfer_learning.retrain_fraction: leaves no layer to train"
            )
        optimizer = torch.optim.Adam(trainable, lr=params["scheduler"]["initial_lr"])
        schedule = params["scheduler"]["lr_scheduler"]
        self.scheduler, self.steps_per_batch = get_scheduler(schedule, optimizer, self.num_epochs)
        log.info("\nScheduler parameters: %s", dict(schedule))
        loss = {key: value for key, value in params["loss"].items() if key != "name"}
        log.info("\nSelected Loss: %s\nwith the parameters: %s", params["loss"]["name"], loss or [])
        self.loss, self.dice_loss = build_loss(params["loss"]), DiceLoss()
        time = params["training_time"]
        self.stopping = EarlyStopping(time["early_stopping_epsilon"], time["early_stopping_patience"])
        self.model = self.model.to(memory_format=self.memory_format)  # type: ignore[call-overload]
        self.network, self.optimizer = self.fabric.setup(self.model, optimizer)

    def resume(self) -> None:
        """Continue from the checkpoint.

        Raises:
            ModelError: No checkpoint, a damaged one, or one of another configuration.
        """
        path = self.folder / CHECKPOINT
        state = read_checkpoint(path)
        if state["fingerprint"] != self.fingerprint:
            raise ModelError(
                f"{path}: belongs to another configuration; resume with the one in {self.folder / 'config_file.json'} "
                "(num_epochs may grow) or train into another --path-output"
            )
        for part, name in self._stateful():
            part.load_state_dict(state[name])
        self.first_epoch, self.best = state["epoch"] + 1, TrainingResult(**state["best"])
        stretch(self.scheduler, self.num_epochs)
        restore_rng(state["rng"])
        log.info("Resuming after epoch %d.", state["epoch"])

    def _stateful(self) -> list[tuple[Any, str]]:
        return [
            (self.model, "model"),
            (self.optimizer, "optimizer"),
            (self.scheduler, "scheduler"),
            (self.stopping, "stopping"),
            (self.fabric.strategy.precision, "precision"),  # the gradient scaler of fp16
        ]

    def fit(self) -> TrainingResult:
        """Train until the last epoch, or until the validation loss no longer changes."""
        monitor = Monitor(self.folder, self.num_epochs, self.first_epoch)
        advice = f"add --resume-training to the command to continue from {self.folder / CHECKPOINT}"
        with closing(monitor), StopRequest(advice) as stop:
            for epoch in range(self.first_epoch, self.num_epochs + 1):
                if self.stopping.stalled:
                    log.info("The validation loss stopped changing: training ends after epoch %d.", epoch - 1)
                    break
                training = self._train_epoch(epoch, monitor, stop)
                validation = self._validate(epoch, monitor, stop)
                monitor.losses(epoch, training.loss, validation.loss, self.optimizer.param_groups[0]["lr"])
                if not self.steps_per_batch:
                    self.scheduler.step()
                if validation.loss < self.best.validation_loss:
                    self.best = TrainingResult(training.dice, training.loss, validation.dice, validation.loss)
                    self._save_model(BEST)
                self.stopping.update(validation.loss)
                self._save_checkpoint(epoch)
        self._save_model(FINAL)
        return self.best

    def _train_epoch(self, epoch: int, monitor: Monitor, stop: StopRequest) -> _Means:
        self.sampler.epoch = epoch
        self.network.train()
        losses, dices = [], []
        for batch, bar in monitor.progress(self.train_batches, epoch, "training"):
            batch = self._mixed(self._ready(batch))
            prediction, target, loss, dice = self._predict(batch)
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            self.optimizer.step()
            if self.steps_per_batch:
                self.scheduler.step()
            losses.append(self._checked(loss, batch, self.dataset_train))
            dices.append(dice)
            bar.set_postfix(loss=f"{losses[-1]:.4f}", refresh=False)
            stop.check()
        monitor.images(epoch, "Training", batch.image, target, prediction.detach())
        return _Means(float(np.mean(losses)), float(np.mean(dices)))

    @torch.no_grad()
    def _validate(self, epoch: int, monitor: Monitor, stop: StopRequest) -> _Means:
        self.network.eval()
        losses, dices = [], []
        metrics = MetricManager(list(self.metric_fns))
        for batch, _ in monitor.progress(self.val_batches, epoch, "validation"):
            batch = self._ready(batch)
            prediction, target, loss, dice = self._predict(batch)
            losses.append(self._checked(loss, batch, self.dataset_val))
            dices.append(dice)
            metrics(*comparable(prediction, target, self.soft_gt))
            stop.check()
        monitor.metrics(epoch, metrics.get_results())
        monitor.images(epoch, "Validation", batch.image, target, prediction)
        return _Means(float(np.mean(losses)), float(np.mean(dices)))

    def _ready(self, batch: Batch) -> Batch:
        """The batch where it is computed with, after the steps that the workers left to the device."""
        return (
            batch.to(self.device)
            .augmented(self.soft_gt, self.dataset_train.classify)
            .to(self.device, self.memory_format)
        )

    def _predict(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
        """Prediction, target, loss, and Dice loss as a number."""
        assert batch.target is not None
        prediction = self.network(*self.model.inputs(batch))
        loss = self.loss(prediction, batch.target)
        dice = loss if isinstance(self.loss, DiceLoss) else self.dice_loss(prediction, batch.target)
        return prediction, batch.target, loss, float(dice.detach())

    def _mixed(self, batch: Batch) -> Batch:
        if not self.mixup_alpha or batch.target is None:
            return batch
        image, target = mixup(batch.image, batch.target, self.mixup_alpha)
        return Batch(image, target, batch.condition, batch.windows)

    def _checked(self, loss: torch.Tensor, batch: Batch, dataset: SampleDataset) -> float:
        value = float(loss.detach())
        if math.isfinite(value):
            return value
        names = ", ".join(sorted({dataset.cases[window.case].id for window in batch.windows}))
        raise ModelError(
            f"the loss became {value} on a batch of {names}; {CHECKPOINT} holds the last whole epoch, if there is one. "
            "Lower training_parameters.scheduler.initial_lr or look at these images"
        )

    def _save_model(self, file: str) -> None:
        save_model(self.folder / file, self.model, self.name, self.arguments)

    def _save_checkpoint(self, epoch: int) -> None:
        state = {name: part.state_dict() for part, name in self._stateful()}
        state |= {"epoch": epoch, "best": asdict(self.best), "fingerprint": self.fingerprint}
        save_checkpoint(self.folder / CHECKPOINT, state)


def comparable(prediction: torch.Tensor, target: torch.Tensor, soft: bool) -> tuple[np.ndarray, np.ndarray]:
    """Prediction and target as arrays for the metrics, binarized at 0.5 unless the ground truth is soft."""
    guess, truth = prediction.float().cpu().numpy(), target.float().cpu().numpy()
    return (guess, truth) if soft else ((guess >= 0.5).astype(np.float32), truth)


def _initial_model(name: str, arguments: Mapping[str, Any], transfer: Mapping[str, Any]) -> Network:
    """A new model, or a trained one with its first layers frozen."""
    model = cast(Network, build_model(name, arguments))
    path = transfer["retrain_model"]
    if path is None:
        log.info("\nInitialising model's weights from scratch.")
        return model
    log.info("\nInitialising model's weights from %s.", path)
    fraction, reset = transfer["retrain_fraction"], transfer["reset"]
    trained = set_model_for_retrain(path, fraction, map_location="cpu", reset=reset)
    wanted, there = ({key: tuple(v.shape) for key, v in m.state_dict().items()} for m in (model, trained))
    if type(trained) is not type(model) or wanted != there:
        raise ModelError(
            f"{path}: is not the {name} of the configuration (other layers or sizes); give the configuration the "
            "arguments it was trained with"
        )
    for parameter in frozen_parameters(trained):
        log.info("Frozen: %s", parameter)
    return trained


def _memory_format(channels_last: bool, is_2d: bool) -> torch.memory_format:
    if not channels_last:
        return torch.contiguous_format
    return torch.channels_last if is_2d else torch.channels_last_3d
