"""Random transforms a batch at a time (`augment_on: "device"`) over sample by sample (`"worker"`).

Prints samples per second of the one over the other, and what the training process spends on a batch when the
steps are drawn in a worker (as they are) or by itself.

    OMP_NUM_THREADS=1 python testing/benchmarks/bench_augment.py --device cpu
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from ivadomed.transforms import Pipeline, Plan
from ivadomed.transforms.batch_plan import BatchPlan

BOTH = {"applied_to": ["im", "gt"]}
IMAGE = {"applied_to": ["im"]}
AFFINE = {"RandomAffine": {"degrees": 5, "scale": [0.1] * 3, "translate": [0.03] * 3, **BOTH}}
ELASTIC = {"ElasticTransform": {"alpha_range": [28.0, 30.0], "sigma_range": [3.5, 4.5], "p": 1, **BOTH}}
NORMALIZE = {"NormalizeInstance": IMAGE}
CHAINS: dict[str, dict[str, Any]] = {
    "affine, normalize": {**AFFINE, **NORMALIZE},
    "affine, elastic, normalize": {**AFFINE, **ELASTIC, **NORMALIZE},
    "bias, gamma, blur, noise, normalize": {
        "RandomBiasField": {"coefficients": 0.5, "order": 3, "p": 1, **IMAGE},
        "RandomGamma": {"log_gamma_range": [-0.3, 0.3], "p": 1, **IMAGE},
        "RandomBlur": {"sigma_range": [0, 1], "p": 1, **IMAGE},
        "AdditiveGaussianNoise": {"std": 0.1, **IMAGE},
        **NORMALIZE,
    },
}
GRIDS = (((128, 128), 16), ((96, 96, 48), 4))


class Samples(Dataset[tuple[np.ndarray, Plan]]):
    """Images with the steps drawn for them."""

    def __init__(self, shape: tuple[int, ...], chain: Pipeline, count: int, draw: bool = True) -> None:
        self.image = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
        self.chain, self.count, self.draw = chain, count, draw

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, Plan | None]:
        return self.image.copy(), self.plan(index) if self.draw else None

    def plan(self, index: int) -> Plan:
        """The steps of one sample."""
        shape = self.image.shape[1:]
        return self.chain.plan(shape, (1.0,) * len(shape), np.random.default_rng(index))


def collate(samples: list[tuple[np.ndarray, Plan | None]]) -> tuple[torch.Tensor, BatchPlan | None]:
    """As the loader: images stacked, steps side by side."""
    plans = [plan for _, plan in samples if plan is not None]
    image = torch.from_numpy(np.stack([image for image, _ in samples]))
    return image, BatchPlan.of(plans) if plans else None


def throughput(shape: tuple[int, ...], size: int, title: str, device: torch.device, rounds: int) -> None:
    """Print the samples per second of both ways."""
    data = Samples(shape, Pipeline.from_config(CHAINS[title]), size)
    image = np.stack([data.image] * size)
    label = (image > 0.9).astype(np.float32)
    tensors = [torch.from_numpy(x).to(device) for x in (image, label)]

    def by_sample(plans: list[Plan]) -> None:
        for plan, x, y in zip(plans, image, label, strict=True):
            plan.apply(x, "im", 1), plan.apply(y, "gt", 1)

    def by_batch(plans: list[Plan]) -> None:
        steps = BatchPlan.of(plans).moved(lambda tensor: tensor.to(device))
        for x, kind in zip(tensors, ("im", "gt"), strict=True):
            out = steps.apply(x, kind)
        out.sum().item()  # waits for a GPU

    seconds = {}
    for way in (by_sample, by_batch):
        times = [_seconds(way, [data.plan(round * size + i) for i in range(size)]) for round in range(rounds)]
        seconds[way] = min(times[1:]) / size
    name = f"{'x'.join(map(str, shape))}, batch of {size}: {title}"
    print(f"{name:<64} {1 / seconds[by_sample]:8.0f} {1 / seconds[by_batch]:8.0f} samples/s", end="")
    print(f" {seconds[by_sample] / seconds[by_batch]:7.2f} x")


def _seconds(way: Callable[[list[Plan]], None], plans: list[Plan]) -> float:
    started = time.perf_counter()
    way(plans)
    return time.perf_counter() - started


def cost_of_drawing(shape: tuple[int, ...], size: int) -> None:
    """Print the processor time of the training process for one batch."""
    chain = Pipeline.from_config(CHAINS["affine, elastic, normalize"])
    milliseconds = {}
    for place in ("a worker", "itself"):
        data = Samples(shape, chain, 13 * size, draw=place == "a worker")
        loader = DataLoader(data, batch_size=size, num_workers=1, collate_fn=collate)
        times, started = [], 0.0
        for index, _ in enumerate(loader):
            if place == "itself":
                BatchPlan.of([data.plan(index * size + i) for i in range(size)])
            times.append(time.process_time() - started)
            time.sleep(0.02)  # the network, which lets the worker go ahead
            started = time.process_time()
        milliseconds[place] = np.median(times[1:]) * 1e3
    print(
        f"{'x'.join(map(str, shape))}, batch of {size}, affine and elastic, ms of the training process: ",
        end="",
    )
    print(", ".join(f"{value:.1f} when {place} draws" for place, value in milliseconds.items()))


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for shape, size in GRIDS:
        for title in CHAINS:
            throughput(shape, size, title, options.device, options.rounds)
        cost_of_drawing(shape, size)


if __name__ == "__main__":
    main()
