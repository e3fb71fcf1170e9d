"""Cost of an epoch over the same number of steps on tensors that lie in memory.

Light configuration: U-Net of depth 2 with 4 filters, 128x128 crops, batches of 8, the tutorial's transforms.
The loader has to hide behind the network, or cost next to nothing.

    python testing/benchmarks/bench_epoch.py --workers 1
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.datasets import cases_of, draw_split, index_data, sample_dataset
from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.training.loop import Trainer
from ivadomed.training.monitor import Monitor
from ivadomed.training.signals import StopRequest


def main() -> None:
    """Print seconds per epoch, seconds of pure computation and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--filters", type=int, default=4)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--channels-last", type=int, default=1)
    parser.add_argument("--no-augmentation", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(Path(folder), options)
        monitor, stop = Monitor(Path(folder), 1, 1), StopRequest("")
        batches = [b.to(trainer.device, trainer.memory_format) for b in trainer.train_batches]
        epochs, pure = [], []
        for epoch in range(options.rounds + 1):
            epochs.append(_seconds(lambda epoch=epoch: trainer._train_epoch(epoch, monitor, stop)))
            pure.append(_seconds(lambda: _compute(trainer, batches)))
        ratio = statistics.median(e / p for e, p in itertools.islice(zip(epochs, pure, strict=True), 1, None))
    print(f"{len(batches)} steps, {options.workers} workers, {torch.get_num_threads()} threads")
    print(f"epoch {statistics.median(epochs[1:]):.3f} s, computation {statistics.median(pure[1:]):.3f} s")
    print(f"ratio {ratio:.3f}")


def _trainer(folder: Path, options: Any) -> Trainer:
    data = create_phantom(folder / "data", n=12, seed=0)
    overrides = {
        "loader_parameters.path_data": [str(data)],
        "path_output": str(folder / "run"),
        "default_model.depth": options.depth,
        "default_model.n_filters": options.filters,
        "training_parameters.batch_size": 8,
        "training_parameters.channels_last": bool(options.channels_last),
    }
    if options.no_augmentation:
        overrides |= {"transformation.RandomAffine": None, "transformation.ElasticTransform": None}
    config = load_config(CONFIG_DIR / "config.json", overrides)
    run = Path(config.path_output)
    run.mkdir()
    bids_df = index_data(config, run)
    split = draw_split(config, bids_df, run)
    params = config.training_parameters.model_dump(mode="json") | {"num_workers": options.workers}
    training, validation = (
        sample_dataset(config, cases_of(config, bids_df, split[side], dataset_type), dataset_type, run)
        for side, dataset_type in (("train", "training"), ("valid", "validation"))
    )
    return Trainer(
        {"name": config.architecture.name, **config.architecture.arguments},
        training,
        validation,
        params,
        run,
        torch.device("cpu"),
        (),
    )


def _compute(trainer: Trainer, batches: list[Any]) -> None:
    trainer.network.train()
    for batch in batches:
        loss = trainer.loss(trainer.network(*trainer.model.inputs(batch)), batch.target)
        trainer.optimizer.zero_grad()
        trainer.fabric.backward(loss)
        trainer.optimizer.step()


def _seconds(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
