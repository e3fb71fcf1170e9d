"""Reading labels over nibabel alone, and classes of one label map over a file for each: seconds and ratios.

python testing/benchmarks/bench_labels.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from ivadomed.images.labels import LabelFile, iter_labels, read_label


def main() -> None:
    """Write labels of several classes, read them, print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 300), metavar=("X", "Y", "Z"))
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    classes = range(1, options.classes + 1)
    values = _label_map(options.shape, options.classes)
    with tempfile.TemporaryDirectory() as folder:
        label_map = _save(Path(folder, "map.nii.gz"), values)
        single = [_save(Path(folder, f"class-{k}.nii.gz"), (values == k).astype(np.uint8)) for k in classes]
        of_map = [LabelFile(label_map, (k,)) for k in classes]
        of_files = [LabelFile(path) for path in single]
        alone, one, joined, apart = _fastest(
            options.repeats,
            lambda: np.asarray(nib.load(single[0]).dataobj, np.float32),
            lambda: read_label(single[0]),
            lambda: list(iter_labels(of_map)),
            lambda: list(iter_labels(of_files)),
        )
    print(f"nibabel alone {alone:.2f} s; one binary label {one:.2f} s, ratio {one / alone:.2f}")
    print(
        f"{options.classes} classes: one map {joined:.2f} s, a file for each {apart:.2f} s, ratio {joined / apart:.2f}"
    )


def _label_map(shape: tuple[int, int, int], n_classes: int) -> np.ndarray:
    """Slabs of classes 1, 2, ... within a margin of background."""
    values = np.zeros(shape, np.uint8)
    inner = tuple(slice(n // 4, n - n // 4) for n in shape)
    slabs = np.linspace(1, n_classes + 1, shape[2], endpoint=False).astype(np.uint8)
    values[inner] = slabs[inner[2]]
    return values


def _save(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    return path


def _fastest(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Lowest processor time of each, run in turn."""
    best = [float("inf")] * len(works)
    for _ in range(repeats):
        for place, work in enumerate(works):
            started = time.process_time()
            work()
            best[place] = min(best[place], time.process_time() - started)
    return best


if __name__ == "__main__":
    main()
