"""The training loop."""

from __future__ import annotations

import copy
import itertools
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch

from ivadomed.config.run_files import BEST, CHECKPOINT, CONFIG, FINAL
from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.errors import ConfigError, ModelError
from ivadomed.images.io import is_nifti
from ivadomed.loader.balanced_sampler import balancing_weights
from ivadomed.loader.samples import Batch, EpochSampler, SampleDataset, make_loader
from ivadomed.losses import LOSSES, DeepSupervisionLoss, DiceLoss
from ivadomed.losses.deep_supervision import full_resolution
from ivadomed.metrics import MetricManager
from ivadomed.models.checkpoint import save_model
from ivadomed.runtime.allocator import reused_memory
from ivadomed.runtime.device import fixed_shapes
from ivadomed.runtime.memory_format import channels_last
from ivadomed.runtime.ranks import ALONE, World
from ivadomed.runtime.signals import StopRequest
from ivadomed.runtime.terminal import say
from ivadomed.training.budget import Budget, Clock, seconds_of_pass
from ivadomed.training.checkpoint import (
    changes,
    read_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
    seed_all,
)
from ivadomed.training.gifs import GifRecorder
from ivadomed.training.mixup import mixup
from ivadomed.training.monitor import NOTHING, Monitor, Watch, start_tracking
from ivadomed.training.network import compile_network, fewest_samples, initial_model
from ivadomed.training.optimization import Optimization
from ivadomed.training.processes import Processes, Shard
from ivadomed.training.rehearsal import read_rehearsal, write_rehearsal
from ivadomed.training.schedule import EarlyStopping

log = logging.getLogger(__name__)

_ADVICE_BEFORE = "no epoch is finished, so there is nothing to continue from; the same command starts again"

EpochEnd = Callable[[int, float], None]
"""Told the number of an epoch, from 1, and its validation loss."""

Planned = Callable[[Mapping[int, int]], None]
"""Told the number of epochs, by the first epoch that it was in force for, whenever the time decides on it."""


class TrainingResult(NamedTuple):
    """Losses of the epoch with the lowest validation loss; "dice" is the Dice loss, whatever loss was trained with."""

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
    architecture: Architecture,
    dataset_train: SampleDataset,
    dataset_val: SampleDataset,
    params: TrainingParameters,
    path_output: str | os.PathLike[str],
    device: torch.device,
    metric_fns: Sequence[Callable[..., float]] = (),
    resume_training: bool = False,
    configuration: Mapping[str, Any] | None = None,
    world: World = ALONE,
    watch: Watch = NOTHING,
    on_epoch: EpochEnd | None = None,
    on_plan: Planned | None = None,
    clock: Clock = time.monotonic,
    started: float | None = None,
) -> TrainingResult:
    """Train a network.

    Writes ``checkpoint.pth.tar`` after every epoch, ``best_model.pt`` (lowest validation loss) and
    ``final_model.pt``, all atomically, and TensorBoard events.

    Args:
        architecture: Network and its arguments.
        dataset_train: Training samples.
        dataset_val: Validation samples.
        params: The ``training_parameters`` section, see ``resolve_parameters``.
        path_output: Folder of the run.
        device: Device of this process.
        metric_fns: Metrics of the soft validation predictions.
        resume_training: Continue from the checkpoint in ``path_output``, with the numbers that an
            uninterrupted run would have.
        configuration: All that decides about the result; a run is resumed only under the same.
        world: This process among those that call this function to train together.
        watch: Extras for the eye: animations, mixed samples, tracking.
        on_epoch: Called after every epoch, when its checkpoint is written; what it raises ends the training.
        on_plan: Called when ``training_time.max_minutes`` decides on the number of epochs, in the first process.
        clock: Seconds that only grow.
        started: Reading of the clock from which ``max_minutes`` counts; None: now.

    Raises:
        ConfigError: The run to resume had another configuration, or has more epochs already.
        ModelError: The loss is not a number, or the checkpoint cannot be used.
        Interrupted: SIGINT or SIGTERM came; the last whole epoch is in the checkpoint.
    """
    folder = Path(path_output)
    trainer = Trainer(
        *(architecture, dataset_train, dataset_val, params, folder, device, metric_fns, world, watch),
        *(clock, started),
    )
    trainer.configuration = json.loads(json.dumps(configuration or {}))
    if resume_training:
        trainer.resume()
    result = trainer.fit(on_epoch, on_plan)
    trainer.processes.close()
    return result


class Trainer:
    """One training run; see ``train`` for the arguments."""

    def __init__(
        self,
        architecture: Architecture,
        dataset_train: SampleDataset,
        dataset_val: SampleDataset,
        params: TrainingParameters,
        folder: Path,
        device: torch.device,
        metric_fns: Sequence[Callable[..., float]] = (),
        world: World = ALONE,
        watch: Watch = NOTHING,
        clock: Clock = time.monotonic,
        started: float | None = None,
    ) -> None:
        started = clock() if started is None else started
        self.architecture, self.params, self.folder = architecture, params, folder
        self.metric_fns, self.watch = metric_fns, watch
        self.configuration: dict[str, Any] = {}
        self.dataset_train, self.dataset_val = dataset_train, dataset_val
        self.first_epoch, self.best = 1, TrainingResult()
        seed_all(params.seed)

        self.processes = Processes(world, device, params.precision)
        self.device = self.processes.fabric.device
        agree = self.processes.agree
        self.budget = Budget(params.training_time, lambda: agree(clock()), agree(started))
        self.model = initial_model(architecture, params.transfer_learning)
        last = params.channels_last is True and self.model.channels_last
        self.memory_format = (
            channels_last(2 if dataset_train.is_2d else 3) if last else torch.contiguous_format
        )
        self.model = self.processes.prepared(self.model, self.memory_format)
        if params.compile:
            compile_network(self.model, self.device)
        loss = params.loss
        log.info("\nSelected Loss: %s\nwith the parameters: %s", loss.name, loss.arguments or [])
        self.loss = DeepSupervisionLoss(LOSSES.build(loss.name, loss.arguments))
        self.dice_loss = DiceLoss()
        self.stopping = EarlyStopping(params.training_time)
        self._set_loaders()
        self.optimization = Optimization(self.processes.fabric, self.model, params, len(self.train_batches))
        self.network = self.optimization.network
        if world.rank > 0:
            torch.manual_seed(params.seed + world.rank)  # else all parts of a batch had the same dropout

    def _set_loaders(self) -> None:
        params, world = self.params, self.processes.world
        workers, pin = params.num_workers or 0, self.device.type == "cuda"
        balanced, in_turn = (
            balancing_weights(dataset, params.balance_samples.type)
            if params.balance_samples.applied
            else None
            for dataset in (self.dataset_train, self.dataset_val)
        )
        self.sampler = EpochSampler(len(self.dataset_train), params.seed, weights=balanced)
        in_order = EpochSampler(len(self.dataset_val), params.seed, shuffle=False, weights=in_turn)
        size = params.batch_size
        least = fewest_samples(
            self.architecture,
            self.dataset_train.sample_size,
            size,
            world.size if self.device.type == "cpu" else 1,
            len(self.dataset_train),
        )
        self.train_batches = make_loader(self.dataset_train, self.sampler, size, workers, pin, world, least)
        self.val_batches = make_loader(self.dataset_val, in_order, size, min(workers, 1), pin, world)

    def resume(self) -> None:
        """Continue from the checkpoint.

        Raises:
            ConfigError: It belongs to another configuration, or has more epochs already.
            ModelError: No checkpoint, or a damaged one.
        """
        path = self.folder / CHECKPOINT
        state = read_checkpoint(path)
        if changed := changes(state["configuration"], self.configuration):
            raise ConfigError(
                f"{path}: was trained under another configuration: {'; '.join(changed)}. Resume with the one in "
                f"{self.folder / CONFIG} (num_epochs and max_minutes may grow), or train with another "
                "--path-output"
            )
        most = self.budget.most
        if most is not None and most < state["epoch"]:
            raise ConfigError(
                f"training_parameters.training_time.num_epochs: {most}, but {path} has {state['epoch']} "
                "epochs already; give at least as many"
            )
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ModelError(f"{path}: does not fit the network; train again with --overwrite") from error
        say("Resumed", f"after epoch {state['epoch']}")

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.budget.done = state["epoch"]
        if "budget" in state:  # version 3.0.0 knew none
            self.budget.load_state_dict(state["budget"])
        if self.budget.epochs is not None and self.budget.minutes is not None:
            self.optimization.set_epochs(self.budget.epochs)
        self.optimization.load_state_dict(state["optimization"])
        self.stopping.load_state_dict(state["stopping"])
        self.first_epoch, self.best = state["epoch"] + 1, TrainingResult(**state["best"])
        if (rank := self.processes.world.rank) < len(state["rng"]):
            restore_rng(state["rng"][rank])

    def fit(self, on_epoch: EpochEnd | None = None, on_plan: Planned | None = None) -> TrainingResult:
        """Train until the last epoch, or until the validation loss no longer changes; see ``train``."""
        stop = StopRequest(_ADVICE_BEFORE)
        with (
            closing(self.train_batches),
            closing(self.val_batches),
            stop,
            fixed_shapes(self.device),
            reused_memory(),
        ):
            if self.first_epoch > 1:
                stop.advice = self._advice
            if self.budget.epochs is None:
                self._find_number(stop)
            self._tell(on_plan)
            with closing(self._monitor()) as monitor, closing(self._gifs()) as gifs:
                self.budget.begin()
                for epoch in itertools.count(self.first_epoch):
                    if epoch > self.num_epochs:
                        break
                    if self.stopping.stalled:
                        say(
                            "Stopped",
                            f"after epoch {epoch - 1}: the validation loss does not change any more",
                        )
                        break
                    validation = self._epoch(epoch, monitor, gifs, stop)
                    if self.budget.ended():
                        monitor.num_epochs = self.num_epochs
                        self.optimization.set_epochs(self.num_epochs)
                        self._tell(on_plan)
                    self._save_checkpoint(epoch)
                    stop.advice = self._advice
                    if on_epoch is not None:
                        on_epoch(epoch, validation.loss)
                with self.optimization.average.in_place():
                    self._save_model(FINAL)
        return self.best

    @property
    def _advice(self) -> str:
        return f"add --resume-training to the command to continue from {self.folder / CHECKPOINT}"

    @property
    def num_epochs(self) -> int:
        """Last epoch, as far as it is known."""
        return self.budget.epochs or 0

    def _tell(self, on_plan: Planned | None) -> None:
        if on_plan is not None and self.budget.history and self.processes.world.is_first:
            on_plan(self.budget.history)

    def _find_number(self, stop: StopRequest) -> None:
        """Set the first number of epochs: that of a rehearsal before an interruption, else of one now."""
        if self.first_epoch == 1:
            kept = self.processes.collect(read_rehearsal(self.folder, self.configuration))[0]
            if kept is not None:
                self.budget.load_state_dict(kept)
        if self.budget.epochs is None:
            self.budget.rehearsed(self._rehearse(stop))
            if self.processes.world.is_first:
                write_rehearsal(self.folder, self.configuration, self.budget)
        self.optimization.set_epochs(self.num_epochs)

    def _rehearse(self, stop: StopRequest) -> float:
        """Seconds that an epoch will take, by its first batches; nothing of what they change stays."""
        kept, rng = copy.deepcopy(self.optimization.state_dict()), rng_state()
        drawn, metrics = torch.Generator().manual_seed(0), MetricManager(list(self.metric_fns))

        def learn(shard: Shard) -> None:
            self._train_batch(shard, drawn)
            stop.check()

        def validate(shard: Shard) -> None:
            self._validate_batch(shard, metrics)
            stop.check()

        self.sampler.epoch = self.first_epoch
        self.network.train()
        seconds = seconds_of_pass(self.train_batches, learn, self.budget)
        self.network.eval()
        with torch.no_grad():
            seconds += seconds_of_pass(self.val_batches, validate, self.budget)
        self.optimization.load_state_dict(kept)
        restore_rng(rng)
        return seconds

    def _epoch(self, epoch: int, monitor: Monitor, gifs: GifRecorder, stop: StopRequest) -> _Means:
        """Train, validate, save the best model and advance to the next learning rate; the means of the validation."""
        training = self._train_epoch(epoch, monitor, stop)
        with self.optimization.average.in_place():
            validation = self.processes.agree(self._validate(epoch, monitor, stop))
            is_best = validation.loss < self.best.validation_loss
            if is_best:
                self.best = TrainingResult(training.dice, training.loss, validation.dice, validation.loss)
                self._save_model(BEST)
            gifs.record(epoch, self._guess)
        monitor.losses(epoch, training.loss, validation.loss, self.optimization.learning_rate)
        monitor.finished(epoch, training.loss, validation.loss, is_best, self.device)
        self.optimization.end_epoch()
        self.stopping.update(validation.loss)
        return validation

    def _monitor(self) -> Monitor:
        shown, wandb = self.processes.world.is_first, self.watch.wandb
        tracker = None
        if shown and wandb is not None:
            tracker = start_tracking(wandb, self.folder, resume=self.first_epoch > 1)
            if tracker is not None:
                tracker.watch(self.model, log="gradients", log_freq=wandb.log_grads_every)
        return Monitor(self.folder, self.num_epochs, self.first_epoch, shown, tracker, self._slice_axis)

    @property
    def _slice_axis(self) -> int | None:
        """RAS axis along which slices were taken; None for pictures, which are upright as they are stored."""
        return self.watch.slice_axis if is_nifti(self.dataset_val.cases[0].images[0]) else None

    def _gifs(self) -> GifRecorder:
        count = self.watch.gifs if self.processes.world.is_first and not self.dataset_val.classify else 0
        return GifRecorder(self.folder, self.dataset_val, count, self._slice_axis)

    def _train_epoch(self, epoch: int, monitor: Monitor, stop: StopRequest) -> _Means:
        self.sampler.epoch = epoch
        self.network.train()
        # Randomness that all processes draw alike.
        seed = np.random.SeedSequence((self.params.seed, epoch)).generate_state(1)[0]
        drawn = torch.Generator().manual_seed(int(seed))
        losses, dices = [], []
        for shard, bar in monitor.progress(self.train_batches, epoch, "training"):
            batch, prediction, loss, dice = self._train_batch(shard, drawn, shard.step == 0)
            losses.append(loss)
            dices.append(dice)
            bar.set_postfix(loss=f"{losses[-1]:.4f}", refresh=False)
            stop.check()
        assert batch.target is not None
        monitor.images(epoch, "Training", batch.image, batch.target, prediction.detach())
        return _Means(float(np.mean(losses)), float(np.mean(dices)))

    def _train_batch(
        self, shard: Shard, drawn: torch.Generator, shown: bool = False
    ) -> tuple[Batch, torch.Tensor, float, float]:
        """Learn from a batch: the batch as it was seen, prediction of this process, loss and Dice loss of all."""
        batch = self._mixed(self._ready(shard.batch), shard.size, drawn, shown)
        with self.optimization.around(shard.step):
            prediction, loss, watched = self._predict(batch, shard.size)
            self.optimization.learn(loss, shard.step)
        return batch, prediction, *self._read(watched, batch)

    @torch.no_grad()
    def _validate(self, epoch: int, monitor: Monitor, stop: StopRequest) -> _Means:
        self.network.eval()
        losses, dices = [], []
        metrics = MetricManager(list(self.metric_fns))
        for shard, _ in monitor.progress(self.val_batches, epoch, "validation"):
            batch, prediction, loss, dice = self._validate_batch(shard, metrics)
            losses.append(loss)
            dices.append(dice)
            stop.check()
        metrics.merge(self.processes.collect(metrics.result_dict))
        monitor.metrics(epoch, metrics.get_results())
        assert batch.target is not None
        monitor.images(epoch, "Validation", batch.image, batch.target, prediction)
        return _Means(float(np.mean(losses)), float(np.mean(dices)))

    def _validate_batch(
        self, shard: Shard, metrics: MetricManager
    ) -> tuple[Batch, torch.Tensor, float, float]:
        """Measure a batch: see ``_train_batch``."""
        batch = self._ready(shard.batch)
        prediction, _, watched = self._predict(batch, shard.size)
        loss, dice = self._read(watched, batch)
        self._measure(metrics, prediction, batch, shard.size)
        return batch, prediction, loss, dice

    def _ready(self, batch: Batch) -> Batch:
        """The batch where it is computed with, after the steps that the workers left to the device."""
        batch = batch.to(self.device).augmented(self.dataset_train.soft_gt, self.dataset_train.classify)
        return batch.to(self.device, self.memory_format)

    def _predict(self, batch: Batch, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Prediction of this process; of the whole batch the loss, and what ``_read`` reads."""
        assert batch.target is not None
        own = self.network(*self.model.inputs(batch))  # several resolutions under deep supervision
        predictions, targets = self.processes.whole((own, batch.target), size)
        whole = full_resolution(predictions)
        mask = None if batch.ignore is None else self.processes.whole(batch.ignore, size) < 0.5
        try:
            loss = self.loss(predictions, targets, mask)
        except Exception:  # of what is not a number, some losses raise, others hide it
            if not torch.isfinite(whole).all():
                self._refuse("the loss became nan", batch)
            raise
        watched = torch.isfinite(whole).all(), loss, self.dice_loss(whole, targets, mask)
        return full_resolution(own), loss, torch.stack([x.detach().float().reshape(()) for x in watched])

    def _measure(self, metrics: MetricManager, prediction: torch.Tensor, batch: Batch, size: int) -> None:
        """Add the samples of this process."""
        assert batch.target is not None
        guess, truth = (as_array(self.processes.own(x, size)) for x in (prediction, batch.target))
        mask = None if batch.mask is None else self.processes.own(batch.mask, size).cpu().numpy()
        metrics(guess, truth, mask)

    @torch.no_grad()
    def _guess(self, batch: Batch) -> torch.Tensor:
        """Prediction of a batch by this process alone."""
        return full_resolution(self.model(*self.model.inputs(self._ready(batch))))

    def _mixed(self, batch: Batch, size: int, drawn: torch.Generator, first: bool) -> Batch:
        alpha = self.params.mixup_alpha
        if not alpha or batch.target is None:
            return batch
        # Partners come from the whole batch, so every process mixes all of it and takes its part.
        images, targets = self.processes.whole((batch.image, batch.target), size)
        if batch.ignore is not None:
            targets = torch.cat([targets, self.processes.whole(batch.ignore, size)], dim=1)
        debugging = first and self.watch.debugging and self.processes.world.is_first
        mixed = mixup(images, targets, alpha, debugging, self.folder, drawn)
        image, target = map(self.processes.share, mixed)
        ignore = None
        if batch.ignore is not None:  # what is ignored in either sample is unknown in the mix
            target, ignore = target[:, :-1], (target[:, -1:] > 0).to(target.dtype)
        image = image.to(memory_format=self.memory_format)
        return replace(batch, image=image, target=target, ignore=ignore)

    def _read(self, watched: torch.Tensor, batch: Batch) -> tuple[float, float]:
        """Loss and Dice loss as numbers. Only here a step waits for a GPU, which has all of its work by then."""
        is_number, loss, dice = watched.tolist()
        if not (is_number and math.isfinite(loss)):
            self._refuse(f"the loss became {loss if is_number else math.nan}", batch)
        return loss, dice

    def _refuse(self, fault: str, batch: Batch) -> NoReturn:
        """End the training for a fault that all processes see."""
        dataset = self.dataset_train if self.network.training else self.dataset_val
        names = set().union(*self.processes.collect(set(dataset.names_of(batch))))
        raise ModelError(
            f"{fault} on a batch of {', '.join(sorted(names))}; {CHECKPOINT} holds the last whole "
            "epoch, if there is one. Lower training_parameters.scheduler.initial_lr or look at these images"
        )

    def _save_model(self, file: str) -> None:
        if self.processes.world.is_first:
            name, arguments = self.architecture.name, self.architecture.arguments
            save_model(self.folder / file, self.model, name, arguments)

    def _save_checkpoint(self, epoch: int) -> None:
        state = {
            "configuration": self.configuration,
            "epoch": epoch,
            "best": self.best._asdict(),
            "optimization": self.optimization.state_dict(),
            "stopping": self.stopping.state_dict(),
            "budget": self.budget.state_dict(),
            "channels_last": self.params.channels_last,
            "rng": self.processes.collect(rng_state()),  # of every process
        }
        if self.processes.world.is_first:
            save_checkpoint(self.folder / CHECKPOINT, state)


def as_array(x: torch.Tensor) -> np.ndarray:
    """For the metrics: those of validation are computed on soft predictions, as in ivadomed 2.9.10."""
    return x.float().cpu().numpy()
