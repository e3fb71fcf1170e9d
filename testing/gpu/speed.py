"""Figures: training and prediction beside the least that they could take, which is pure computation on the device."""

from __future__ import annotations

import copy
import itertools
import json
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from failures import noise, package
from rows import Row, goal, skipped, stated
from setting import BOTH_CONTRASTS, Setting
from trainer import make_trainer

from ivadomed.config import CONFIG_DIR
from ivadomed.geometry.windows import Window
from ivadomed.inference import Predictor
from ivadomed.inference.backends import TorchForward
from ivadomed.inference.canvas import Canvas
from ivadomed.loader.samples import Batch
from ivadomed.runtime.device import fixed_shapes, predicts_in_half
from ivadomed.runtime.signals import StopRequest
from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.training.loop import Trainer
from ivadomed.training.monitor import Monitor
from ivadomed.training.processes import shards

_TRAINING_GOAL = 1.10
_PREDICTION_GOAL = 1.15
_RESIDENT = 8
"""Batches that the bare loop keeps on the device and repeats."""
_AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def check(setting: Setting) -> Iterator[Row]:
    """Rows of training, prediction, and what torch is set to."""
    study = setting.study
    if not setting.quick:
        study = create_phantom(setting.folder / "small", n=12, seed=0, size="small", jobs=-1)
    for kind, sections in _kinds(setting, study).items():
        for augment_on in ("worker", "device"):
            yield from _training(setting, kind, sections, augment_on)
    yield from _compiled(setting, study)
    yield from _prediction(setting)
    yield from _settings(setting, study)


def _kinds(setting: Setting, study: Path) -> dict[str, dict[str, Any]]:
    """The tutorial's training, and one of a residual U-Net on volumes."""
    tutorial = json.loads((CONFIG_DIR / "config.json").read_text())
    tutorial["loader_parameters"]["path_data"] = [str(study)]
    volumes = copy.deepcopy(tutorial)
    side, plane, filters = (32, 32, 4) if setting.quick else (128, 128, 32)
    for config in (tutorial, volumes):
        config["loader_parameters"]["contrast_params"] = BOTH_CONTRASTS
    if setting.quick:
        tutorial["training_parameters"]["batch_size"] = 8
        tutorial["default_model"] |= {"depth": 2, "n_filters": 4}
        tutorial["transformation"]["CenterCrop"]["size"] = [plane, plane]
    volumes["training_parameters"]["batch_size"] = 2
    volumes["default_model"] = {
        "name": "ResidualEncoderUnet",
        "is_2d": False,
        "n_filters": filters,
        "length_3D": [side] * 3,
        "stride_3D": [side] * 3,
    }
    if setting.quick:
        volumes["default_model"] |= {"depth": 2, "n_blocks": [1, 1, 1]}
    volumes["transformation"] = {
        "Resample": {"hspace": 1, "wspace": 1, "dspace": 1},
        "CenterCrop": {"size": [side] * 3},
        "RandomAffine": {
            "degrees": 5,
            "scale": [0.1, 0.1, 0.1],
            "translate": [0.03, 0.03, 0.03],
            "applied_to": ["im", "gt"],
            "dataset_type": ["training"],
        },
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    batch = tutorial["training_parameters"]["batch_size"]
    return {
        f"U-Net of the tutorial, {batch} x {plane}x{plane}": tutorial,
        f"ResidualEncoderUnet, 2 x {side}x{side}x{side}, {filters} filters": volumes,
    }


def _trainer(setting: Setting, sections: dict[str, Any], **parameters: Any) -> Trainer:
    config = setting.configuration("speed", **copy.deepcopy(sections))
    config |= {"gpu_ids": setting.gpu_ids, "path_output": str(setting.new_folder("run"))}
    workers = 0 if setting.quick else min(8, max(1, len(os.sched_getaffinity(0)) - 1))
    config["training_parameters"] |= {"num_workers": workers, **parameters}
    return make_trainer(setting, config)


def _training(setting: Setting, kind: str, sections: dict[str, Any], augment_on: str) -> Iterator[Row]:
    trainer = _trainer(setting, sections, augment_on=augment_on)
    workers = trainer.train_batches.num_workers
    what = f"{kind}, augment_on {augment_on}, {workers} workers"
    with closing(trainer.train_batches), closing(trainer.val_batches), fixed_shapes(setting.device):
        rate, bare = _epoch_rate(setting, trainer), _bare_rate(setting, trainer)
        yield stated("speed", f"{what}: images/s", rate)
        yield goal("speed", f"{what}: time over that of a bare loop of PyTorch", bare / rate, _TRAINING_GOAL)
        yield stated(
            "speed", f"{what}: share of the time that the device waits for data", _waiting(setting, trainer)
        )


def _epoch_rate(setting: Setting, trainer: Trainer) -> float:
    """Images per second of epochs of the training loop, median; the first one is not counted."""
    stop, count = StopRequest(""), len(trainer.dataset_train)
    with closing(Monitor(trainer.folder, 1, 1, False)) as monitor:
        times = [
            setting.seconds(lambda epoch=epoch: trainer._train_epoch(epoch, monitor, stop))
            for epoch in range(1, _rounds(setting) + 2)
        ]
    return count / statistics.median(times[1:])


def _bare_rate(setting: Setting, trainer: Trainer) -> float:
    """Images per second of the same network in a plain loop, on batches that lie on the device."""
    ready = itertools.islice(
        (trainer._ready(shard.batch) for shard in shards(trainer.train_batches)), _RESIDENT
    )
    batches = list(ready)
    batches = [batch for batch in batches if len(batch.windows) == trainer.params.batch_size] or batches
    model = copy.deepcopy(trainer.model).train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, **({"fused": True} if setting.is_cuda else {}))
    dtype = _AUTOCAST.get(trainer.processes.fabric.strategy.precision.precision)
    steps = max(len(trainer.train_batches), 2)

    def epoch() -> None:
        for batch in itertools.islice(itertools.cycle(batches), steps):
            with torch.autocast(setting.device.type, dtype=dtype, enabled=dtype is not None):
                prediction = model(*model.inputs(batch))
            loss = trainer.loss(prediction, batch.target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    times = [setting.seconds(epoch) for _ in range(_rounds(setting) + 1)]
    images = sum(len(batch.windows) for batch in itertools.islice(itertools.cycle(batches), steps))
    return images / statistics.median(times[1:])


def _waiting(setting: Setting, trainer: Trainer) -> float:
    """Share of an epoch in which the loop waits for a batch; a step ends when the device has finished it."""
    waited, drawn, started = 0.0, torch.Generator().manual_seed(0), time.perf_counter()
    trainer.sampler.epoch += 1
    asked = started
    for shard in shards(trainer.train_batches):
        waited += time.perf_counter() - asked
        trainer._train_batch(shard, drawn)
        setting.synchronize()
        asked = time.perf_counter()
    return waited / (time.perf_counter() - started)


def _compiled(setting: Setting, study: Path) -> Iterator[Row]:
    what = "torch.compile"
    if setting.quick or not setting.is_cuda:
        why = "with --quick nothing is compiled" if setting.quick else "measured on CUDA GPUs"
        yield skipped("speed", what, why)
        return
    for kind, sections in _kinds(setting, study).items():
        rates = []
        for compiled in (False, True):
            trainer = _trainer(setting, sections, augment_on="device", compile=compiled)
            with closing(trainer.train_batches), closing(trainer.val_batches), fixed_shapes(setting.device):
                rates.append(_epoch_rate(setting, trainer))
        yield stated("speed", f"{kind}: time of an epoch with {what} over that without", rates[0] / rates[1])


def _prediction(setting: Setting) -> Iterator[Row]:
    """A volume in patches that overlap by half, and the forward passes that it takes."""
    shape, side, filters = ((48, 48, 32), 32, 2) if setting.quick else ((512, 512, 300), 128, 8)
    network = {
        "applied": True,
        "length_3D": [side] * 3,
        "stride_3D": [side // 2] * 3,
        "n_filters": filters,
    }
    model = package(setting, "patches", {}, 8, Modified3DUNet=network)
    image = noise(setting.folder / "large.nii", shape)
    predictor = Predictor(model, setting.device)
    with _recorded() as batches:
        predictor(image)  # the first call sets up convolutions
        batches.clear()
        taken = setting.seconds(lambda: predictor(image))
    what = f"prediction of {'x'.join(map(str, shape))}, patches of {side}x{side}x{side} that overlap by half"
    yield stated("speed", f"{what}: seconds", taken)
    pure = _forward_seconds(setting, predictor, Counter(batches))
    yield goal("speed", f"{what}: time over that of its forward passes", taken / pure, _PREDICTION_GOAL)
    yield from _graphed(setting)


@contextmanager
def _recorded() -> Iterator[list[tuple[int, ...]]]:
    """Context that notes the shapes of the batches that networks predict."""
    shapes: list[tuple[int, ...]] = []
    plain = TorchForward.__call__

    def noting(self: TorchForward, batch: Batch) -> torch.Tensor:
        shapes.append(tuple(batch.image.shape))
        return plain(self, batch)

    TorchForward.__call__ = noting
    try:
        yield shapes
    finally:
        TorchForward.__call__ = plain


def _forward_seconds(setting: Setting, predictor: Predictor, batches: Counter[tuple[int, ...]]) -> float:
    """Time of the forward passes alone, on tensors that lie on the device."""
    forward = predictor._model.forward
    assert isinstance(forward, TorchForward)
    total = 0.0
    for shape, count in batches.items():
        batch = Batch(torch.rand(shape), None, None, ()).to(setting.device, forward._format)

        def passes(count: int = count, batch: Batch = batch) -> None:
            with torch.inference_mode(), _autocast(forward):
                for _ in range(count):
                    forward.model(*forward.model.inputs(batch))

        passes(1)
        total += setting.seconds(passes)
    return total


def _autocast(forward: TorchForward) -> torch.autocast:
    return torch.autocast(forward.device.type, torch.float16, enabled=forward.in_half)


def _graphed(setting: Setting) -> Iterator[Row]:
    """What a CUDA graph would save, whose operations are launched together: most where each takes little time."""
    kinds = {
        "16 x 128x128, Unet, 4 filters": ({"name": "Unet", "depth": 2, "n_filters": 4}, (16, 1, 128, 128)),
        "16 x 128x128, Unet, 32 filters": ({"name": "Unet", "depth": 3, "n_filters": 32}, (16, 1, 128, 128)),
    }
    for kind, (network, shape) in kinds.items():
        what = f"forward pass of {kind}: time with a CUDA graph over that without"
        if not setting.is_cuda:
            yield skipped("speed", what, "there are CUDA graphs on CUDA GPUs only")
            continue
        forward = Predictor(package(setting, "graphed", network, shape[0]), setting.device)._model.forward
        assert isinstance(forward, TorchForward)
        image = torch.rand(shape, device=setting.device)
        with torch.inference_mode(), _autocast(forward):
            plain = _seconds_of(setting, partial(forward.model, image))
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                forward.model(image)
            yield stated("speed", what, _seconds_of(setting, graph.replay) / plain)


def _seconds_of(setting: Setting, call: Callable[[], Any], count: int = 50) -> float:
    """Time of many calls, after some that are not counted."""

    def many() -> None:
        for _ in range(count):
            call()

    many()
    return setting.seconds(many)


def _settings(setting: Setting, study: Path) -> Iterator[Row]:
    """What torch is set to while a training runs."""
    trainer = _trainer(setting, next(iter(_kinds(setting, study).values())))
    group = trainer.optimization.optimizer.param_groups[0]
    with closing(trainer.train_batches), closing(trainer.val_batches), fixed_shapes(setting.device):
        precision = trainer.processes.fabric.strategy.precision.precision
        yield stated("speed", 'precision "auto"', precision)
        yield stated("speed", "page-locked memory", str(trainer.train_batches.pin_memory))
        fused = "fused" if group.get("fused") else "foreach where torch chooses it"
        yield stated("speed", "optimizer", fused)
        yield stated("speed", "cudnn.benchmark in a training", str(torch.backends.cudnn.benchmark))
    yield stated("speed", "TF32 of convolutions in float32", str(torch.backends.cudnn.allow_tf32))
    yield stated("speed", "TF32 of matrix products in float32", str(torch.backends.cuda.matmul.allow_tf32))
    in_half = predicts_in_half(setting.device, "auto")
    yield stated("speed", "number format of predictions", "fp16" if in_half else "float32")
    windows = [Window(0, (first, 0, 0), (32, 32, 32)) for first in (0, 16)]
    where = Canvas((1, 48, 32, 32), windows, device=setting.device).device
    yield stated("speed", "overlapping windows are put together on", where.type)


def _rounds(setting: Setting) -> int:
    return 1 if setting.quick else 3
