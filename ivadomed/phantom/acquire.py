"""Acquire one image of a subject: slab-wise painting, coil sensitivity, noise, labels on the same grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Anatomy
from .contrast import Sequence, signals
from .lesions import Lesion
from .paint import MASKS, Painting
from .sampling import SLAB_VOXELS, Grid, Lattice, Waves, random_waves

FINEST_SLICE = 1.3
"""Slices thicker than this (mm) are averaged over sub-slices."""


@dataclass(frozen=True)
class Scan:
    """How an image is acquired.

    sequence: pulse sequence; tesla: field strength; snr: white matter over noise; gain: stored value of white
    matter; float_data: store float32 instead of int16.
    """

    sequence: Sequence
    tesla: float
    snr: float
    gain: float
    float_data: bool


@dataclass(frozen=True)
class Acquisition:
    """Image and labels [R, A, S] on one grid; `labels`: label suffix (`seg-manual`, ...) -> uint8 data."""

    grid: Grid
    image: np.ndarray
    labels: dict[str, np.ndarray]


def acquire(
    anatomy: Anatomy,
    raters: tuple[tuple[Lesion, ...], tuple[Lesion, ...]],
    grid: Grid,
    scan: Scan,
    rng: np.random.Generator,
) -> Acquisition:
    """Image a subject.

    Args:
        anatomy: The subject.
        raters: The lesions as each of the two raters outlines them.
        grid: Voxel grid of the image.
        scan: Sequence, field strength, noise.
        rng: Draws the coil's sensitivity and the noise.
    """
    tissue_signals = signals(scan.sequence, scan.tesla)
    subslices = max(1, int(np.ceil(grid.zooms[2] / FINEST_SLICE)))
    widths = ((grid.zooms[0] + grid.zooms[1]) / 2, grid.zooms[2] / subslices)
    sensitivity = random_waves(rng, 6, (90.0, 220.0))
    image = np.empty(grid.shape, np.float32 if scan.float_data else np.int16)
    masks = {name: np.empty(grid.shape, np.bool_) for name in MASKS}
    for place, lattice in grid.slabs(SLAB_VOXELS // subslices):
        painted, shares = Painting(anatomy, lattice, subslices, tissue_signals, widths).paint(raters)
        received = _mean_of(painted, subslices) * coil(lattice, sensitivity, anatomy)
        measured = rician(received, 1.0 / scan.snr, rng) * np.float32(scan.gain)
        if not scan.float_data:
            measured = np.rint(np.minimum(measured, 32767))
        image[:, :, place] = measured
        for name, share in shares.items():
            masks[name][:, :, place] = _mean_of(share, subslices) >= 0.5
    return Acquisition(grid, image, _labels(anatomy, grid, masks))


def coil(lattice: Lattice, waves: Waves, anatomy: Anatomy) -> np.ndarray:
    """Receive sensitivity [I, J, K]: smooth, higher near the posterior part of the neck array."""
    posterior = lattice.coordinate(1) - np.float32(anatomy.origin[1])
    return np.exp(0.10 * waves(lattice) - np.float32(0.005) * posterior)


def rician(signal: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of `signal` plus complex Gaussian noise (Gudbjartsson and Patz, Magn Reson Med 1995)."""
    real = signal + np.float32(sigma) * rng.standard_normal(signal.shape, np.float32)
    imaginary = np.float32(sigma) * rng.standard_normal(signal.shape, np.float32)
    return np.sqrt(real * real + imaginary * imaginary)


def _mean_of(values: np.ndarray, subslices: int) -> np.ndarray:
    """Average groups of `subslices` along the last axis."""
    if subslices == 1:
        return values
    total = values[:, :, ::subslices].copy()
    for offset in range(1, subslices):
        total += values[:, :, offset::subslices]
    return total / np.float32(subslices)


def _labels(anatomy: Anatomy, grid: Grid, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Labels by suffix: grey matter and lesions lie within the cord, CSF around it."""
    cord = masks["cord"]
    discs = np.zeros(grid.shape, np.uint8)
    for number, point in anatomy.disc_points().items():
        voxel = grid.nearest_voxel(point)
        if voxel is not None:
            discs[voxel] = number
    return {
        "seg-manual": cord.astype(np.uint8),
        "gmseg-manual": (masks["grey"] & cord).astype(np.uint8),
        "csfseg-manual": (masks["sac"] & ~cord).astype(np.uint8),
        "lesion-manual": (masks["lesion"] & cord).astype(np.uint8),
        "lesion-manual-rater1": (masks["rater1"] & cord).astype(np.uint8),
        "lesion-manual-rater2": (masks["rater2"] & cord).astype(np.uint8),
        "labels-disc-manual": discs,
    }
