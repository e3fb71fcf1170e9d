"""Speed-up of a sweep by two processes that share the cores, and how often an image is prepared.

Six trainings on a phantom study, by one process and by two. One process has all the cores, each of two its share
of them; the start of the processes counts. The rounds of a pair follow each other, so that both see the same machine.

    python testing/benchmarks/bench_sweep.py
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.images.files import write_json
from ivadomed.runtime.memory import available_cores
from ivadomed.scripts.create_phantom import create_phantom

_PARAMETERS = {
    "default_model": {"dropout_rate": [0.1, 0.2, 0.3]},
    "training_parameters": {"batch_size": [4, 8]},
}


def main() -> None:
    """Print both times, their ratio and the number of prepared images."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--filters", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = create_phantom(folder / "data", n=options.subjects, seed=0)
        times = {}
        for jobs in (1, 2):
            run = folder / f"jobs-{jobs}"
            write_json(run / "parameters.json", _PARAMETERS)
            write_json(run / "config.json", _configuration(data, run / "out", options))
            times[jobs], processor = _seconds(run, jobs)
            print(f"-j {jobs}: {times[jobs]:.1f} s, {processor:.1f} s of processors", flush=True)
            _count(run)
        print(f"speed-up {times[1] / times[2]:.2f} on {available_cores()} cores")


def _configuration(data: Path, output: Path, options: argparse.Namespace) -> dict:
    return load_config(
        CONFIG_DIR / "config.json",
        {
            "gpu_ids": [],
            "path_output": str(output),
            "loader_parameters.path_data": [str(data)],
            "default_model.depth": 2,
            "default_model.n_filters": options.filters,
            "training_parameters.training_time.num_epochs": options.epochs,
        },
    ).to_json()


def _seconds(run: Path, jobs: int) -> tuple[float, float]:
    command = [sys.executable, "-m", "ivadomed.scripts.automate_training", "--all-combin", "-j", str(jobs)]
    command += ["-c", str(run / "config.json"), "-ch", str(run / "parameters.json")]
    started, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - started, os.times()
    children = ("children_user", "children_system")
    return seconds, sum(getattr(after, name) - getattr(before, name) for name in children)


def _count(run: Path) -> None:
    """Print how many images were asked for by the runs, and how many files were written."""
    used = 0
    for log in run.glob("out-*/log"):
        used += sum(map(int, re.findall(r"Loaded (\d+) \w+ slices", log.read_text())))
    files = len(list((run / "out" / "cache").iterdir()))
    print(f"       {files} images prepared for 6 trainings, which read {used} slices", flush=True)


if __name__ == "__main__":
    main()
