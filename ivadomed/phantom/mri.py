"""Magnetic resonance imaging: tissue signals, scanners, and image acquisition with noise and labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .anatomy import Anatomy, Lesion
from .lattice import SLAB_VOXELS, Lattice, VoxelGrid, Waves, random_waves
from .paint import MASKS, Painting

FINEST_SLICE = 1.3
"""Slices thicker than this (mm) are averaged over sub-slices."""


@dataclass(frozen=True)
class Tissue:
    """Relaxation times in ms at 3 T, and proton density relative to water.

    flowing: blood that enters the slice unsaturated; bright in gradient echo and dark in spin echo
    images.
    """

    pd: float
    t1: float
    t2: float
    t2star: float
    flowing: bool = False


# Stanisz et al., Magn Reson Med 2005 (cord, muscle, blood); Smith et al., Magn Reson Med 2008 (cord grey and
# white matter at 3 T); de Bazelaire et al., Radiology 2004 (marrow, fat, muscle). Rounded, with gray and
# white matter slightly further apart; cortical bone and ligament have a low visible proton density
# instead of sub-millisecond relaxation times.
TISSUES: dict[str, Tissue] = {
    "air": Tissue(0.0, 1000, 50, 20),
    "skin": Tissue(0.55, 900, 35, 15),
    "fat": Tissue(0.90, 370, 68, 28),
    "muscle": Tissue(0.78, 1400, 36, 26),
    "fascia": Tissue(0.35, 900, 30, 12),
    "bone": Tissue(0.10, 800, 20, 3),
    "marrow": Tissue(0.60, 600, 55, 11),
    "annulus": Tissue(0.60, 1000, 48, 18),
    "nucleus": Tissue(0.80, 1200, 105, 35),
    "ligament": Tissue(0.18, 900, 20, 6),
    "mucosa": Tissue(0.80, 1200, 75, 25),
    "blood": Tissue(0.85, 1900, 200, 45, flowing=True),
    "csf": Tissue(1.00, 4000, 1800, 220),
    "white": Tissue(0.71, 850, 70, 36),
    "grey": Tissue(0.80, 1060, 75, 44),
    "lesion": Tissue(0.86, 1450, 130, 70),
}


@dataclass(frozen=True)
class Sequence:
    """A pulse sequence; fields have the names and units of the BIDS sidecar.

    spin_echo: spin echo instead of spoiled gradient echo; flip_angle: degrees; echo_time, repetition_time: s.
    """

    spin_echo: bool
    flip_angle: float
    echo_time: float
    repetition_time: float


SEQUENCES: dict[str, Sequence] = {
    "T1w": Sequence(False, 20.0, 0.0040, 0.020),
    "T2w": Sequence(True, 90.0, 0.100, 2.2),
    "T2star": Sequence(False, 28.0, 0.0170, 0.600),
}


def at_field(tissue: Tissue, tesla: float) -> Tissue:
    """Relaxation times at another field strength.

    T1 grows with the cube root of the field (Bottomley et al., Med Phys 1984), T2 is constant, and the part of
    1/T2* due to field inhomogeneity is proportional to the field.
    """
    inhomogeneity = (1 / tissue.t2star - 1 / tissue.t2) * tesla / 3.0
    return replace(
        tissue, t1=tissue.t1 * (tesla / 3.0) ** (1 / 3), t2star=1 / (1 / tissue.t2 + inhomogeneity)
    )


def signal(tissue: Tissue, sequence: Sequence) -> float:
    """Steady-state signal of a tissue, 0..1 of the magnetization of water.

    Spoiled gradient echo: PD sin(a) (1 - E1) / (1 - E1 cos(a)) exp(-TE/T2*) (Ernst angle equation). Spin
    echo with a perfect refocusing pulse: PD (1 - E1) sin(a) exp(-TE/T2). E1 = exp(-TR/T1).
    """
    angle = math.radians(sequence.flip_angle)
    echo, repetition = 1000 * sequence.echo_time, 1000 * sequence.repetition_time
    recovery = 1 - math.exp(-repetition / tissue.t1)
    if sequence.spin_echo:
        return 0.0 if tissue.flowing else tissue.pd * math.sin(angle) * recovery * math.exp(-echo / tissue.t2)
    decay = tissue.pd * math.sin(angle) * math.exp(-echo / tissue.t2star)
    # Fresh blood enters the slice with most of its equilibrium magnetization.
    saturated = recovery / (1 - (1 - recovery) * math.cos(angle))
    return decay * (0.5 * saturated + 0.25 if tissue.flowing else saturated)


def signals(sequence: Sequence, tesla: float) -> dict[str, float]:
    """Signal of every tissue in `sequence` at `tesla`, relative to the signal of white matter."""
    values = {name: signal(at_field(tissue, tesla), sequence) for name, tissue in TISSUES.items()}
    return {name: value / values["white"] for name, value in values.items()}


@dataclass(frozen=True)
class Site:
    """An institution: its scanner, and deviations of its protocol from the common one.

    tesla: field strength; snr: signal of white matter over noise; gain: stored value of white matter; float_data:
    images are float32 instead of int16; flip, echo, repetition: factors applied to the common flip angle, echo and
    repetition times.
    """

    id: str
    name: str
    manufacturer: str
    model: str
    tesla: float
    snr: float
    gain: float
    float_data: bool = False
    flip: float = 1.0
    echo: float = 1.0
    repetition: float = 1.0

    def sequence(self, contrast: str) -> Sequence:
        """The institution's version of a sequence; a spin echo always has a flip angle of 90 degrees."""
        common = SEQUENCES[contrast]
        return replace(
            common,
            flip_angle=common.flip_angle if common.spin_echo else round(common.flip_angle * self.flip),
            echo_time=round(common.echo_time * self.echo, 5),
            repetition_time=round(common.repetition_time * self.repetition, 5),
        )

    def sidecar(self, contrast: str) -> Mapping[str, Any]:
        """BIDS sidecar of an image."""
        sequence = self.sequence(contrast)
        return {
            "Modality": "MR",
            "MagneticFieldStrength": self.tesla,
            "Manufacturer": self.manufacturer,
            "ManufacturersModelName": self.model,
            "InstitutionName": self.name,
            "BodyPartExamined": "CSPINE",
            "ScanningSequence": "SE" if sequence.spin_echo else "GR",
            "SequenceVariant": "NONE" if sequence.spin_echo else "SP",
            "FlipAngle": sequence.flip_angle,
            "EchoTime": sequence.echo_time,
            "RepetitionTime": sequence.repetition_time,
        }


SITES = (
    Site("alder", "Alder University Hospital", "Siemens", "Prisma_fit", 3.0, 24, 240),
    Site("birch", "Birch Imaging Institute", "Philips", "Achieva", 3.0, 21, 610, True, 1.1, 1.06, 1.1),
    Site("cedar", "Cedar Clinic", "GE", "Signa_HDxt", 1.5, 16, 900, False, 0.9, 0.94, 1.2),
    Site(
        "dogwood", "Dogwood Neuroradiology Centre", "Siemens", "Skyra", 3.0, 19, 330, False, 1.05, 1.1, 0.95
    ),
)


def acquire(
    anatomy: Anatomy,
    raters: tuple[tuple[Lesion, ...], tuple[Lesion, ...]],
    grid: VoxelGrid,
    site: Site,
    contrast: str,
    rng: np.random.Generator,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Image a subject.

    Args:
        anatomy: The subject.
        raters: The lesions as outlined by each of the two raters.
        grid: Voxel grid of the image.
        site: Scanner and protocol.
        contrast: One of `SEQUENCES`.
        rng: Generator for the coil sensitivity and the noise.

    Returns:
        Image [R, A, S] and uint8 labels on its grid by suffix (`seg-manual`, ...).
    """
    tissue_signals = signals(site.sequence(contrast), site.tesla)
    subslices = max(1, int(np.ceil(grid.zooms[2] / FINEST_SLICE)))
    widths = ((grid.zooms[0] + grid.zooms[1]) / 2, grid.zooms[2] / subslices)
    sensitivity = random_waves(rng, 6, (90.0, 220.0))
    image = np.empty(grid.shape, np.float32 if site.float_data else np.int16)
    masks = {name: np.empty(grid.shape, np.bool_) for name in MASKS}
    for slices, lattice in grid.slabs(SLAB_VOXELS // subslices):
        painted, shares = Painting(anatomy, lattice, subslices, tissue_signals, widths).paint(raters)
        received = _mean_of(painted, subslices) * coil(lattice, sensitivity, anatomy)
        measured = rician(received, 1.0 / site.snr, rng) * np.float32(site.gain)
        image[:, :, slices] = measured if site.float_data else np.rint(np.minimum(measured, 32767))
        for name, share in shares.items():
            masks[name][:, :, slices] = _mean_of(share, subslices) >= 0.5
    return image, _labels(anatomy, grid, masks)


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


def _labels(anatomy: Anatomy, grid: VoxelGrid, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Labels by suffix: gray matter and lesions within the cord, CSF around it."""
    cord = masks["cord"]
    labels = {
        "seg-manual": cord,
        "gmseg-manual": masks["grey"] & cord,
        "csfseg-manual": masks["sac"] & ~cord,
        "lesion-manual": masks["lesion"] & cord,
        "lesion-manual-rater1": masks["rater1"] & cord,
        "lesion-manual-rater2": masks["rater2"] & cord,
    }
    discs = np.zeros(grid.shape, np.uint8)
    for number, point in anatomy.disc_points().items():
        if (voxel := grid.nearest_voxel(point)) is not None:
            discs[voxel] = number
    return {name: mask.astype(np.uint8) for name, mask in labels.items()} | {"labels-disc-manual": discs}
