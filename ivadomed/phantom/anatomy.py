"""The neck of one subject: randomly drawn sizes and lesions that are shared by all its images."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from .lattice import random_waves

Array = np.ndarray
Point = tuple[float, float]

CENTRAL_DISC = 5
"""Number of the disc nearest to the center of the field of view, C4/C5: disc n lies above vertebra n."""


@dataclass(frozen=True)
class Lesion:
    """An ellipsoid with a wavy outline.

    middle: as a fraction of the cord's half axes (right, anterior); z: height of the middle, mm; radii:
    half axes right-left, anterior-posterior and along the cord, mm; waviness: relative amplitude of the
    outline's waves; phase: rad.
    """

    middle: tuple[float, float]
    z: float
    radii: tuple[float, float, float]
    waviness: float
    phase: float

    def scaled(self, factor: float) -> Lesion:
        """The same outline, scaled."""
        a, b, c = self.radii
        return replace(self, radii=(a * factor, b * factor, c * factor))

    def distance(self, u: Array, v: Array, z: Array, calibre: tuple[Array, Array]) -> Array:
        """Approximate signed distance (mm) at `u`, `v` from the center of the cord; `calibre`: its half axes."""
        du, dv = u - self.middle[0] * calibre[0], v - self.middle[1] * calibre[1]
        dz = z - self.z
        q = np.sqrt((du / self.radii[0]) ** 2 + (dv / self.radii[1]) ** 2 + (dz / self.radii[2]) ** 2)
        angle = np.arctan2(dv, du)
        wave = np.sin(2 * angle + self.phase + 0.7 * dz) + 0.6 * np.sin(
            5 * angle - 2.3 * self.phase - 0.4 * dz
        )
        return (q - 1.0 - self.waviness * wave) * min(self.radii)


def random_lesions(rng: np.random.Generator, field_of_view: float) -> tuple[Lesion, ...]:
    """Draw one to seven lesions over `field_of_view` mm; the first is large enough for any voxel grid.

    Lesions prefer the lateral and posterior columns (Eden et al., Brain 2019); most are small, a few are large.
    """
    lesions = []
    for index in range(1 + rng.poisson(2.0)):
        radius = rng.uniform(1.9, 3.0) if index == 0 else float(np.clip(rng.lognormal(0.15, 0.4), 0.6, 3.0))
        angle = rng.choice([0.0, np.pi, -np.pi / 2], p=[0.3, 0.3, 0.4]) + rng.normal(0, 0.4)
        eccentricity = rng.uniform(0.35, 0.7)
        lesions.append(
            Lesion(
                middle=(eccentricity * np.cos(angle), eccentricity * np.sin(angle)),
                z=rng.uniform(-0.3, 0.3) * field_of_view,
                radii=(radius, radius * rng.uniform(0.65, 0.95), radius * rng.uniform(1.8, 4.0)),
                waviness=rng.uniform(0.04, 0.12),
                phase=rng.uniform(0, 2 * np.pi),
            )
        )
    return tuple(lesions[:7])


def as_rated(lesions: tuple[Lesion, ...], rng: np.random.Generator) -> tuple[Lesion, ...]:
    """The lesions as outlined by one rater: with a tendency to draw wide or tight, and some carelessness.

    One in six lesions with a radius below 1.1 mm is missed; the first is always found.
    """
    habit = rng.normal(1.0, 0.08)
    rated = []
    for index, lesion in enumerate(lesions):
        scale = habit * rng.normal(1.0, 0.05)
        shift = rng.normal(0, 0.04, size=2)
        phase = rng.normal(0, 0.5)
        overlooked = index > 0 and lesion.radii[0] < 1.1 and rng.random() < 1 / 6
        if not overlooked:
            middle = (lesion.middle[0] + shift[0], lesion.middle[1] + shift[1])
            rated.append(replace(lesion.scaled(scale), middle=middle, phase=lesion.phase + phase))
    return tuple(rated)


def at_follow_up(
    lesions: tuple[Lesion, ...], rng: np.random.Generator, field_of_view: float
) -> tuple[Lesion, ...]:
    """The lesions at a follow-up visit: each has grown or shrunk, and half of the patients have a new one."""
    changed = [lesion.scaled(rng.uniform(0.9, 1.25)) for lesion in lesions]
    fresh = random_lesions(rng, field_of_view)[-1:] if changed and rng.random() < 0.5 else ()
    return (*changed, *fresh)


# Centers of the muscles (|right|, anterior) around an average cord: multifidus, semispinalis, splenius,
# trapezius (two parts), levator scapulae, scalenes, longus colli, sternocleidomastoid, strap muscles.
_MUSCLES = (
    (7, -12), (9, -23), (21, -22), (9, -36), (27, -33), (33, -9),
    (27, 7), (9, 29), (45, 12), (38, 34), (14, 52),
)  # fmt: skip


class Anatomy:
    """Sizes and positions in mm along the subject's axes (right, anterior, superior; origin in the cord).

    rng: the subject's own generator; field_of_view: height (mm) over which lesions are distributed; diseased:
    multiple sclerosis, with lesions and a slightly thinner cord.

    centreline_u, centreline_v: polynomial coefficients (z^0, z^1, z^2) of the cord's position; cord: half
    axes right-left and anterior-posterior away from the enlargement; enlargement: relative widening, z of
    its middle, its length; canal_gap: width of the CSF space at the sides and in front/behind; sac_shift:
    offset of the dural sac against the cord; vertebra: half width, half depth of the bodies; disc_period:
    distance between discs; disc_middle: z of the central disc; disc_half: half its height; disc_tilt: slope
    of the disc planes; spinous: length of the spinous processes; neck: half width, half depth, anterior
    shift; fat: thickness of the subcutaneous fat; muscles: middles of the muscles of one side; origin: the
    subject's position in the scanner.
    """

    def __init__(self, rng: np.random.Generator, field_of_view: float, diseased: bool) -> None:
        shrink = 0.95 if diseased else 1.0
        size = rng.normal(1.0, 0.05)
        period = float(np.clip(16.5 * size + rng.normal(0, 0.5), 14.0, 19.0))
        self.origin = rng.uniform((-15, -40, -60), (15, 20, 60)).round(2)
        self.centreline_u = (rng.uniform(-3, 3), rng.normal(0, 0.015), rng.normal(0, 2e-4))
        self.centreline_v = (rng.uniform(-3, 3), rng.normal(0, 0.02), rng.uniform(-2e-4, 9e-4))
        self.cord = (rng.uniform(5.5, 6.3) * shrink, rng.uniform(3.5, 4.1) * shrink)
        self.enlargement = (rng.uniform(0.09, 0.17), rng.uniform(-14, -2), rng.uniform(18, 26))
        self.canal_gap = (rng.uniform(2.4, 3.4), rng.uniform(2.2, 3.0))
        self.sac_shift = rng.uniform(-0.5, 0.5)
        self.vertebra = (rng.uniform(9.5, 11.5) * size, rng.uniform(7.5, 9.0) * size)
        self.disc_period = period
        self.disc_middle = rng.uniform(-0.35, 0.35) * period
        self.disc_half = rng.uniform(2.0, 2.8)
        self.disc_tilt = rng.uniform(0.0, 0.2)
        self.spinous = rng.uniform(10, 16)
        self.neck = (rng.uniform(54, 62) * size, rng.uniform(58, 64) * size, rng.uniform(18, 23))
        self.fat = rng.uniform(3.0, 7.5)
        self.muscles = tuple((u + rng.normal(0, 1.2), v + rng.normal(0, 1.2)) for u, v in _MUSCLES)
        self.texture = random_waves(rng, 14, (2.5, 9.0))
        self.warp = (random_waves(rng, 5, (18.0, 50.0)), random_waves(rng, 5, (18.0, 50.0)))
        self.lesions = random_lesions(rng, field_of_view) if diseased else ()

    def with_lesions(self, lesions: tuple[Lesion, ...]) -> Anatomy:
        """The same neck at another visit."""
        later = copy(self)
        later.lesions = lesions
        return later

    def centre(self, z: np.ndarray | float) -> tuple[np.ndarray | float, np.ndarray | float]:
        """Position (right, anterior) of the center of the cord at height `z`."""
        (u0, u1, u2), (v0, v1, v2) = self.centreline_u, self.centreline_v
        return u0 + z * (u1 + z * u2), v0 + z * (v1 + z * v2)

    def calibre(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Half axes (right-left, anterior-posterior) of the cord at height `z`."""
        widening, middle, length = self.enlargement
        bump = np.exp(-(((z - middle) / length) ** 2))
        return self.cord[0] * (1 + widening * bump), self.cord[1] * (1 + 0.25 * widening * bump)

    def sac(self, z: np.ndarray | float) -> tuple[float, float]:
        """Half axes of the dural sac; it does not follow the enlargement, which narrows the CSF space."""
        half_u = self.cord[0] * (1 + 0.8 * self.enlargement[0]) + self.canal_gap[0]
        return half_u, self.cord[1] + self.canal_gap[1]

    def disc_points(self) -> dict[int, np.ndarray]:
        """Posterior tip of every disc: number -> position in scanner coordinates (mm)."""
        points = {}
        for number in range(1, 13):
            z = self.disc_middle - (number - CENTRAL_DISC) * self.disc_period
            v = self.sac(z)[1] + self.sac_shift + 1.0
            u0, v0 = self.centre(z)
            points[number] = self.origin + np.array([u0, v0 + v, z - self.disc_tilt * v])
        return points
