"""Where the subjects are scanned: institutions with their scanners and protocols, and the voxel sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .contrast import SEQUENCES, Sequence

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Site:
    """An institution: its scanner, and how its protocol differs from the common one.

    tesla: field strength; snr: white matter over noise; gain: stored value of white matter; float_data:
    images are float32 instead of int16; flip, echo, repetition: factors on the common flip angle, echo and
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
        """The institution's version of a sequence; a spin echo always starts with 90 degrees."""
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


@dataclass(frozen=True)
class Size:
    """A preset: field of view (mm along right, anterior, superior) and voxel size per contrast (mm)."""

    field_of_view: Triple
    zooms: Mapping[str, Triple]

    def sampling(self, contrast: str) -> tuple[tuple[int, int, int], Triple]:
        """Shape and voxel size of a contrast."""
        (x, y, z), (dx, dy, dz) = self.field_of_view, self.zooms[contrast]
        return (round(x / dx), round(y / dy), round(z / dz)), (dx, dy, dz)

    def resampled(self, shape: tuple[int, int, int]) -> tuple[tuple[int, int, int], Triple]:
        """`shape`, and the voxel size with which it spans the field of view."""
        (x, y, z), (i, j, k) = self.field_of_view, shape
        return shape, (x / i, y / j, z / k)


SIZES: dict[str, Size] = {
    "tiny": Size((48, 48, 30), {"T1w": (1.5, 1.5, 3), "T2w": (1.2, 1.2, 3), "T2star": (1, 1, 5)}),
    "small": Size((80, 80, 48), {"T1w": (1, 1, 2), "T2w": (0.8, 0.8, 2), "T2star": (0.5, 0.5, 3)}),
    "medium": Size((96, 96, 96), {"T1w": (1, 1, 1), "T2w": (0.8, 0.8, 0.8), "T2star": (0.5, 0.5, 3)}),
    "large": Size((128, 128, 160), {"T1w": (1, 1, 1), "T2w": (0.8, 0.8, 0.8), "T2star": (0.5, 0.5, 3)}),
}
