"""Many trainings and segmentations in one process: its memory, its open files and what stays in the temporary folder.

After a warm-up (imports, the allocator's pools) nothing may grow.

    python testing/benchmarks/soak.py --trainings 200 --segmentations 2000
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivadomed.inference import Predictor, segment_volume
from ivadomed.main import run_main
from ivadomed.scripts.create_phantom import create_phantom


@dataclass(frozen=True)
class Usage:
    """What a process holds: resident memory in MB, open files, threads, entries of the temporary folder."""

    memory: float
    files: int
    threads: int
    temporary: int

    @classmethod
    def now(cls) -> Usage:
        """Of this process (Linux)."""
        gc.collect()
        return cls(
            int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20,
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            len(os.listdir(tempfile.gettempdir())),
        )


def soak(action: Callable[[int], Any], times: int, warm_up: int) -> tuple[Usage, Usage]:
    """What the process holds after the warm-up, and after ``times`` more."""
    for number in range(warm_up):
        action(number)
    before = Usage.now()
    for number in range(times):
        action(number)
    return before, Usage.now()


def tiny_config(study: Path, output: Path) -> dict[str, Any]:
    """One epoch of the smallest U-Net."""
    contrasts = {"training_validation": ["T2w"], "testing": ["T2w"], "balance": {}}
    return {
        "command": "train",
        "gpu_ids": [],
        "path_output": str(output),
        "model_name": "tiny",
        "loader_parameters": {
            "path_data": [str(study)],
            "target_suffix": ["_seg-manual"],
            "contrast_params": contrasts,
        },
        "split_dataset": {"train_fraction": 0.5, "test_fraction": 0.25},
        "training_parameters": {"batch_size": 32, "num_workers": 0, "training_time": {"num_epochs": 1}},
        "default_model": {"name": "Unet", "depth": 1, "n_filters": 2},
        "transformation": {"CenterCrop": {"size": [32, 32]}, "NormalizeInstance": {"applied_to": ["im"]}},
    }


def soak_trainings(study: Path, folder: Path, times: int, warm_up: int = 3) -> tuple[Usage, Usage]:
    """Train into a new folder each time, which is removed."""

    def train(_: int) -> None:
        output = folder / "run"
        run_main(tiny_config(study, output))
        shutil.rmtree(output)

    return soak(train, times, warm_up)


def soak_segmentations(study: Path, model: Path, times: int, warm_up: int = 20) -> tuple[Usage, Usage]:
    """Segment by turns with a model that stays loaded and with one that is loaded each time."""
    images = sorted(study.glob("sub-*/anat/*_T2w.nii.gz"))
    predict = Predictor(model, "cpu")

    def segment(number: int) -> None:
        image = images[number % len(images)]
        if number % 2:
            segment_volume(model, image, gpu_id=None)
        else:
            predict(image)

    return soak(segment, times, warm_up)


def main() -> None:
    """Print what the process holds before and after."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--segmentations", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tempfile.tempdir = str(folder / "temporary")  # of this process alone
        Path(tempfile.tempdir).mkdir()
        study = create_phantom(folder / "data", n=6, seed=1, size="tiny", contrasts=("T2w",))
        run_main(tiny_config(study, folder / "model"))
        found = {
            f"{options.segmentations} segmentations": soak_segmentations(
                study, folder / "model" / "tiny", options.segmentations
            ),
            f"{options.trainings} trainings": soak_trainings(study, folder, options.trainings),
        }
    for what, (before, after) in found.items():
        print(f"{what}:\n  before {before}\n  after  {after}\n  memory x {after.memory / before.memory:.3f}")


if __name__ == "__main__":
    main()
