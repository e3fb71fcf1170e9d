"""Memory that does not suffice: a prediction goes on with smaller batches, a training says what to reduce.

On a GPU the memory of this process is limited; on a CPU a network raises the allocator's error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from rows import Row, holds, skipped, within
from setting import Setting
from stand_ins import Greedy

from ivadomed.config import load_config
from ivadomed.errors import MachineError
from ivadomed.inference import segment_volume
from ivadomed.main import run_main
from ivadomed.models import build_model
from ivadomed.models.checkpoint import save_model

_STAND_IN = {"name": f"{Greedy.__module__}:{Greedy.__name__}"}
_WIDE = {"name": "Unet", "depth": 3, "n_filters": 64, "dropout_rate": 0.0}
_SIDE = 256
_SPARE = 32 << 20


def check(setting: Setting) -> Iterator[Row]:
    """Rows of a prediction and a training."""
    if not (setting.is_cpu or setting.is_cuda):
        yield skipped("failures", "out of memory", f"the memory of {setting.device.type} cannot be limited")
        return
    yield from _prediction(setting)
    yield from _training(setting)


def _prediction(setting: Setting) -> Iterator[Row]:
    model = package(setting, "greedy", _STAND_IN if setting.is_cpu else _WIDE, 16)
    side = 32 if setting.is_cpu else _SIDE
    image = noise(setting.folder / "noise.nii", (side, side, 16))
    gpu = None if setting.is_cpu else setting.device.index or 0
    expected = segment_volume(model, image, gpu)[0][0].get_fdata()
    with _warnings() as told, _little_memory(setting, model, image):
        found = segment_volume(model, image, gpu)[0][0].get_fdata()
    halved = [text for text in told if "continuing with" in text]
    times = f"{len(halved)} times" if halved else "never"
    yield holds(
        "failures", "out of memory: a prediction halves its batch", bool(halved), times, "at least once"
    )
    yield within("failures", "out of memory: its result", float(np.abs(found - expected).max()), 1e-3)


def _training(setting: Setting) -> Iterator[Row]:
    network = _STAND_IN if setting.is_cpu else _WIDE
    config = setting.configuration("greedy", default_model=network)
    if setting.is_cuda:
        config["transformation"]["CenterCrop"]["size"] = [_SIDE, _SIDE]
    told = "it ended without an error"
    with _limited(setting, _SPARE):
        try:
            run_main(config)
        except MachineError as error:
            told = str(error)
    passed = "out of memory" in told and "training_parameters.batch_size (8)" in told
    yield holds(
        "failures",
        "out of memory: a training says what to reduce",
        passed,
        told,
        "training_parameters.batch_size",
    )


@contextmanager
def _little_memory(setting: Setting, model: Path, image: Path) -> Iterator[None]:
    """Context in which memory suffices for some samples at a time, not for all of them."""
    if setting.is_cpu:
        with _limited(setting, 0):
            yield
        return
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved(setting.device)
    torch.cuda.reset_peak_memory_stats(setting.device)
    segment_volume(model, image, setting.device.index or 0)
    needed = torch.cuda.max_memory_reserved(setting.device) - before
    with _limited(setting, needed // 2):
        yield


@contextmanager
def _limited(setting: Setting, spare: int) -> Iterator[None]:
    """Context in which the device has so many bytes more than are in use; on a CPU, room for three samples."""
    if setting.is_cpu:
        Greedy.most = 3
        try:
            yield
        finally:
            Greedy.most = None
        return
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(setting.device).total_memory
    fraction = (torch.cuda.memory_reserved(setting.device) + spare) / whole
    torch.cuda.set_per_process_memory_fraction(fraction, setting.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, setting.device)


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Context that collects the warnings of ivadomed."""
    told: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    handler, logger = Collect(logging.WARNING), logging.getLogger("ivadomed")
    logger.addHandler(handler)
    try:
        yield told
    finally:
        logger.removeHandler(handler)


def package(setting: Setting, name: str, network: dict[str, Any], batch_size: int, **sections: Any) -> Path:
    """A packaged model with random weights; sections are those of its configuration."""
    contrasts = {"training_validation": ["T2w"]}
    config = load_config(
        {
            "gpu_ids": setting.gpu_ids,
            "training_parameters": {"batch_size": batch_size},
            "loader_parameters": {"target_suffix": ["_seg-manual"], "contrast_params": contrasts},
            "transformation": {"NormalizeInstance": {"applied_to": ["im"]}},
            "default_model": network,
            **sections,
        }
    )
    folder = setting.new_folder("packaged") / name
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = build_model(config.architecture.name, config.architecture.arguments)
    save_model(folder / f"{name}.pt", model, config.architecture.name, config.architecture.arguments)
    (folder / f"{name}.json").write_text(json.dumps(config.to_json()))
    return folder


def noise(path: Path, shape: tuple[int, ...]) -> Path:
    """A volume of noise."""
    data = np.random.default_rng(0).random(shape, dtype=np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path
