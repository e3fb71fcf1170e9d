"""Structure-wise uncertainty: seconds for 100 objects in 8 samples of 160x160x60 voxels, and peak memory."""

import time
import tracemalloc

import numpy as np

from ivadomed.inference.uncertainty import MonteCarlo

SHAPE, OBJECTS, SAMPLES = (160, 160, 60), 100, 8


def samples() -> list[np.ndarray]:
    """Balls that move and swell a little from sample to sample."""
    rng = np.random.default_rng(0)
    centres = np.stack([rng.integers(8, n - 8, OBJECTS) for n in SHAPE], axis=1)
    radii = rng.uniform(2, 5, OBJECTS)
    ball = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3, indexing="ij"))
    out = []
    for _ in range(SAMPLES):
        soft = np.zeros((*SHAPE, 1), np.float32)
        for centre, radius in zip(centres + rng.integers(-1, 2, centres.shape), radii, strict=True):
            inside = (ball**2).sum(0) <= (radius * rng.uniform(0.9, 1.1)) ** 2
            place = tuple(slice(c - 7, c + 8) for c in centre)
            soft[place][inside] = 0.9
        out.append(soft)
    return out


def main() -> None:
    """Print the figures."""
    data = samples()
    started = time.perf_counter()
    found = MonteCarlo()
    for sample in data:
        found.add(sample)
    found.maps()
    seconds = time.perf_counter() - started
    tracemalloc.start()
    found = MonteCarlo()
    for sample in data:
        found.add(sample)
    held, _ = tracemalloc.get_traced_memory()
    print(f"{OBJECTS} objects, {SAMPLES} samples of {'x'.join(map(str, SHAPE))}: {seconds:.2f} s")
    print(f"held for {SAMPLES} samples: {held / data[0].nbytes:.2f} times the bytes of one")


if __name__ == "__main__":
    main()
