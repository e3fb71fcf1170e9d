"""Time to the first batch on a warm cache, and what worker processes share.

1,000 cases of 24 slices are written into a cache; then data set and DataLoader are opened again. The memory figure is
the proportional set size (Linux counts a page that n processes share as 1/n of a page) summed over all processes of
this benchmark, without regard to others on the machine.

    python testing/benchmarks/bench_loader.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

import ivadomed.training  # noqa: F401  as much as a training shares with its workers
from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.cache import open_cases
from ivadomed.loader.prepared.prepare import Recipe, list_windows
from ivadomed.loader.recipe import recipe_of, steps_of
from ivadomed.loader.samples import EpochSampler, SampleDataset, make_loader
from ivadomed.transforms import Pipeline


def main() -> None:
    """Print seconds to the first batch, and memory of four workers over one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    options = parser.parse_args()
    config = load_config(CONFIG_DIR / "config.json")
    recipe, steps = recipe_of(config, "training"), steps_of(config, "training")
    with tempfile.TemporaryDirectory() as folder:
        cases = _cases(Path(folder), options.cases)
        cache = Path(folder) / "cache"
        open_cases(cases, recipe, "disk", cache, n_jobs=2)
        started = time.perf_counter()
        iterator = iter(_loader(cases, recipe, steps, cache, workers=2))
        next(iterator)
        print(f"{options.cases} cases: first batch after {time.perf_counter() - started:.2f} s")
        del iterator
        memory = {workers: _memory(cases, recipe, steps, cache, workers) for workers in (1, 4)}
    print(f"summed proportional set size: {memory[1]:.0f} MB with 1 worker, {memory[4]:.0f} MB with 4")
    print(f"ratio {memory[4] / memory[1]:.2f}")


def _cases(folder: Path, count: int) -> list[Case]:
    """Cases that are links to one image and its label: only the loader is measured."""
    rng = np.random.default_rng(0)
    image, label = folder / "image.nii", folder / "label.nii"
    nib.save(nib.Nifti1Image(rng.random((96, 96, 24), np.float32), np.diag([0.75, 0.75, 2, 1])), image)
    nib.save(
        nib.Nifti1Image((rng.random((96, 96, 24)) > 0.9).astype(np.uint8), np.diag([0.75, 0.75, 2, 1])), label
    )
    cases = []
    for i in range(count):
        own = folder / f"sub-{i:04}_T2w.nii"
        os.link(image, own)
        cases.append(Case(f"sub-{i:04}_T2w", (own,), ((LabelFile(label),),), f"sub-{i:04}", ("T2w",)))
    return cases


def _loader(cases: list[Case], recipe: Recipe, steps: Pipeline, cache: Path, workers: int):  # type: ignore[no-untyped-def]
    entries = open_cases(cases, recipe, "disk", cache)
    windows = [
        window
        for i, entry in enumerate(entries)
        for window in list_windows(i, entry.stored.image_shape, entry.stored.facts, recipe)
    ]
    dataset = SampleDataset(cases, entries, windows, steps)
    return make_loader(dataset, EpochSampler(len(dataset), 0), 18, workers)


def _memory(cases: list[Case], recipe: Recipe, steps: Pipeline, cache: Path, workers: int) -> float:
    """Largest memory of this process and its children in MB, over 300 batches."""
    iterator = iter(_loader(cases, recipe, steps, cache, workers))
    peak = 0.0
    for step in range(300):
        next(iterator)
        if step % 20 == 19:
            pids = [os.getpid(), *_children()]
            assert len(pids) == workers + 1, "processes of an earlier loader are still there"
            peak = max(peak, _set_size(pids))
    return peak


def _children() -> list[int]:
    task = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(pid) for pid in task.read_text().split()]


def _set_size(pids: list[int]) -> float:
    """Summed proportional set size in MB as it is where nothing else runs.

    Pages of libraries are shared with whatever other process uses them, so that the plain sum depends on the neighbours
    (by more than the workers weigh). They are counted once here, as many as the process with the most has.
    """
    own = sum(_kilobytes(pid, "smaps_rollup", name) for pid in pids for name in ("Pss_Anon", "Pss_Shmem"))
    return (own + max(_kilobytes(pid, "status", "RssFile") for pid in pids)) / 1024


def _kilobytes(pid: int, file: str, name: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
