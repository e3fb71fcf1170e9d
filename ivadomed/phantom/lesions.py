"""Lesions of multiple sclerosis: irregular, elongated along the cord, from a few voxels to several slices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .shapes import Array


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid with a wavy outline.

    place: middle as a share of the cord's half axes (right, anterior); z: height of the middle, mm; radii:
    half axes right-left, anterior-posterior and along the cord, mm; waviness: relative depth of the
    outline's waves; phase: rad.
    """

    place: tuple[float, float]
    z: float
    radii: tuple[float, float, float]
    waviness: float
    phase: float

    def distance(self, u: Array, v: Array, z: Array, calibre: tuple[Array, Array]) -> Array:
        """Approximate signed distance (mm) at `u`, `v` from the cord's middle; `calibre`: its half axes."""
        du, dv = u - self.place[0] * calibre[0], v - self.place[1] * calibre[1]
        dz = z - self.z
        q = np.sqrt((du / self.radii[0]) ** 2 + (dv / self.radii[1]) ** 2 + (dz / self.radii[2]) ** 2)
        angle = np.arctan2(dv, du)
        wave = np.sin(2 * angle + self.phase + 0.7 * dz) + 0.6 * np.sin(
            5 * angle - 2.3 * self.phase - 0.4 * dz
        )
        return (q - 1.0 - self.waviness * wave) * min(self.radii)


def random_lesions(rng: np.random.Generator, field_of_view: float) -> tuple[Lesion, ...]:
    """Draw one to seven lesions over `field_of_view` mm; the first is large enough for every voxel grid.

    Lesions prefer the lateral and posterior columns (Eden et al., Brain 2019); most are small, few are large.
    """
    lesions = []
    for index in range(1 + rng.poisson(2.0)):
        radius = rng.uniform(1.9, 3.0) if index == 0 else float(np.clip(rng.lognormal(0.15, 0.4), 0.6, 3.0))
        angle = rng.choice([0.0, np.pi, -np.pi / 2], p=[0.3, 0.3, 0.4]) + rng.normal(0, 0.4)
        eccentricity = rng.uniform(0.35, 0.7)
        lesions.append(
            Lesion(
                place=(eccentricity * np.cos(angle), eccentricity * np.sin(angle)),
                z=rng.uniform(-0.3, 0.3) * field_of_view,
                radii=(radius, radius * rng.uniform(0.65, 0.95), radius * rng.uniform(1.8, 4.0)),
                waviness=rng.uniform(0.04, 0.12),
                phase=rng.uniform(0, 2 * np.pi),
            )
        )
    return tuple(lesions[:7])


def as_rated(lesions: tuple[Lesion, ...], rng: np.random.Generator) -> tuple[Lesion, ...]:
    """The same lesions as one rater outlines them: a habit of drawing wide or tight, and some carelessness.

    One lesion in six of radius below 1.1 mm is overlooked; the first is always seen.
    """
    habit = rng.normal(1.0, 0.08)
    rated = []
    for index, lesion in enumerate(lesions):
        scale = habit * rng.normal(1.0, 0.05)
        shift = rng.normal(0, 0.04, size=2)
        phase = rng.normal(0, 0.5)
        overlooked = index > 0 and lesion.radii[0] < 1.1 and rng.random() < 1 / 6
        if not overlooked:
            rated.append(
                replace(
                    lesion,
                    place=(lesion.place[0] + shift[0], lesion.place[1] + shift[1]),
                    radii=(lesion.radii[0] * scale, lesion.radii[1] * scale, lesion.radii[2] * scale),
                    phase=lesion.phase + phase,
                )
            )
    return tuple(rated)


def at_follow_up(
    lesions: tuple[Lesion, ...], rng: np.random.Generator, field_of_view: float
) -> tuple[Lesion, ...]:
    """The lesions at a later visit: each has grown or shrunk, and half of the patients have a new one."""
    changed = []
    for lesion in lesions:
        scale = rng.uniform(0.9, 1.25)
        changed.append(
            replace(lesion, radii=(lesion.radii[0] * scale, lesion.radii[1] * scale, lesion.radii[2] * scale))
        )
    fresh = random_lesions(rng, field_of_view)[-1:] if changed and rng.random() < 0.5 else ()
    return (*changed, *fresh)
