"""Time the evaluation, its report, the metrics of a validation batch, and the postprocessing steps.

Usage: python testing/benchmarks/bench_evaluation.py [--repeat N]

Prints seconds (best of N runs) and the ratios that should stay put from machine to machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ivadomed import metrics
from ivadomed.evaluation import PredictionPair, evaluate_pair, evaluate_predictions, write_summary
from ivadomed.evaluation.dataset import worst_first
from ivadomed.evaluation.pictures import paint_cases
from ivadomed.images.io import write_nifti
from ivadomed.images.labels import LabelFile
from ivadomed.postprocessing import Postprocessing
from ivadomed.report import Report, write_report

ZOOMS = (0.5, 0.5, 1.0)
PARAMS = {"target_size": {"unit": "vox", "thr": [20, 100]}, "overlap": {"unit": "vox", "thr": 3}}


def lesions(count: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Binary mask [H, W, D, 1] of ``count`` balls (radius 1 to 3 voxels) that do not touch each other."""
    rng = np.random.default_rng(seed)
    spacing = 9
    cells = [n // spacing for n in shape]
    mask = np.zeros(shape, bool)
    grid = np.stack(np.meshgrid(*[np.arange(-3, 4)] * 3, indexing="ij"))
    distance = np.sqrt((grid**2).sum(axis=0))
    for cell in rng.choice(np.prod(cells), count, replace=False):
        corner = np.array(np.unravel_index(cell, cells)) * spacing + 1
        box = tuple(slice(c, c + 7) for c in corner)
        mask[box] |= distance <= rng.uniform(1, 3)
    return mask[..., None]


def unlearnt(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An organ [H, W, D, 1], and a prediction that marks most of what is around it, with noise."""
    height, width, _ = shape
    rng = np.random.default_rng(0)
    radius = np.hypot(*np.ogrid[-height // 2 : height // 2, -width // 2 : width // 2])[..., None]
    coarse = rng.random((height // 4, width // 4, shape[2])) < 0.6
    noise = coarse.repeat(4, 0).repeat(4, 1) & (radius > height / 10)
    organ = np.broadcast_to(radius < height / 20, shape)
    return organ[..., None].astype(np.float32), noise[..., None].astype(np.float32)


def best(function: Callable[[], Any], repeat: int) -> float:
    """Shortest of ``repeat`` runs in seconds."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def bench_evaluation(repeat: int) -> None:
    """Full evaluation of one volume against the number of lesions."""
    shape = (256, 256, 120)
    seconds = {}
    for count in (100, 200, 1000):
        target = lesions(count, shape).astype(np.float32)
        prediction = np.roll(target, (1, 1), (0, 1))
        values = evaluate_pair(prediction, target, ZOOMS, PARAMS).metrics
        seconds[count] = best(partial(evaluate_pair, prediction, target, ZOOMS, PARAMS), repeat)
        found = f"{values['n_gt_class0']:.0f} lesions, ltpr {values['ltpr_class0']:.2f}"
        print(f"evaluation 256x256x120, {found}: {seconds[count]:.2f} s")
    print(f"evaluation, 1000 lesions / 100 lesions: {seconds[1000] / seconds[100]:.2f}")
    organ, noise = unlearnt(shape)
    seconds[0] = best(partial(evaluate_pair, noise, organ, ZOOMS, PARAMS), repeat)
    print(f"evaluation, a network that has learnt nothing: {seconds[0]:.2f} s")


def bench_run(cases: int = 50) -> None:
    """Evaluation, pictures and report of a test set; 1,000 rows in the report."""
    shape = (160, 160, 40)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image, truth, prediction = (folder / f"{kind}.nii.gz" for kind in ("image", "truth", "x_pred"))
        target = lesions(20, shape)[..., 0]
        write_nifti(image, rng.normal(100, 20, shape).astype(np.int16), np.eye(4))
        write_nifti(truth, target.astype(np.uint8), np.eye(4))
        write_nifti(prediction, np.roll(target, 1, 0).astype(np.uint8), np.eye(4))
        pairs = [
            PredictionPair(f"sub-{i:04d}", (prediction,), (LabelFile(truth),), image, f"sub-{i}")
            for i in range(1000)
        ]
        start = time.perf_counter()
        table = evaluate_predictions(pairs[:cases], folder, {**PARAMS, "object_detection_metrics": False})
        evaluated = time.perf_counter()
        pictures = paint_cases(pairs[:cases], worst_first(table), folder, slice_axis=2, slices_mb=48)
        painted = time.perf_counter()
        table = table.sample(1000, replace=True, random_state=0).set_axis([pair.image_id for pair in pairs])
        summary = write_summary(table, pairs, folder)
        report = write_report(
            Report("bench", folder, table, summary, pairs, worst_first(table), ["_seg"], pictures)
        )
        reported = time.perf_counter()
        print(f"test set of 160x160x40: evaluation {(evaluated - start) / cases:.3f} s per image", end=", ")
        print(f"picture and slices {(painted - evaluated) / cases:.3f} s")
        print(f"report of 1000 images: {reported - painted:.1f} s, {report.stat().st_size / 1e6:.1f} MB")


def bench_metrics(repeat: int) -> None:
    """Metrics of a validation batch, and the share of the Hausdorff score."""
    rng = np.random.default_rng(0)
    for shape in ((18, 1, 128, 128), (2, 1, 128, 128, 64)):
        prediction = np.zeros(shape, np.float32)
        inner = tuple(slice(n // 4, 3 * n // 4) for n in shape[2:])
        middle = prediction[(slice(None), slice(None), *inner)]
        middle[...] = rng.random(middle.shape)
        target = np.roll(prediction > 0.3, 1, -1).astype(np.float32)
        all_metrics = metrics.MetricManager(metrics.get_metric_fns("segmentation"))
        every = best(partial(all_metrics, prediction, target), repeat)
        hausdorff = best(
            partial(metrics.MetricManager([metrics.hausdorff_score]), prediction, target), repeat
        )
        print(f"metrics {shape}: {every * 1e3:.0f} ms, of which hausdorff {hausdorff / every:.0%}")


def run_step(name: str, params: dict[str, Any], soft: np.ndarray) -> np.ndarray:
    """One step, from the soft prediction."""
    return Postprocessing({name: params}, soft, ZOOMS, "").apply()


def bench_postprocessing(repeat: int) -> None:
    """Every step on a large volume."""
    shape = (512, 512, 300)
    soft = lesions(500, shape)[..., 0] * np.float32(0.9)
    steps: dict[str, dict[str, Any]] = {
        "binarize_prediction": {"thr": 0.5},
        "remove_noise": {"thr": 0.1},
        "fill_holes": {},
        "keep_largest": {},
        "remove_small": {"unit": "mm3", "thr": 3},
    }
    for name, params in steps.items():
        seconds = best(partial(run_step, name, params, soft), repeat)
        print(f"postprocessing 512x512x300, {name}: {seconds:.2f} s")


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each measurement; the best counts")
    repeat = parser.parse_args().repeat
    bench_evaluation(repeat)
    bench_run()
    bench_metrics(repeat)
    bench_postprocessing(repeat)


if __name__ == "__main__":
    main()
