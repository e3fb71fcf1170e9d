"""Complete workflow on synthetic data: create a study, train, test, segment new images, list the results."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ivadomed.config import CONFIG_DIR
from ivadomed.images.files import write_json
from ivadomed.runtime.console import ToolParser

# The tutorial's configuration, reduced for two cores.
_CHANGES: dict[str, dict[str, Any]] = {
    "loader_parameters": {"path_data": []},
    "training_parameters": {
        "batch_size": 16,
        "training_time": {"num_epochs": 15, "early_stopping_patience": 50, "early_stopping_epsilon": 0.001},
        "scheduler": {"initial_lr": 0.01, "lr_scheduler": {"name": "CosineAnnealingLR"}},
    },
    "default_model": {"depth": 2, "n_filters": 8, "dropout_rate": 0.1},
    "transformation": {"Resample": {"hspace": 1, "wspace": 1, "dspace": 1}, "CenterCrop": {"size": [64, 64]}},
}


def get_parser() -> argparse.ArgumentParser:
    """Parser of the command line."""
    parser = ToolParser(
        description=__doc__, epilog="example: python -m ivadomed.scripts.demo -o demo", prog="demo"
    )
    add = parser.add_argument
    add("-o", "--output", default="demo", help="folder for data and results (default: %(default)s)")
    add("-n", "--subjects", type=int, default=12, help="number of subjects (default: %(default)s)")
    return parser


def main(args: Sequence[str] | None = None) -> None:
    """Run the demo with the commands that a user would type."""
    options = get_parser().parse_args(args)
    started = time.perf_counter()
    output = Path(options.output)
    data, new, run = output / "data", output / "new_data", output / "run"
    shutil.rmtree(run, ignore_errors=True)
    _call("ivadomed_create_phantom", "-o", str(data), "-n", str(options.subjects), "--overwrite")
    _call("ivadomed_create_phantom", "-o", str(new), "-n", "2", "--seed", "99", "--overwrite")
    write_json(output / "config.json", _configuration())
    common = ["-c", str(output / "config.json"), "--path-output", str(run), "--path-data"]
    _call("ivadomed", "--train", *common, str(data))
    _call("ivadomed", "--test", *common, str(data))
    _call("ivadomed", "--segment", *common, str(new))
    _report(run, time.perf_counter() - started)


def _configuration() -> dict[str, Any]:
    config = json.loads((CONFIG_DIR / "config.json").read_text(encoding="utf-8"))
    return config | {name: config[name] | changes for name, changes in _CHANGES.items()}


def _call(*command: str) -> None:
    print(f"\n$ {shlex.join(command)}", flush=True)
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


def _report(run: Path, seconds: float) -> None:
    table = pd.read_csv(run / "results_eval" / "evaluation_3Dmetrics.csv", index_col="image_id")
    dice = table["dice_class0"]
    places = {
        "report, to open in a browser": run / "results_eval" / "report.html",
        "metrics of every image": run / "results_eval" / "evaluation_3Dmetrics.csv",
        "figures (color: prediction, yellow line: ground truth)": run / "results_eval" / "overlays",
        "segmentations": run / "pred_masks",
        "packaged model": run / "my_model",
        "training curves": f"tensorboard --logdir {run}",
    }
    print(f"\nMean test Dice of the cord: {dice.mean():.3f} (lowest {dice.min():.3f}, {len(dice)} images).")
    for name, place in places.items():
        print(f"  {name}: {place}")
    print(f"The demo took {seconds:.0f} s.")


if __name__ == "__main__":
    main()
