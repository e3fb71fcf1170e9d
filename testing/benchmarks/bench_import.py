"""Start-up: ``ivadomed --help``, and the import of ``segment_volume`` over that of the libraries it needs.

python testing/benchmarks/bench_import.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "libraries": ["-c", "import torch, nibabel, scipy.ndimage"],
    "segment_volume": ["-c", "from ivadomed.inference import segment_volume"],
    "help": ["-m", "ivadomed", "--help"],
}
ROUNDS = 7


def main() -> None:
    """Print medians in seconds and the ratio."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS + 1):  # in turn, so that a change of the machine's speed meets all of them
        for name, arguments in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - started)
    for name, values in seconds.items():
        print(f"{name}: {statistics.median(values[1:]):.3f} s")
    pairs = zip(seconds["segment_volume"][1:], seconds["libraries"][1:], strict=True)
    print(f"ratio segment_volume / libraries: {statistics.median(a / b for a, b in pairs):.3f}")


if __name__ == "__main__":
    main()
