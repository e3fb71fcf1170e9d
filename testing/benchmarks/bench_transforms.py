"""Time of the transforms: milliseconds per sample of the tutorial's pipeline, and against scipy's zoom.

Run as ``OMP_NUM_THREADS=1 python testing/benchmarks/bench_transforms.py``.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy.ndimage import zoom

from ivadomed.transforms import Pipeline

FIXED: dict[str, Any] = {
    "Resample": {"hspace": 0.75, "wspace": 0.75, "dspace": 1},
    "CenterCrop": {"size": [128, 128]},
}
AFFINE: dict[str, Any] = {
    "RandomAffine": {"degrees": 5, "scale": [0.1, 0.1], "translate": [0.03, 0.03], "applied_to": ["im", "gt"]}
}
ELASTIC: dict[str, Any] = {"alpha_range": [28.0, 30.0], "sigma_range": [3.5, 4.5], "applied_to": ["im", "gt"]}
NORMALIZE: dict[str, Any] = {"NormalizeInstance": {"applied_to": ["im"]}}


def milliseconds(function: Callable[[], object], seconds: float = 0.5) -> float:
    """Best time of one call, ms."""
    function()
    once = max(min(timeit.repeat(function, number=1, repeat=3)), 1e-7)
    number = max(1, int(seconds / 5 / once))
    return min(timeit.repeat(function, number=number, repeat=5)) / number * 1e3


def report(title: str, value: float, unit: str = "ms") -> None:
    """Print one row."""
    print(f"{title:<64} {value:9.3f} {unit}")


def bench_samples(rng: np.random.Generator) -> None:
    """Time the per-sample transforms on image and label [1, 128, 128]."""
    image = rng.random((1, 128, 128), dtype=np.float32)
    label = (image > 0.9).astype(np.float32)
    configs: dict[str, dict[str, Any]] = {
        "per sample: RandomAffine": AFFINE,
        "per sample: RandomAffine + NormalizeInstance": {**AFFINE, **NORMALIZE},
        "per sample: tutorial (RandomAffine, Elastic p=0.1, Normalize)": {
            **AFFINE,
            "ElasticTransform": {**ELASTIC, "p": 0.1},
            **NORMALIZE,
        },
        "per sample: the same with Elastic p=1": {
            **AFFINE,
            "ElasticTransform": {**ELASTIC, "p": 1},
            **NORMALIZE,
        },
        "per sample: overhead of an empty pipeline": {"NumpyToTensor": {}},
    }
    for title, config in configs.items():
        pipeline = Pipeline.from_config(config)

        # The average over many draws counts here, not the quickest draw.
        rounds = timeit.repeat(partial(make_sample, pipeline, image, label, rng), number=400, repeat=3)
        report(title, min(rounds) / 400 * 1e3)


def make_sample(pipeline: Pipeline, image: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> None:
    """Do what the loader does for one sample."""
    plan = pipeline.plan(image.shape[1:], (0.75, 0.75), rng)
    plan.apply(image, "im", 2)
    plan.apply(label, "gt", 1)


def bench_fixed(rng: np.random.Generator) -> None:
    """Time the steps that run once per case."""
    image = rng.random((30, 192, 192), dtype=np.float32)
    fixed, _ = Pipeline.from_config({**FIXED, **NORMALIZE}).split_fixed()
    plan = fixed.plan(image.shape[1:], (0.5, 0.5), rng)
    report(
        "per slice, once: Resample 192x192 at 0.5 mm + CenterCrop",
        milliseconds(lambda: plan.apply(image, "im", 2)) / 30,
    )


def bench_resample(rng: np.random.Generator) -> None:
    """Compare Resample with scipy.ndimage.zoom, order 2."""
    for shape, target in (((128, 128), 0.75), ((512, 512), 0.75), ((96, 96, 96), 0.75), ((3000, 2000), 0.75)):
        image = rng.random(shape, dtype=np.float32)
        config = {"Resample": {"hspace": target, "wspace": target, "dspace": target}}
        plan = Pipeline.from_config(config).plan(shape, (0.5,) * len(shape), rng)
        factors = [b / a for a, b in zip(shape, plan.shape_out, strict=True)]
        ours = milliseconds(partial(plan.apply, image[None], "im", 2))
        scipys = milliseconds(partial(zoom, image, factors, order=2))
        name = "x".join(map(str, shape))
        report(f"Resample {name} -> {plan.shape_out[0]}..., scipy {scipys:.2f} ms", ours)
        report(f"Resample {name}, times faster than scipy.ndimage.zoom", scipys / ours, "x")


def bench_volume(rng: np.random.Generator) -> None:
    """Time a 3D affine on a patch."""
    image = rng.random((1, 96, 96, 96), dtype=np.float32)
    pipeline = Pipeline.from_config(
        {"RandomAffine": {"degrees": 5, "scale": [0.1] * 3, "translate": [0.03] * 3}}
    )

    def sample() -> None:
        plan = pipeline.plan(image.shape[1:], (1.0, 1.0, 1.0), rng)
        plan.apply(image, "im", 2)

    report("per sample: RandomAffine 96x96x96, one array", milliseconds(sample))


def main() -> None:
    """Run all."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for bench in (bench_samples, bench_fixed, bench_resample, bench_volume):
        bench(rng)


if __name__ == "__main__":
    main()
