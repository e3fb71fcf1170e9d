"""Monitoring of a training: log lines, progress bar, TensorBoard, Weights & Biases, time and memory."""

from __future__ import annotations

import datetime
import logging
import netrc
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from ivadomed.config.load import load_section
from ivadomed.config.schema.training import Wandb
from ivadomed.images.files import write_text
from ivadomed.loader.samples.loading import ShardSampler
from ivadomed.runtime.terminal import duration, hidden_bar, say
from ivadomed.training.processes import Shard, shards
from ivadomed.visualize import save_img, upright

log = logging.getLogger(__name__)

_HOST = "api.wandb.ai"
_SECONDS = 20  # timeout of the service
_ID = "run_id.txt"
_RECENT = 5  # epochs: enough to average, few enough to follow changes in speed


@dataclass(frozen=True)
class Watch:
    """Optional visual outputs; none of them affects results.

    Args:
        gifs: Number of validation samples whose predictions are animated over epochs.
        slice_axis: RAS axis along which slices were extracted, to show them upright.
        debugging: Save a mixed sample of each epoch, under mixup.
        wandb: The ``wandb`` section, or None.
    """

    gifs: int = 0
    slice_axis: int = 2
    debugging: bool = False
    wandb: Wandb | None = None


NOTHING = Watch()


class Monitor:
    """Log lines, progress and TensorBoard events of one run.

    Args:
        folder: Folder of the events.
        num_epochs: For the progress bar.
        first_epoch: Events of an earlier run from this epoch on are hidden (in a resumed run).
        shown: False in all but one of several processes that train together: nothing is written or shown.
        tracker: A ``wandb.Run`` that receives the same values, or None.
        slice_axis: See ``Watch``; None for pictures, which are shown as they are stored.
    """

    def __init__(
        self,
        folder: Path,
        num_epochs: int,
        first_epoch: int,
        shown: bool = True,
        tracker: Any = None,
        slice_axis: int | None = None,
    ) -> None:
        self.tracker, self.slice_axis = tracker, slice_axis
        new_writer: Any = SummaryWriter if shown else _NoWriter
        self.writer: Any = new_writer(str(folder), purge_step=first_epoch if first_epoch > 1 else None)
        self._previous_hook = threading.excepthook
        threading.excepthook = self._unless_of_writer
        self._started = time.perf_counter()
        self._pace = Pace(num_epochs, first_epoch)

    @property
    def num_epochs(self) -> int:
        """Last epoch; with a time budget, it is determined during the training."""
        return self._pace.num_epochs

    @num_epochs.setter
    def num_epochs(self, number: int) -> None:
        self._pace.num_epochs = number

    def progress(self, loader: DataLoader[Any], epoch: int, phase: str) -> Iterator[tuple[Shard, tqdm]]:
        """Iterate over batches with a bar that shows samples per second and any text set by the caller."""
        sampler = cast(ShardSampler, loader.batch_sampler)
        with tqdm(
            total=sampler.samples,
            desc=f"Epoch {epoch}/{self.num_epochs} {phase}",
            unit="sample",
            leave=False,
            mininterval=0.5,
            disable=hidden_bar(),
        ) as bar:
            for shard in shards(loader):
                yield shard, bar
                bar.update(shard.size)

    def losses(self, epoch: int, train_loss: float, val_loss: float, learning_rate: float) -> None:
        """Log the losses of an epoch and add them to the curves."""
        log.info("Epoch %d training loss: %.4f.", epoch, train_loss)
        log.info("Epoch %d validation loss: %.4f.", epoch, val_loss)
        self._curves("losses", {"train_loss": train_loss, "val_loss": val_loss}, epoch)
        self.writer.add_scalar("learning_rate", learning_rate, epoch)
        if self.tracker:
            self.tracker.log({"learning_rate": learning_rate, "epoch": epoch})

    def finished(
        self, epoch: int, train_loss: float, val_loss: float, is_best: bool, device: torch.device
    ) -> None:
        """Print the line of an epoch; after the first one, also its peak memory."""
        best = " (best)" if is_best else ""
        losses = f"loss {train_loss:.4f}, validation {val_loss:.4f}{best}"
        say("Epoch", f"{epoch}/{self.num_epochs}  {losses:<42} {self._pace.tick(epoch)}".rstrip())
        if epoch == self._pace.first_epoch and (memory := peak_memory(device)) is not None:
            say("Memory", f"{memory / 1e9:.1f} GB at most in the first epoch")

    def metrics(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log the validation metrics of an epoch."""
        self._curves("Validation/Metrics", metrics, epoch)

    def _curves(self, tag: str, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(f"{tag}/{name}", value, epoch)
        if self.tracker:
            self.tracker.log({f"{tag}/{name}": value for name, value in values.items()} | {"epoch": epoch})

    def images(
        self, epoch: int, phase: str, image: torch.Tensor, target: torch.Tensor, prediction: torch.Tensor
    ) -> None:
        """Write input, ground truth and prediction of one batch; nothing for a classifier."""
        if prediction.ndim < image.ndim:
            return
        image, target, prediction = (self._upright(x) for x in (image, target, prediction))
        is_volume = image.ndim == 5
        save_img(self.writer, epoch, phase, image, target, prediction, self.tracker, is_three_dim=is_volume)

    def _upright(self, samples: torch.Tensor) -> torch.Tensor:
        """Samples [B, C, H, W, ...] rotated so that their first two axes are those of the pictures."""
        planes = samples.detach().float().cpu().movedim((2, 3), (0, 1)).numpy()
        turned = np.ascontiguousarray(upright(planes, self.slice_axis))
        return torch.from_numpy(turned).movedim((0, 1), (2, 3))

    def _unless_of_writer(self, failure: Any) -> None:
        """Print the error that ended a thread, except TensorBoard's, which raises it again at the next event."""
        if not type(failure.thread).__module__.startswith("tensorboard"):
            self._previous_hook(failure)

    def close(self) -> None:
        """Write pending events and report the duration.

        Raises:
            OSError: The events cannot be written.
        """
        try:
            self.writer.flush()
            self.writer.close()
        finally:
            threading.excepthook = self._previous_hook
            if self.tracker:
                self.tracker.finish()
        seconds = time.perf_counter() - self._started
        log.info("Training took %d min %d s.", *divmod(round(seconds), 60))


class _NoWriter:
    """Replacement for a ``SummaryWriter`` that writes nothing."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Pace:
    """Time per epoch and estimated end.

    Remaining time is estimated from recent epochs, excluding the first of the run once there are others.

    Args:
        num_epochs: Last epoch.
        first_epoch: First epoch of this run, above 1 if it continues from a checkpoint.
        clock: Monotonic clock in seconds.
    """

    def __init__(
        self, num_epochs: int, first_epoch: int = 1, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.num_epochs, self.first_epoch, self._clock = num_epochs, first_epoch, clock
        self._ends = [clock()]

    def tick(self, epoch: int) -> str:
        """Record the end of an epoch; return its duration and the remaining time as text."""
        self._ends.append(self._clock())
        took = self._ends[-1] - self._ends[-2]
        # The first epoch includes starting the loading processes and tuning convolutions.
        counted = self._ends[1:] if len(self._ends) > 2 else self._ends
        counted = counted[-_RECENT - 1 :]
        left = (counted[-1] - counted[0]) / (len(counted) - 1) * (self.num_epochs - epoch)
        if epoch >= self.num_epochs:
            return duration(took)
        end = datetime.datetime.now() + datetime.timedelta(seconds=left)
        when = end.strftime("%H:%M" if end.date() == datetime.date.today() else "%a %d %b %H:%M")
        return f"{duration(took)}, about {duration(left)} to go (until {when})"


def peak_memory(device: torch.device) -> int | None:
    """Peak memory of this process in bytes, of the GPU for CUDA devices; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def initialize_wandb(
    wandb_params: Mapping[str, Any] | None, folder: str | os.PathLike[str] = ".", resume: bool = False
) -> Any:
    """Start a wandb run from its section as a dictionary, see ``start_tracking``; None: no tracking."""
    return (
        None if wandb_params is None else start_tracking(load_section("wandb", wandb_params), folder, resume)
    )


def start_tracking(section: Wandb, folder: str | os.PathLike[str], resume: bool = False) -> Any:
    """Start a wandb run.

    It is online if a key is available (from the section, WANDB_API_KEY, or ``wandb login``), and offline if the
    service does not respond: ``wandb sync`` uploads it later. WANDB_MODE takes precedence. Tracking never stops a
    training: without a key or the package it continues untracked, with a warning.

    Args:
        section: The ``wandb`` section.
        folder: Folder of the run; wandb writes to its subfolder ``wandb``.
        resume: Continue the wandb run in the folder.

    Returns:
        A ``wandb.Run``, or None: the run is not tracked.
    """
    try:
        import wandb
    except ImportError:
        log.warning(
            "wandb: the package wandb is not installed, so the run is not tracked; pip install "
            "'ivadomed[wandb]', or remove the section"
        )
        return None
    key = section.wandb_api_key or os.environ.get("WANDB_API_KEY") or _key_of_login()
    chosen = os.environ.get("WANDB_MODE")
    if not key and not chosen:
        log.warning(
            "wandb: there is no key, so the run is not tracked; set WANDB_API_KEY or use `wandb login`, "
            "WANDB_MODE=offline keeps the run in its folder"
        )
        return None
    file = Path(folder) / "wandb" / _ID
    known = file.read_text(encoding="utf-8") if resume and file.is_file() else None

    start = partial(
        wandb.init,
        project=section.project_name,
        group=section.group_name,
        name=section.run_name,
        dir=str(folder),
        id=known,
        resume="allow" if known else None,
        settings=wandb.Settings(init_timeout=_SECONDS, silent=True, console="off", api_key=key),
    )
    mode: Any = chosen or "online"
    try:
        run = start(mode=mode)
    except (wandb.errors.Error, OSError, ValueError) as error:  # including an invalid key
        if mode != "online":
            log.warning("wandb: cannot be used (%s), so the run is not tracked.", error)
            return None
        log.warning("wandb: the service is unavailable (%s); this run is kept offline.", error)
        mode = "offline"
        run = start(mode=mode)
    write_text(file, run.id)
    if mode == "offline":
        say("wandb", f"offline; `wandb sync {Path(run.dir).parent}` sends the run later")
    return run


def _key_of_login() -> str | None:
    """The key that ``wandb login`` stored in the user's netrc file."""
    try:
        entry = netrc.netrc().authenticators(_HOST)
    except (OSError, netrc.NetrcParseError):
        return None
    return entry[2] if entry else None
