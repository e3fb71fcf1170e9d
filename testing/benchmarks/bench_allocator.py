"""Reuse of freed memory (``runtime/allocator.py``): time with it over time without, page faults, and peak memory.

Every figure is that of a process of its own: what the C library was once told cannot be undone. "Dask" is the setting
that Dask gives its workers, ``MALLOC_TRIM_THRESHOLD_=65536``.

    python testing/benchmarks/bench_allocator.py
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench_segment import loader, package, scan

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.inference import Predictor
from ivadomed.runtime import allocator
from ivadomed.training.pace import seconds_per_step

STEPS = {
    "step, 8 x 128x128, Unet, 8 filters": ("Unet", 8, (128, 128), 8),
    "step, 2 x 32x56x40, ResidualEncoderUnet, 12 filters": ("ResidualEncoderUnet", 12, (32, 56, 40), 2),
    "step, 2 x 96x96x64, ResidualEncoderUnet, 8 filters": ("ResidualEncoderUnet", 8, (96, 96, 64), 2),
}
WAYS = {"reused": {}, "not reused": {}, "Dask": {"MALLOC_TRIM_THRESHOLD_": "65536"}}


def main() -> None:
    """Print a line per piece of work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--way", default="reused", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        print(json.dumps(measured(options.work, options.way)))
        return
    for work in (*STEPS, "volume of 192x192x144", "slices of 1024x1024"):
        found = {way: in_process(work, way) for way in WAYS}
        print(work)
        for way, (seconds, faults, peak) in found.items():
            ratio = found["reused"][0] / seconds
            print(
                f"  {way:<11}{seconds:8.3f} s  {faults:8.0f} faults  {peak:6.0f} MB; reused over this: {ratio:.2f}"
            )


def in_process(work: str, way: str) -> list[float]:
    """Seconds, page faults and peak memory in MB of a process of its own."""
    command = [sys.executable, __file__, "--work", work, "--way", way]
    done = subprocess.run(command, env=os.environ | WAYS[way], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(work: str, way: str) -> tuple[float, float, float]:
    """See ``in_process``; here."""
    if way != "reused":
        allocator._glibc = lambda: None  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        call = step(work) if work in STEPS else segmentation(work, Path(folder))
        call()
        faults, seconds = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, call()
        used = resource.getrusage(resource.RUSAGE_SELF)
    return seconds, used.ru_minflt - faults, used.ru_maxrss / 1024


def step(work: str) -> Callable[[], float]:
    """A training step; returns the least seconds of some."""
    name, n_filters, size, batch = STEPS[work]
    arguments = {"n_filters": n_filters, "is_2d": len(size) == 2, "depth": 3}
    params = TrainingParameters(batch_size=batch, precision="32")
    return lambda: seconds_per_step(Architecture(name, arguments), params, size)


def segmentation(work: str, folder: Path) -> Callable[[], float]:
    """Segmentation of an image by patches that overlap by half, or slice by slice; returns seconds."""
    if "slices" in work:
        network = {"name": "Unet", "depth": 3, "n_filters": 8, "dropout_rate": 0.0}
        sections, shape = {"default_model": network}, (1024, 1024, 4)
    else:
        patches = {"applied": True, "length_3D": [96, 96, 96], "stride_3D": [48, 48, 48], "n_filters": 4}
        sections, shape = {"Modified3DUNet": patches}, (192, 192, 144)
    predictor = Predictor(package(folder / "model", loader_parameters=loader(1), **sections), "cpu")
    image = scan(folder / "scan.nii", shape)

    def call() -> float:
        started = time.perf_counter()
        predictor(image)
        return time.perf_counter() - started

    return call


if __name__ == "__main__":
    main()
