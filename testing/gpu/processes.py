"""Several processes train one network: two on one device through gloo, and several GPUs through NCCL."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from rows import Row, holds, skipped, within
from setting import Setting, full_float32, training, write

from ivadomed.main import run_main
from ivadomed.runtime.ranks import World
from ivadomed.training.checkpoint import read_checkpoint

_LIMIT = 0.01
_TIMEOUT = 240


def check(setting: Setting) -> Iterator[Row]:
    """Rows of both."""
    pair = "two processes on one device through gloo"
    if setting.quick and setting.is_cpu:
        yield skipped("processes", pair, "testing/functional_tests/test_processes.py does this on CPUs")
    elif setting.is_cuda and torch.cuda.device_count() > 1:
        yield skipped(
            "processes", pair, "this machine has several GPUs; CUDA_VISIBLE_DEVICES=0 hides the others"
        )
    elif setting.device.type == "mps":
        yield skipped("processes", pair, "Apple's GPU serves one process")
    else:
        yield from _pair(setting, pair)
    yield from _several_gpus(setting)


def _pair(setting: Setting, what: str) -> Iterator[Row]:
    with full_float32():
        one = run_main(_configuration(setting)).validation_loss
    config = _configuration(setting)
    results = _together(write(config))
    failed = [output for code, output in results if code != 0]
    told = failed[0].strip().split("\n")[-1] if failed else "both end"
    yield holds("processes", what, not failed, told, "both end")
    if not failed:
        two = read_checkpoint(Path(config["path_output"]) / "checkpoint.pth.tar")["best"]["validation_loss"]
        yield within("processes", f"{what}: validation loss against one process", abs(two - one), _LIMIT)


def _several_gpus(setting: Setting) -> Iterator[Row]:
    what = "several GPUs through NCCL: validation loss against one GPU"
    count = torch.cuda.device_count() if setting.is_cuda else 0
    if count < 2:
        yield skipped("processes", what, f"this machine has {count or 'no'} GPU")
        return
    with full_float32():
        one = run_main(_configuration(setting)).validation_loss
        several = run_main({**_configuration(setting), "gpu_ids": list(range(count))}).validation_loss
    yield within("processes", what, abs(several - one), _LIMIT)


def _configuration(setting: Setting) -> dict[str, Any]:
    """A network that computes the same of a part of a batch as of the whole: it has no batch normalization."""
    sections = {
        "Modified3DUNet": {
            "applied": True,
            "length_3D": [32, 32, 16],
            "stride_3D": [32, 32, 16],
            "n_filters": 2,
            "dropout_rate": 0.0,
        },
        "transformation": {
            "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
            "CenterCrop": {"size": [32, 32, 16]},
            "NormalizeInstance": {"applied_to": ["im"]},
        },
        "training_parameters": training(2, batch_size=2),
    }
    return setting.configuration("together", **sections)


def _together(config: Path) -> Sequence[tuple[int, str]]:
    """Exit codes and messages of the two processes."""
    with socket.socket() as probe:  # a free port
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, str(Path(__file__).with_name("pair.py")), str(config)]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    started = [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                **World(rank, 2, rank, 2, "127.0.0.1", port).environment(),
                "PYTHONPATH": path,
                "NVIDIA_TF32_OVERRIDE": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        told = [process.communicate(timeout=_TIMEOUT)[0] for process in started]
        return [(process.returncode, text) for process, text in zip(started, told, strict=True)]
    finally:
        for process in started:
            process.kill()
