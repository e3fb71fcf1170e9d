"""Test Dice of one training in bfloat16 and in float32: 20 epochs of the tutorial's U-Net on a phantom study.

python testing/benchmarks/bench_precision.py
python testing/benchmarks/bench_precision.py --filters 16 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.main import run_main
from ivadomed.scripts.create_phantom import create_phantom


def main() -> None:
    """Print the Dice of both for each seed, and the difference of their means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    dice: dict[str, list[float]] = {"32": [], "bf16": []}
    with tempfile.TemporaryDirectory() as folder:
        data = create_phantom(Path(folder) / "data", n=options.subjects, seed=0)
        for seed in options.seeds:
            for precision, values in dice.items():
                values.append(_dice(data, Path(folder) / f"{precision}_{seed}", precision, seed, options))
                print(f"seed {seed}, precision {precision}: Dice {values[-1]:.4f}", flush=True)
    print(f"difference {statistics.mean(dice['bf16']) - statistics.mean(dice['32']):+.4f}")


def _dice(data: Path, run: Path, precision: str, seed: int, options: argparse.Namespace) -> float:
    overrides = {
        "loader_parameters.path_data": [str(data)],
        "path_output": str(run),
        "gpu_ids": [],
        "default_model.depth": 3,
        "default_model.n_filters": options.filters,
        "training_parameters.batch_size": 8,
        "training_parameters.seed": seed,
        "training_parameters.precision": precision,
        "training_parameters.training_time": {"num_epochs": options.epochs, "early_stopping_patience": 50},
    }
    config = load_config(CONFIG_DIR / "config.json", overrides).to_json()
    run_main({**config, "command": "train"})
    table, _ = run_main({**config, "command": "test"})
    return float(table["dice_class0"].mean())


if __name__ == "__main__":
    main()
