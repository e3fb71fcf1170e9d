"""Cost of an epoch over the same number of steps on tensors that lie in memory.

The loader has to hide behind the network, or cost next to nothing. Light networks are the hard case: a U-Net of depth
2 with 4 filters on 128x128 crops in batches of 8 with the tutorial's transforms, or a Modified3DUNet with 8 filters on
patches of 48x64x48 voxels in batches of 4 with affine ones.

    python testing/benchmarks/bench_epoch.py --kind 2d --workers 0 1
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from phantom_training import KINDS, make_trainer

from ivadomed.runtime.allocator import reused_memory
from ivadomed.runtime.signals import StopRequest
from ivadomed.training.monitor import Monitor


def main() -> None:
    """Print the time of an epoch, that of pure computation and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=KINDS, default="2d")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--channels-last", type=int, default=1)
    options = parser.parse_args()
    for workers in options.workers:
        _compare(options, workers)


def _compare(options: Any, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(
            Path(folder),
            options.kind,
            options.subjects,
            num_workers=workers,
            channels_last=bool(options.channels_last),
        )
        stop = StopRequest("")
        batches = [trainer._ready(batch) for batch in trainer.train_batches]
        epochs, pure = [], []
        with closing(Monitor(Path(folder), 1, 1)) as monitor, reused_memory():
            for epoch in range(options.rounds + 1):
                epochs.append(_seconds(lambda epoch=epoch: trainer._train_epoch(epoch, monitor, stop)))
                pure.append(_seconds(lambda: _compute(trainer, batches)))
    print(f"{options.kind}: {len(batches)} steps, {workers} workers, {torch.get_num_threads()} threads")
    # Without workers, the time of the process is what a machine that others use as well can tell.
    for clock, kind in enumerate(("wall clock", "processor time of the training process")):
        epoch, alone = ([pair[clock] for pair in pairs[1:]] for pairs in (epochs, pure))
        ratio = statistics.median(e / p for e, p in zip(epoch, alone, strict=True))
        print(
            f"{kind}: epoch {statistics.median(epoch):.3f} s, computation {statistics.median(alone):.3f} s, "
            f"ratio {ratio:.3f}",
            flush=True,
        )


def _compute(trainer: Any, batches: list[Any]) -> None:
    trainer.network.train()
    optimizer = trainer.optimization.optimizer
    for batch in batches:
        loss = trainer.loss(trainer.network(*trainer.model.inputs(batch)), batch.target)
        optimizer.zero_grad()
        trainer.processes.fabric.backward(loss)
        optimizer.step()


def _seconds(call: Any) -> tuple[float, float]:
    started = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - started[0], time.process_time() - started[1]


if __name__ == "__main__":
    main()
