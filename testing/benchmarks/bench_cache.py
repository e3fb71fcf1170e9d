"""Size and speed of the kinds of cache, on a phantom study, and the time of the estimate.

For each kind of sample: what the prepared cases take, in MB and over the plain files, and the processor time to read
one sample. Then the seconds to estimate the need of 1,000 cases from their headers.

    python testing/benchmarks/bench_cache.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.cache import FILES, open_cases
from ivadomed.loader.prepared.checks import prepared_bytes
from ivadomed.loader.prepared.prepare import Recipe, list_windows
from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.transforms import Pipeline

IN_PLANE = {"Resample": {"hspace": 0.5, "wspace": 0.5, "dspace": 1}, "CenterCrop": {"size": [192, 192]}}
WHOLE = {
    "Resample": {"hspace": 0.8, "wspace": 0.8, "dspace": 0.8},
    "CenterCrop": {"size": [128, 128, 96]},
}
RECIPES = {
    "slices of 192x192": Recipe(Pipeline.from_config(IN_PLANE)),
    "2D patches of 96x96": Recipe(Pipeline.from_config(IN_PLANE), length=(96, 96), stride=(48, 48)),
    "3D patches of 64x64x48": Recipe(
        Pipeline.from_config(WHOLE), is_2d=False, length=(64, 64, 48), stride=(32, 32, 24)
    ),
}


def main() -> None:
    """Print a line per kind of sample and of cache, and the time of the estimate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = create_phantom(Path(folder, "data"), n=options.subjects, seed=0, contrasts=("T2w",), jobs=2)
        cases = [_case(image) for image in sorted(data.glob("sub-*/anat/*_T2w.nii.gz"))]
        for kind, recipe in RECIPES.items():
            sizes = {}
            for mode in FILES:
                sizes[mode], milliseconds = _measure(cases, recipe, mode, Path(folder, mode, kind))
                megabytes, share = sizes[mode] / 1e6, sizes[mode] / sizes["disk"]
                print(f"{kind}, {mode}: {megabytes:.1f} MB ({share:.2f}), {milliseconds:.2f} ms a sample")
        many = [cases[i % len(cases)] for i in range(1000)]
        started = time.perf_counter()
        prepared_bytes(many, RECIPES["slices of 192x192"])
        print(f"estimate for 1,000 cases: {time.perf_counter() - started:.2f} s")


def _case(image: Path) -> Case:
    stem = image.name.removesuffix(".nii.gz")
    labels = image.parents[2] / "derivatives" / "labels" / image.parents[1].name / "anat"
    label = labels / f"{stem}_seg-manual.nii.gz"
    return Case(stem, (image,), ((LabelFile(label),),), image.parents[1].name, ("T2w",))


def _measure(cases: list[Case], recipe: Recipe, mode: str, folder: Path) -> tuple[int, float]:
    """Bytes of the cache, and processor time of a sample in ms: the shortest of five rounds of 100."""
    entries = open_cases(cases, recipe, mode, folder, n_jobs=2)
    windows = [
        window
        for i, entry in enumerate(entries)
        for window in list_windows(i, entry.stored.image_shape, entry.stored.facts, recipe)
    ]
    places = np.random.default_rng(0).integers(len(windows), size=100)
    rounds = []
    for _ in range(6):  # the first one sets up what later ones use
        started = time.process_time()
        for place in places:
            entries[windows[place].case].read(windows[place])
        rounds.append(time.process_time() - started)
    return sum(file.stat().st_size for file in folder.iterdir()), min(rounds[1:]) * 10


if __name__ == "__main__":
    main()
