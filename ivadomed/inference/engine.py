"""Prediction engine: windows of many cases pass through the network in full batches and are reassembled to volumes.

2D slices, 2D patches and 3D patches are all windows, so ``--test``, ``--segment`` and ``segment_volume`` share
one engine.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch

from ivadomed.errors import DataError, IvadomedError, ModelError
from ivadomed.geometry.windows import PATCH_REMEDY, Window, check_fits
from ivadomed.inference.averaging import MirroredForward
from ivadomed.inference.backends import refuse_not_finite
from ivadomed.inference.prediction import PendingPrediction, Prediction, undo_steps
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume
from ivadomed.loader.conditions import Conditioner, unconditioned
from ivadomed.loader.prepared.prepare import (
    Prepared,
    Recipe,
    list_windows,
    prepare_volume,
    read_window,
    refuse_unknown_pixel_size,
)
from ivadomed.loader.samples import Batch, stack_conditions
from ivadomed.runtime.allocator import kept_memory, reused_memory
from ivadomed.runtime.device import batch_voxels, has_room
from ivadomed.runtime.failures import out_of_memory, shortages_explained
from ivadomed.runtime.memory import check_memory
from ivadomed.transforms import Pipeline, Plan
from ivadomed.transforms.batch_plan import BatchPlan, split_plan
from ivadomed.transforms.resampling import as_tensor

log = logging.getLogger(__name__)

CPU = torch.device("cpu")

Forward = Callable[[Batch], torch.Tensor]
Progress = Callable[[int, int], None]
"""Called with the number of windows done and the total of all cases so far."""

_LESS = (
    "choose a coarser transformation.Resample or shorter patches (length_2D, length_3D), use a part of the image, or a "
    "machine with more"
)


@dataclass(frozen=True, eq=False)
class _Image:
    """The prepared image of a case.

    Args:
        stored: [N, C, h, w] or [C, H, W, D], on the CPU.
        device: Device of the network.
    """

    stored: torch.Tensor
    device: torch.device

    @cached_property
    def placed(self) -> torch.Tensor:
        """The image on the device if it fits there, else on the CPU."""
        return self.stored.to(self.device) if has_room(self.device, self.stored.nbytes) else self.stored


@dataclass(eq=False)
class _Waiting:
    """A sample that waits for its batch to fill.

    Args:
        job: Its case.
        window: Its window.
        image: [C, h, w] or [C, h, w, d].
        plan: Its transforms.
        left: Those of them that are left to the batch.
    """

    job: PendingPrediction
    window: Window
    image: torch.Tensor
    plan: Plan
    left: Plan


@dataclass(eq=False)
class Engine:
    """Predicts cases.

    Args:
        recipe: Fixed steps, slices or volumes, windows.
        steps: Transforms per sample at test time; geometric ones are undone on the prediction.
        forward: The network: function from a batch to predictions [B, K, ...] float32.
        n_classes: Number of classes, K.
        batch_size: Maximum samples per call of ``forward``; halved when memory runs out.
        max_voxels: Maximum voxels per call of ``forward``, but at least one sample; see ``device.batch_voxels``.
        blend: Weights of overlapping windows, see ``windows.BLENDS``.
        seed: Seed of random transforms in ``steps``.
        repeats: Predictions per case, each with its own random transforms.
        mirror_axes: Axes of a sample for mirroring, see ``averaging.MirroredForward``.
        conditioner: Returns the condition of the network for a case.
        progress: Called after each step.
        source: File of the network, for errors.
        patch_remedy: Advice if a patch does not fit an image.
        device: Device of ``forward``: images are moved there as a whole if they fit.
        batch_steps: Apply ``steps`` to whole batches on the device where possible; None: with CUDA.
    """

    recipe: Recipe
    steps: Pipeline
    forward: Forward
    n_classes: int
    batch_size: int = 8
    max_voxels: int = batch_voxels(CPU)
    blend: str = "mean"
    seed: int = 0
    repeats: int = 1
    mirror_axes: tuple[int, ...] = ()
    conditioner: Conditioner = unconditioned
    progress: Progress | None = None
    source: str = "the network"
    patch_remedy: str = PATCH_REMEDY
    device: torch.device = CPU
    batch_steps: bool | None = None
    _queue: list[_Waiting] = field(default_factory=list, init=False)
    _done: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)

    def run(self, volumes: Iterable[tuple[Case, Volume]]) -> Iterator[Prediction]:
        """Yield the predictions of each case, in order.

        Args:
            volumes: Cases with their voxels; one is kept at a time, plus those whose last batch is not full.

        Raises:
            DataError: A window does not fit an image.
            ModelError: The network does not accept the samples, or has other classes than expected.
            MachineError: Out of memory, even with one sample at a time.
        """
        with kept_memory():
            yield from self._predictions(volumes)

    def _predictions(self, volumes: Iterable[tuple[Case, Volume]]) -> Iterator[Prediction]:
        jobs: list[PendingPrediction] = []
        self._queue, self._done, self._total = [], 0, 0  # an earlier run may have failed half-way
        for index, (case, volume) in enumerate(volumes):
            with shortages_explained(case.id, _LESS):
                try:
                    job, prepared = self._start(index, case, volume)
                except DataError as error:
                    raise DataError(f"{case.id}: {error}") from error
                del volume
                self._total += len(job.windows) * self.repeats
                image, zooms = (
                    _Image(as_tensor(np.asarray(prepared.image, np.float32)), self.device),
                    prepared.zooms,
                )
                del prepared  # not needed while a prediction is finished or the next volume read
                for repeat in range(self.repeats):
                    yield from self._finished(jobs)
                    jobs.append(replace(job, repeat=repeat))
                    for window in job.windows:
                        self._enqueue(jobs[-1], image, zooms, window)
                del image
                yield from self._finished(jobs)
        if jobs:
            with shortages_explained(jobs[0].case.id, _LESS):
                self._flush()
                yield from self._finished(jobs)

    def _start(self, index: int, case: Case, volume: Volume) -> tuple[PendingPrediction, Prepared]:
        path = case.images[0]
        refuse_unknown_pixel_size(case, self.recipe)
        prepared = prepare_volume(volume, self.recipe, path)
        first, *others = prepared.image.shape  # [D, C, H, W] of slices, [C, H, W, D] of a volume
        shape = (*others[1:], first) if self.recipe.is_2d else tuple(others)
        check_fits(shape[: len(self.recipe.length)], self.recipe.length, self.patch_remedy)
        windows = list_windows(index, prepared.image.shape, prepared.facts, self.recipe)
        check_memory(path, (self.n_classes, *shape), "predicted values after Resample", _LESS)
        check_memory(path, (self.n_classes, *volume.grid.shape), "predicted values", _LESS)
        condition = self.conditioner(case)
        return PendingPrediction(
            case, volume.grid, volume.header, prepared.plans, shape, windows, condition
        ), prepared

    def _enqueue(
        self, job: PendingPrediction, image: _Image, zooms: tuple[float, ...], window: Window
    ) -> None:
        is_2d = self.recipe.is_2d
        n_axes = 2 if is_2d else 3
        rng = np.random.default_rng((self.seed, zlib.crc32(job.case.id.encode()), job.repeat, *window.start))
        plan = self.steps.plan(window.size[:n_axes], zooms[:n_axes], rng)
        in_batches = self.device.type == "cuda" if self.batch_steps is None else self.batch_steps
        own, left = split_plan(plan) if in_batches else (plan, Plan((), plan.shape_out, plan.zooms_out))
        if own.steps:
            changed = own.apply(read_window(image.stored, window, is_2d).numpy(), "im", 1)
            sample = as_tensor(np.asarray(changed, np.float32))
        else:
            sample = read_window(image.placed, window, is_2d)
        if self._queue and not _alike(self._queue[0].image, sample):
            self._flush()
        self._queue.append(_Waiting(job, window, sample, plan, left))
        if len(self._queue) >= min(self.batch_size, max(1, self.max_voxels // sample[0].numel())):
            self._flush()

    def _flush(self) -> None:
        if not self._queue:
            return
        waiting, self._queue = self._queue, []
        predictions = self._predict(waiting)
        if predictions.shape[1] != self.n_classes:
            raise ModelError(
                f"{self.source}: predicts {predictions.shape[1]} classes, but its configuration names "
                f"{self.n_classes} (loader_parameters.target_suffix); the two do not match"
            )
        if predictions.shape[2:] != waiting[0].plan.shape_out:
            found, expected = (
                "x".join(map(str, n)) for n in (predictions.shape[2:], waiting[0].plan.shape_out)
            )
            raise ModelError(
                f"{self.source}: predicts {found} voxels for a sample of {expected}; expected the same size"
            )
        refuse_not_finite(predictions, [str(w.job.case.images[0]) for w in waiting], self.source)
        canvases = [w.job.canvas_for(predictions, self.blend) for w in waiting]
        predictions = predictions.to(canvases[0].device)
        for item, canvas, prediction in zip(waiting, canvases, predictions, strict=True):
            undone = undo_steps(prediction, item.plan)
            canvas.add(item.window, undone[..., None] if self.recipe.is_2d else undone)
        self._done += len(waiting)
        if self.progress is not None:
            self.progress(self._done, self._total)

    def _predict(self, waiting: Sequence[_Waiting]) -> torch.Tensor:
        """Predict a batch, in smaller batches if it does not fit into memory."""
        forward = MirroredForward(self.forward, self.mirror_axes) if self.mirror_axes else self.forward
        count = len(waiting)
        try:
            with reused_memory():
                return forward(self._batch(waiting))
        except IvadomedError:
            raise
        except Exception as error:  # onnxruntime has its own types, and the network may be custom
            if not out_of_memory(error):
                raise ModelError(
                    f"{self.source}: fails on samples of shape {tuple(waiting[0].image.shape)} "
                    f"({str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}); a model "
                    "expects the channels and axes given in its configuration"
                ) from error
            if count == 1:
                raise
            self.batch_size = max(1, count // 2)
            log.warning(
                "Out of memory with %d samples per batch; continuing with %d.", count, self.batch_size
            )
        predictions, start = [], 0
        while start < count:
            end = start + self.batch_size  # which was halved again where the part before did not fit either
            predictions.append(self._predict(waiting[start:end]))
            start = end
        return torch.cat(predictions)

    def _batch(self, waiting: Sequence[_Waiting]) -> Batch:
        batch = Batch(
            torch.stack([w.image for w in waiting]),
            None,
            stack_conditions([w.job.condition for w in waiting]),
            tuple(w.window for w in waiting),
            BatchPlan.of([w.left for w in waiting]),
        )
        return batch.to(self.device).augmented(soft_gt=False, classify=False)

    def _finished(self, jobs: list[PendingPrediction]) -> Iterator[Prediction]:
        while jobs and jobs[0].complete:
            yield jobs.pop(0).finish(self.n_classes, self.recipe.is_2d)


def _alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """True if two samples can be in one batch."""
    return one.shape == other.shape and one.device == other.device
