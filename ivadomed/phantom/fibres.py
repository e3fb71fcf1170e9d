"""Nerve fibres in cross section: sizes, and places without overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

MAX_RADIUS = 5.0
"""Largest outer radius of a fibre, um."""


@dataclass(frozen=True)
class Fibres:
    """Myelinated fibres, in um. centres: [N, 2] (row, column); radii: [N] outer; myelin: [N] thickness."""

    centres: np.ndarray
    radii: np.ndarray
    myelin: np.ndarray


@dataclass(frozen=True)
class Septum:
    """A straight band of tissue without fibres: points with |normal . p - offset| < half_width (um)."""

    normal: np.ndarray
    offset: float
    half_width: float

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Signed distance (um) of points [N, 2] to the band, negative inside."""
        return (
            np.abs(points[:, 0] * self.normal[0] + points[:, 1] * self.normal[1] - self.offset)
            - self.half_width
        )


def random_sizes(
    extent: tuple[float, float], fill: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw outer radii and myelin thicknesses (um), largest first, that together cover `fill` of the area.

    Axon diameters are log-normal with a median of 1.1 um, one of the long-tailed laws that fit white matter
    (Sepehrband et al., Front Neuroanat 2016); the g-ratio (axon over fibre diameter) scatters around 0.63 and
    grows a little with the diameter.
    """
    area = fill * extent[0] * extent[1]
    count = int(area / 1.2) + 50
    axon = np.clip(rng.lognormal(np.log(1.1), 0.5, count), 0.45, 6.0)
    ratio = np.clip(rng.normal(0.63, 0.06, count) + 0.05 * np.log(axon), 0.45, 0.85)
    radius = np.minimum(axon / ratio / 2, MAX_RADIUS)
    used = int(np.searchsorted(np.cumsum(np.pi * radius**2), area))
    order = np.argsort(-radius[:used], kind="stable")
    return radius[:used][order], (radius * (1 - ratio))[:used][order]


def pack(
    extent: tuple[float, float],
    fill: float,
    gap: float,
    septum: Septum,
    rng: np.random.Generator,
    rounds: int = 40,
) -> Fibres:
    """Throw fibres onto the plane, largest first, until they fit or `rounds` are over.

    Fibres of similar size are thrown together. Against each group already in place, a throw is tested with
    the group's largest radius, so that one nearest neighbour per group decides.

    Args:
        extent: Height, width, um; fibres may reach over the border.
        fill: Share of the area to cover; what does not fit is left out.
        gap: Least distance between two fibres, um.
        septum: Band to keep free.
        rng: Source of randomness.
        rounds: Throws per fibre.
    """
    radii, myelin = random_sizes(extent, fill, rng)
    steps = np.floor(np.log(MAX_RADIUS / np.maximum(radii, 1e-3)) / np.log(1.2)).astype(int)
    places = np.full((len(radii), 2), np.nan)
    groups: list[tuple[cKDTree, float]] = []
    for step in np.unique(steps):
        waiting = np.flatnonzero(steps == step)
        largest = float(radii[waiting[0]])
        settled = np.empty((0, 2))
        for _ in range(rounds):
            throws = rng.uniform(0, 1, (len(waiting), 2)) * extent
            fits = septum.distance(throws) > radii[waiting]
            fits &= _clear(throws, radii[waiting] + gap, [*groups, (cKDTree(settled), largest)])
            fits[fits] = _first_of_rivals(throws[fits], 2 * largest + gap)
            places[waiting[fits]] = throws[fits]
            settled = np.concatenate([settled, throws[fits]])
            waiting = waiting[~fits]
            if not len(waiting):
                break
        groups.append((cKDTree(settled), largest))
    placed = np.isfinite(places[:, 0])
    return Fibres(places[placed], radii[placed], myelin[placed])


def _clear(points: np.ndarray, reach: np.ndarray, groups: list[tuple[cKDTree, float]]) -> np.ndarray:
    """Which points keep a distance of `reach` + the group's radius from the nearest member of every group."""
    clear = np.ones(len(points), bool)
    for tree, radius in groups:
        left = np.flatnonzero(clear)
        if tree.n and len(left):
            nearest, _ = tree.query(points[left], distance_upper_bound=radius + float(reach.max()))
            clear[left] = nearest >= radius + reach[left]
    return clear


def _first_of_rivals(points: np.ndarray, distance: float) -> np.ndarray:
    """Of points closer than `distance` to each other keep those with no rival of lower index."""
    keep = np.ones(len(points), bool)
    if len(points) > 1:
        keep[cKDTree(points).query_pairs(distance, output_type="ndarray")[:, 1]] = False
    return keep
