"""One augmentation job, done by this package, scipy, MONAI and TorchIO: affine, elastic deformation, normalization.

An image and its label are rotated, scaled, shifted and elastically deformed, and the image is normalized; float32, one
thread. Prints milliseconds of CPU per sample, how many times faster this package is, and how much memory it takes at
most beside the sample. MONAI and TorchIO are no dependencies of it: install them into an environment of its own, or
their rows are left out.

    OMP_NUM_THREADS=1 python testing/benchmarks/bench_augmentation.py
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from ivadomed.transforms import Pipeline

CALLS = 5  # in a row
DEGREES, SCALE, SHIFT = 5.0, 0.1, 0.03
ALPHA, SIGMA = 29.0, 4.0

Job = Callable[[], object]


def main() -> None:
    """Compare in 2D and 3D."""
    torch.set_num_threads(1)
    for shape, rounds in (((128, 128), 40), ((96, 96, 48), 3)):
        rng = np.random.default_rng(0)
        image = rng.random(shape, dtype=np.float32)
        label = (image > 0.9).astype(np.float32)
        jobs = {"ivadomed": ours, "scipy": scipys, "MONAI": monais, "TorchIO": torchios}
        title = "x".join(map(str, shape))
        compare(title, {name: make(image, label) for name, make in jobs.items()}, rounds)
    # In a process of its own, in which freed blocks from 32 KB on go back to the system: what is resident is held.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 15)}
    subprocess.run([sys.executable, __file__, "--memory"], env=environment, check=True)


def memory() -> None:
    """Print the most memory that a sample takes, over that of the sample; only Linux tells it."""
    for shape in ((1024, 1024), (96, 96, 48)):
        image = np.random.default_rng(0).random(shape, dtype=np.float32)
        job = ours(image, image)
        for _ in range(2):  # the first call also loads what it needs
            job()
        Path("/proc/self/clear_refs").write_text("5")  # starts the high-water mark again
        before = _resident("VmRSS")
        job()
        ratio = (_resident("VmHWM") - before) / (2 * image.nbytes)
        print(f"{'x'.join(map(str, shape))}: most memory {ratio:.1f} x image and label")


def _resident(field: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines[field].split()[0]) * 1024


def compare(title: str, jobs: dict[str, Job | None], rounds: int) -> None:
    """Print one row per job; the jobs take turns, so that a busy moment of the machine meets all of them."""
    present = {name: job for name, job in jobs.items() if job is not None}
    times: dict[str, list[float]] = {name: [] for name in present}
    for _ in range(rounds):
        for name, job in present.items():
            job()  # what the job before has left in the caches is not its fault
            for _ in range(CALLS):
                started = time.process_time()
                job()
                times[name].append(time.process_time() - started)
    medians = {name: float(np.median(values)) * 1e3 for name, values in times.items()}
    for name in jobs:
        if name in medians:
            ratio = medians[name] / medians["ivadomed"]
            print(f"{title}, image and label: {name:<9}{medians[name]:9.2f} ms {ratio:7.1f} x")
        else:
            print(f"{title}, image and label: {name:<9} is not installed here")


def ours(image: np.ndarray, label: np.ndarray) -> Job:
    """The configuration that the tutorial has, with the elastic deformation always on."""
    n, rng = image.ndim, np.random.default_rng(0)
    both = ["im", "gt"]
    pipeline = Pipeline.from_config(
        {
            "RandomAffine": {
                "degrees": DEGREES,
                "scale": [SCALE] * n,
                "translate": [SHIFT] * n,
                "applied_to": both,
            },
            "ElasticTransform": {
                "alpha_range": [ALPHA, ALPHA],
                "sigma_range": [SIGMA, SIGMA],
                "p": 1,
                "applied_to": both,
            },
            "NormalizeInstance": {"applied_to": ["im"]},
        }
    )

    def job() -> object:
        plan = pipeline.plan(image.shape, (1.0,) * n, rng)
        return plan.apply_all({"im": image[None], "gt": label[None]}, 1)

    return job


def scipys(image: np.ndarray, label: np.ndarray) -> Job:
    """The same written down with scipy.ndimage: one draw, then each array through affine and elastic map."""
    n, rng = image.ndim, np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij")).astype(np.float32)

    def job() -> object:
        angle = np.deg2rad(rng.uniform(-DEGREES, DEGREES))
        rotation = np.eye(n)
        rotation[:2, :2] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        matrix = rotation / rng.uniform(1 - SCALE, 1 + SCALE, n)[:, None]
        centre = np.array(image.shape) / 2
        shift = np.round(rng.uniform(-SHIFT, SHIFT, n) * image.shape)
        offset = centre + shift - matrix @ centre
        noise = 2 * rng.random(grid.shape, dtype=np.float32) - 1
        at = grid + ALPHA * np.stack([gaussian_filter(axis, SIGMA, mode="constant") for axis in noise])
        warped = [
            map_coordinates(affine_transform(x, matrix, offset, order=1), at, order=1) for x in (image, label)
        ]
        return (warped[0] - warped[0].mean()) / warped[0].std(), warped[1]

    return job


def monais(image: np.ndarray, label: np.ndarray) -> Job | None:
    """MONAI's dictionary transforms; in 2D its elastic field is drawn on control points."""
    if importlib.util.find_spec("monai") is None:
        return None
    from monai.transforms import Compose, NormalizeIntensityd, Rand2DElasticd, Rand3DElasticd, RandAffined

    keys, n = ["image", "label"], image.ndim
    angle = float(np.deg2rad(DEGREES))
    affine = RandAffined(
        keys,
        prob=1,
        rotate_range=angle if n == 2 else [angle] * 3,
        scale_range=[SCALE] * n,
        translate_range=[SHIFT * m for m in image.shape],
        mode="bilinear",
        padding_mode="zeros",
    )
    options = {"prob": 1.0, "mode": "bilinear", "padding_mode": "zeros"}
    if n == 2:
        elastic = Rand2DElasticd(keys, spacing=(16, 16), magnitude_range=(1, 2), **options)
    else:
        elastic = Rand3DElasticd(keys, sigma_range=(SIGMA, SIGMA), magnitude_range=(ALPHA, ALPHA), **options)
    chain = Compose([affine, elastic, NormalizeIntensityd(["image"])])
    sample = {"image": torch.from_numpy(image)[None], "label": torch.from_numpy(label)[None]}
    return lambda: chain(sample)


def torchios(image: np.ndarray, label: np.ndarray) -> Job | None:
    """TorchIO's transforms on a subject; a 2D image is a volume of one slice."""
    if importlib.util.find_spec("torchio") is None:
        return None
    import torchio as tio

    flat = image.ndim == 2
    volumes = [torch.from_numpy(x[None, ..., None] if flat else x[None]) for x in (image, label)]
    subject = tio.Subject(image=tio.ScalarImage(tensor=volumes[0]), label=tio.LabelMap(tensor=volumes[1]))
    shift = [SHIFT * m for m in image.shape] + [0] * flat
    chain = tio.Compose(
        [
            tio.RandomAffine(
                scales=(
                    1 - SCALE,
                    1 + SCALE,
                    1 - SCALE,
                    1 + SCALE,
                    *((1, 1) if flat else (1 - SCALE, 1 + SCALE)),
                ),
                degrees=(0, 0, DEGREES) if flat else DEGREES,
                translation=shift,
            ),
            tio.RandomElasticDeformation(max_displacement=(7.5, 7.5, 0 if flat else 7.5)),
            tio.ZNormalization(),
        ]
    )
    return lambda: chain(subject)


if __name__ == "__main__":
    memory() if "--memory" in sys.argv else main()
