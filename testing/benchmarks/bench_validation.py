"""Share of an epoch that goes into the metrics of the validation.

python testing/benchmarks/bench_validation.py --kind 2d tutorial 3d
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from phantom_training import KINDS, make_trainer

from ivadomed.runtime.signals import StopRequest
from ivadomed.training import loop
from ivadomed.training.monitor import Monitor


class Clock:
    """Seconds spent in the functions it is put around."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - started

        return timed


def main() -> None:
    """Print the seconds of epochs, of the metrics in them, and the share."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=["2d", "3d"])
    parser.add_argument("--subjects", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    clock = Clock()
    # Bringing predictions to the metrics is part of their cost.
    loop.as_array = clock.around(loop.as_array)
    loop.MetricManager.__call__ = clock.around(loop.MetricManager.__call__)
    for kind in options.kind:
        with tempfile.TemporaryDirectory() as folder:
            trainer = make_trainer(Path(folder), kind, options.subjects, num_workers=0)
            with closing(Monitor(Path(folder), 1, 1)) as monitor:
                _epoch(trainer, 0, monitor)  # warms up
                clock.seconds, started = 0.0, time.perf_counter()
                for epoch in range(1, options.epochs + 1):
                    _epoch(trainer, epoch, monitor)
                seconds = time.perf_counter() - started
        print(f"{kind}: {options.epochs} epochs {seconds:.2f} s, metrics {clock.seconds:.3f} s")
        print(f"share {clock.seconds / seconds:.3f}", flush=True)


def _epoch(trainer: Any, epoch: int, monitor: Monitor) -> None:
    stop = StopRequest("")
    trainer._train_epoch(epoch, monitor, stop)
    trainer._validate(epoch, monitor, stop)


if __name__ == "__main__":
    main()
