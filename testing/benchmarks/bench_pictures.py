"""Peak memory of reading a micrograph over the bytes of its float32 grey values, and seconds, per format.

python testing/benchmarks/bench_pictures.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

from ivadomed.images.io import read_image, write_picture

_FORMATS = ("grey8.png", "rgb8.png", "grey8.jpg", "grey8.tif", "grey16.tif", "rgb16.tif")


def main() -> None:
    """Write each format, read it in a process of its own, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(6000, 8000), metavar=("ROWS", "COLUMNS"))
    parser.add_argument("--read", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        _read(Path(options.read))
        return
    rows, columns = options.size
    waves = np.sin(np.arange(rows) / 50)[:, None] + np.cos(np.arange(columns) / 70)
    grey = ((waves + 2) * 60).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for name in _FORMATS:
            path = Path(folder, name)
            pixels = np.stack([grey] * 3, axis=-1) if "rgb" in name else grey
            if "16" in name:
                tifffile.imwrite(
                    path, pixels.astype(np.uint16) * 257, photometric="rgb" if "rgb" in name else None
                )
            else:
                write_picture(path, pixels)
            command = [sys.executable, __file__, "--read", str(path)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            seconds, peak = map(float, done.stdout.split())
            print(f"{name:12} {peak / (4 * grey.size):5.2f} times the float32 image, {seconds:5.2f} s")


def _read(path: Path) -> None:
    """Print the seconds of a read and the peak of the memory (bytes) that it added."""
    small = path.with_name(f"small-{path.name}")  # its reader is loaded before the measurement
    if "16" in path.name:
        tifffile.imwrite(small, np.zeros((8, 8), np.uint16))
    else:
        write_picture(small, np.zeros((8, 8), np.uint8))
    read_image(small)
    # ru_maxrss would do, but a process inherits it from the one that started it.
    Path("/proc/self/clear_refs").write_text("5")
    before = _high_water()
    started = time.perf_counter()
    read_image(path)
    seconds = time.perf_counter() - started
    print(seconds, _high_water() - before)


def _high_water() -> int:
    """Largest resident memory so far, in bytes (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
