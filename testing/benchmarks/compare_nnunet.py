r"""Train ivadomed and nnU-Net for the same minutes on the same cores and split, and compare them on the test set.

    python testing/benchmarks/compare_nnunet.py -c config.json --path-data DATA -o /tmp/compare --minutes 20 \
        --threads 2 --nnunet-python /tmp/nnunet/bin/python

nnU-Net lives in an environment of its own. Its 3d_fullres is planned and trained on fold 0 as it is, on the CPU, but
for the length of the training: as many steps as fit, with its polynomial decay over the time. Its preprocessing does
not count, and it validates nothing on the way; ivadomed's minutes hold both. Predicting counts for neither.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ivadomed.commands.export import export_nnunet
from ivadomed.config import RunConfig, load_config
from ivadomed.images.files import write_json
from ivadomed.images.io import read_classes
from ivadomed.images.label_suffix import class_labels
from ivadomed.images.labels import read_map
from ivadomed.inference.outputs import PREDICTIONS
from ivadomed.metrics.scores import dice_score

_NO_MODULE = 2
_NUMBER, _NAME = 1, "Compare"
_TRAINER = "nnUNetTrainerMinutes"
_CODE = f'''
import os
import time

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class {_TRAINER}(nnUNetTrainer):
    """As many steps as fit into the minutes, with polynomial decay of the learning rate over them."""

    def run_training(self):
        started, seconds = time.monotonic(), 60 * float(os.environ["COMPARE_MINUTES"])
        torch.set_num_threads(int(os.environ["COMPARE_THREADS"]))
        self.on_train_start()
        self.network.train()
        steps, longest = 0, 0.0
        while (passed := time.monotonic() - started) + longest < seconds:
            for group in self.optimizer.param_groups:
                group["lr"] = self.initial_lr * (1 - passed / seconds) ** 0.9
            loss = self.train_step(next(self.dataloader_train))["loss"]
            steps, longest = steps + 1, max(longest, time.monotonic() - started - passed) if steps else 0.0
            if steps % 50 == 0:
                self.print_to_log_file(f"step {{steps}}: loss {{float(loss):.4f}}")
        self.print_to_log_file(f"COMPARE {{steps}} steps in {{time.monotonic() - started:.0f}} s")
        self.on_train_end()

    def perform_actual_validation(self, save_probabilities=False):
        pass
'''


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Args:
        minutes: Of the clock.
        core_minutes: Of all cores.
    """

    minutes: float
    core_minutes: float

    def __str__(self) -> str:
        return f"{self.minutes:.1f} min ({self.core_minutes:.1f} core-minutes)"


def main() -> int:
    """Run both and print the table."""
    options = _options()
    if not _has_nnunet(options.nnunet_python):
        print(
            f"compare_nnunet: {options.nnunet_python} has no nnunetv2; install it into an environment of its own,\n"
            "  python3 -m venv /tmp/nnunet && /tmp/nnunet/bin/pip install torch torchvision nnunetv2\n"
            "and pass --nnunet-python /tmp/nnunet/bin/python",
            file=sys.stderr,
        )
        return _NO_MODULE
    if options.output.exists():
        print(f"compare_nnunet: {options.output} is there already; give another -o", file=sys.stderr)
        return 1
    if hasattr(os, "sched_setaffinity"):  # what is started from here has these cores and no others
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    options.output.mkdir(parents=True)
    config, ours = _train_ours(options)
    exported = export_nnunet(config, options.output / "raw", _NUMBER, _NAME).folder
    theirs = _train_nnunet(options, exported)
    print(f"\nivadomed trained {ours}, nnU-Net {theirs} on {options.threads} threads\n")
    _print_table(config, exported, options.output / "nnunet_predictions")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("-c", "--config", type=Path, help="configuration to train")
    source.add_argument(
        "--run", type=Path, help="a tested run of ivadomed, of so many minutes, that is taken instead"
    )
    parser.add_argument("--path-data", help="data set, in place of the configuration's")
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder for all that is written")
    parser.add_argument("--minutes", type=float, default=20.0, help="of each training (default: 20)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="cores (default: all)")
    parser.add_argument(
        "--nnunet-python", default=sys.executable, help="Python that has nnunetv2 (default: this one)"
    )
    return parser.parse_args()


def _has_nnunet(python: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec("nnunetv2") is not None
    command = [python, "-c", "import importlib.util as u; raise SystemExit(u.find_spec('nnunetv2') is None)"]
    try:
        return subprocess.run(command, check=False).returncode == 0
    except OSError:
        return False


def _run(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """Run a command; raise unless it succeeds."""
    print(f"$ {' '.join(command)}", flush=True)
    started, before = time.monotonic(), _core_seconds()
    subprocess.run(command, env={**os.environ, **environment}, check=True)
    return Cost((time.monotonic() - started) / 60, (_core_seconds() - before) / 60)


def _core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _train_ours(options: argparse.Namespace) -> tuple[RunConfig, Cost | str]:
    """Train and test; or the configuration of a run that is."""
    if options.run:
        changes = {"path_output": str(options.run.resolve())}
        return load_config(options.run / "config_file.json", changes), f"in {options.run}"
    changes = {
        "path_output": str((options.output / "ivadomed").resolve()),
        "gpu_ids": [],
        "training_parameters.training_time.max_minutes": options.minutes,
        "training_parameters.training_time.num_epochs": None,
    }
    data = (
        {"loader_parameters.path_data": [str(Path(options.path_data).resolve())]} if options.path_data else {}
    )
    config = load_config(options.config, {**changes, **data})
    write_json(options.output / "config.json", config.to_json())
    file, environment = str(options.output / "config.json"), {"OMP_NUM_THREADS": str(options.threads)}
    cost = _run([sys.executable, "-m", "ivadomed", "--train", file], environment)
    _run([sys.executable, "-m", "ivadomed", "--test", file], environment)
    return config, cost


def _train_nnunet(options: argparse.Namespace, exported: Path) -> Cost:
    """Plan, preprocess, train and predict the test set."""
    folders = {
        name: str((options.output / f"nnunet_{name}").resolve()) for name in ("preprocessed", "results")
    }
    trainers = options.output / "trainers"
    trainers.mkdir()
    (trainers / "minutes.py").write_text(_CODE, encoding="utf-8")
    threads = str(options.threads)
    environment = {
        "nnUNet_raw": str(exported.parent.resolve()),
        "nnUNet_preprocessed": folders["preprocessed"],
        "nnUNet_results": folders["results"],
        "nnUNet_extTrainer": str(trainers.resolve()),
        "nnUNet_n_proc_DA": threads,
        "COMPARE_MINUTES": str(options.minutes),
        "COMPARE_THREADS": threads,
    }

    def nnunet(name: str, *arguments: str) -> Cost:
        program = str(Path(options.nnunet_python).parent / f"nnUNetv2_{name}")
        return _run([options.nnunet_python, program, *arguments], environment)

    number = str(_NUMBER)
    checks = ["--verify_dataset_integrity", "-c", "3d_fullres", "-np", threads, "-npfp", threads]
    nnunet("plan_and_preprocess", "-d", number, *checks)
    shutil.copy(exported / "splits_final.json", Path(folders["preprocessed"]) / exported.name)
    cost = nnunet("train", number, "3d_fullres", "0", "-tr", _TRAINER, "-device", "cpu")
    files = ["-i", str(exported / "imagesTs"), "-o", str(options.output / "nnunet_predictions")]
    model = [
        "-d",
        number,
        "-c",
        "3d_fullres",
        "-f",
        "0",
        "-tr",
        _TRAINER,
        "-device",
        "cpu",
        "-npp",
        "1",
        "-nps",
        "1",
    ]
    nnunet("predict", *files, *model)
    return cost


Masks = Callable[[str], np.ndarray]
"""Masks [X, Y, Z, K] of a case, by its name."""


def _print_table(config: RunConfig, exported: Path, predictions: Path) -> None:
    """Print the mean Dice on the test set, of each class and of all."""
    description = json.loads((exported / "dataset.json").read_text(encoding="utf-8"))
    labels = {k: v for k, v in description["labels"].items() if k not in ("background", "ignore")}
    order = class_labels(config.class_names)  # regions are listed by their size
    keys = sorted(path.name.removesuffix(".nii.gz") for path in (exported / "labelsTs").iterdir())
    ignored = description["labels"].get("ignore")

    def of_map(folder: Path) -> Masks:
        return lambda key: _masks(read_map(folder / f"{key}.nii.gz").data, [labels[name] for name in order])

    def of_run(key: str) -> np.ndarray:
        [file] = [
            path
            for path in (Path(config.path_output) / PREDICTIONS).glob(f"{key}*_pred.nii.gz")
            if path.name == f"{key}_pred.nii.gz" or path.name.startswith(f"{key}_")
        ]
        return read_classes(file).data >= 0.5

    scores: dict[str, list[list[float]]] = {"ivadomed": [], "nnU-Net": []}
    for key in keys:
        whole = read_map(exported / "labelsTs" / f"{key}.nii.gz").data
        truth = _masks(whole, [labels[name] for name in order])
        counts = np.ones(whole.shape, bool) if ignored is None else whole != ignored
        for name, masks in (("ivadomed", of_run), ("nnU-Net", of_map(predictions))):
            pairs = zip(np.moveaxis(masks(key), -1, 0), np.moveaxis(truth, -1, 0), strict=True)
            scores[name].append([dice_score(a[counts], b[counts]) for a, b in pairs])
    print(f"Mean Dice of {len(keys)} test cases\n")
    print("| | " + " | ".join([*order, "mean"]) + " |\n|---|" + "---|" * (len(order) + 1))
    for name, rows in scores.items():
        means = np.nanmean(np.array(rows), axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in [*means, np.nanmean(means)]) + " |")


def _masks(values: np.ndarray, classes: Sequence[int | Sequence[int]]) -> np.ndarray:
    return np.stack([np.isin(values, each) for each in classes], axis=-1)


if __name__ == "__main__":
    sys.exit(main())
