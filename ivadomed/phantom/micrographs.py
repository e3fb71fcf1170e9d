"""A BIDS microscopy data set: scanning electron micrographs of white matter with axon and myelin labels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ivadomed.errors import ConfigError
from ivadomed.images.files import write_json
from ivadomed.images.io import write_picture

from .dataset import staged, write_descriptions, write_each, write_tsv
from .lattice import Lattice, Waves, random_stream, random_waves

MAX_RADIUS = 5.0
"""Largest outer radius of a fiber, um."""
TILE = 1024
"""Side (pixels) of the tiles in which large micrographs are drawn."""
_PIXEL_SIZES = (0.1, 0.08, 0.13)
_README = """\
Synthetic scanning electron micrographs of white matter, written by ivadomed_create_phantom. No animal was
used.

derivatives/labels holds the axons (seg-axon-manual) and their myelin sheaths (seg-myelin-manual), 0 or 255.
"""


@dataclass(frozen=True)
class Micrographs:
    """Settings of a data set. seed: seed of all random draws; size: width, height in pixels."""

    seed: int = 0
    size: tuple[int, int] = (512, 512)

    def __post_init__(self) -> None:
        if self.seed < 0 or len(self.size) != 2 or min(self.size) < 1:
            raise ConfigError(
                f"micrographs: seed {self.seed}, size {self.size}: expected 0 or more, two positive numbers"
            )

    def rng(self, purpose: str, *key: int) -> np.random.Generator:
        """Independent generator for one purpose."""
        return random_stream(self.seed, purpose, *key)


def write_micrographs(
    output: Path, n: int, settings: Micrographs, jobs: int = 1, overwrite: bool = False
) -> Path:
    """Write `n` micrographs, one per subject.

    Args:
        output: Folder of the data set; it must not exist, be empty, or with `overwrite` hold an earlier
            phantom.
        n: Number of micrographs.
        settings: Seed and size.
        jobs: Processes, as in joblib (-1: all cores). They do not affect the pixels.
        overwrite: Replace an earlier phantom.

    Returns:
        The folder.

    Raises:
        ConfigError: `n` is not positive.
        OutputError: The folder has other content.
    """
    if n < 1:
        raise ConfigError(f"phantom: number of micrographs {n}: expected 1 or more")
    with staged(output, overwrite) as root:
        write_each(partial(write_micrograph, root, settings), n, jobs)
        write_descriptions(root, "Microscopy phantom", "1.7.0", _README)
        names = [(f"sub-rat{index + 1}", f"sample-data{index + 1}") for index in range(n)]
        rats = [(name, "rattus rattus") for name, _ in names]
        write_tsv(root / "participants.tsv", ("participant_id", "species"), rats)
        samples = [(sample, name, "tissue") for name, sample in names]
        write_tsv(root / "samples.tsv", ("sample_id", "participant_id", "sample_type"), samples)
    return output


def write_micrograph(root: Path, settings: Micrographs, index: int) -> None:
    """Write one micrograph with sidecar and labels."""
    pixel = _PIXEL_SIZES[(index + settings.seed) % len(_PIXEL_SIZES)]
    image, axon, myelin = draw(settings, index, pixel)
    name = f"sub-rat{index + 1}"
    stem = f"{name}_sample-data{index + 1}_SEM"
    folder, labels = root / name / "micr", root / "derivatives" / "labels" / name / "micr"
    sidecar = {
        "PixelSize": [pixel, pixel],
        "PixelSizeUnits": "um",
        "BodyPart": "CSPINE",
        "SampleEnvironment": "ex vivo",
        "SampleFixation": "4% paraformaldehyde, 2% glutaraldehyde",
    }
    write_json(folder / f"{stem}.json", sidecar)
    write_picture(folder / f"{stem}.png", image)
    write_picture(labels / f"{stem}_seg-axon-manual.png", axon)
    write_picture(labels / f"{stem}_seg-myelin-manual.png", myelin)


@dataclass(frozen=True)
class Fibres:
    """Myelinated fibers, in um. centres: [N, 2] (row, column); radii: [N] outer; myelin: [N] thickness."""

    centres: np.ndarray
    radii: np.ndarray
    myelin: np.ndarray


@dataclass(frozen=True)
class Septum:
    """A straight band of tissue without fibers: points with |normal . p - offset| < half_width (um)."""

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
    """Draw outer radii and myelin thicknesses (um), largest first, that together cover a fraction `fill` of the area.

    Axon diameters are log-normal with a median of 1.1 um, one of the long-tailed laws that fit white matter
    (Sepehrband et al., Front Neuroanat 2016); the g-ratio (axon over fibre diameter) scatters around 0.63 and
    increases slightly with the diameter.
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
    """Place fibers at random, largest first, until all fit or `rounds` attempts are over.

    Fibers of similar size are placed together. Each position is tested against every placed group with the group's
    largest radius, so a single nearest neighbor per group decides.

    Args:
        extent: Height, width, um; fibers may cross the border.
        fill: Fraction of the area to cover; fibers that do not fit are omitted.
        gap: Minimum distance between two fibers, um.
        septum: Band to keep free.
        rng: Random generator.
        rounds: Attempts per fiber.
    """
    radii, myelin = random_sizes(extent, fill, rng)
    steps = np.floor(np.log(MAX_RADIUS / np.maximum(radii, 1e-3)) / np.log(1.2)).astype(int)
    centres = np.full((len(radii), 2), np.nan)
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
            centres[waiting[fits]] = throws[fits]
            settled = np.concatenate([settled, throws[fits]])
            waiting = waiting[~fits]
            if not len(waiting):
                break
        groups.append((cKDTree(settled), largest))
    placed = np.isfinite(centres[:, 0])
    return Fibres(centres[placed], radii[placed], myelin[placed])


def _clear(points: np.ndarray, reach: np.ndarray, groups: list[tuple[cKDTree, float]]) -> np.ndarray:
    """Mask of the points at least `reach` + the group's radius away from the nearest member of each group."""
    clear = np.ones(len(points), bool)
    for tree, radius in groups:
        left = np.flatnonzero(clear)
        if tree.n and len(left):
            nearest, _ = tree.query(points[left], distance_upper_bound=radius + float(reach.max()))
            clear[left] = nearest >= radius + reach[left]
    return clear


def _first_of_rivals(points: np.ndarray, distance: float) -> np.ndarray:
    """Among points closer than `distance` to each other, keep those without a rival of lower index."""
    keep = np.ones(len(points), bool)
    if len(points) > 1:
        keep[cKDTree(points).query_pairs(distance, output_type="ndarray")[:, 1]] = False
    return keep


def draw(settings: Micrographs, index: int, pixel: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one micrograph.

    Args:
        settings: Seed and size.
        index: Number of the micrograph.
        pixel: Size of a pixel, um.

    Returns:
        Image, axon mask and myelin mask (0 or 255), uint8 [H, W].
    """
    width, height = settings.size
    rng = settings.rng("fibres", index)
    extent = (height * pixel, width * pixel)
    angle = rng.uniform(0, np.pi)
    normal = np.array([np.sin(angle), np.cos(angle)])
    offset = float(normal[0] * extent[0] + normal[1] * extent[1]) / 2 + rng.uniform(-0.3, 0.3) * min(extent)
    septum = Septum(normal, offset, rng.uniform(0.5, 2.0))
    fibres = pack(extent, rng.uniform(0.58, 0.68), 0.12, septum, rng)
    tone = rng.normal(0, 9, len(fibres.radii) + 1).astype(np.float32)
    fields = [
        random_waves(rng, count, lengths) for count, lengths in ((10, (3, 9)), (10, (3, 9)), (6, (40, 150)))
    ]
    planes = np.empty((3, height, width), np.uint8)
    margin = int(2.5 * MAX_RADIUS / pixel)
    for number, top in enumerate(range(0, height, TILE)):
        for left in range(0, width, TILE):
            bottom, right = min(top + TILE, height), min(left + TILE, width)
            window = (top - margin, left - margin, bottom + margin, right + margin)
            noise = settings.rng("noise", index, number, left // TILE)
            inner = slice(margin, margin + bottom - top), slice(margin, margin + right - left)
            tile = Tile(window, pixel, fields)
            for plane, drawn in zip(planes, tile.draw(fibres, tone, noise), strict=True):
                plane[top:bottom, left:right] = drawn[inner]
    return planes[0], planes[1], planes[2]


class Tile:
    """A window of a micrograph, with a margin in which neighboring fibers are complete.

    Args:
        window: First row, first column, end row, end column in pixels.
        pixel: Size of a pixel, um.
        fields: Two displacement fields, for irregular outlines, and the brightness.
    """

    def __init__(self, window: tuple[int, int, int, int], pixel: float, fields: list[Waves]) -> None:
        top, left, bottom, right = window
        self.pixel, self.shape = pixel, (bottom - top, right - left)
        origin = np.array([top * pixel, left * pixel, 0.0])
        lattice = Lattice((*self.shape, 1), origin, np.diag([pixel, pixel, 0.0]))
        first, second, slow = (field(lattice)[:, :, 0] for field in fields)
        self.rows = lattice.coordinate(0)[:, :, 0] + 0.22 * first
        self.columns = lattice.coordinate(1)[:, :, 0] + 0.22 * second
        self.brightness, self.grain = slow, first
        self.origin = origin[:2]

    def owners(self, fibres: Fibres) -> np.ndarray:
        """Number (from 1) of the fiber that covers each pixel, 0 for none; neighbors do not touch."""
        owner = np.zeros(self.shape, np.int32)
        reach = fibres.radii[:, None] + 1.0
        lows = ((fibres.centres - self.origin - reach) / self.pixel).astype(int)
        highs = ((fibres.centres - self.origin + reach) / self.pixel).astype(int) + 2
        for index in np.flatnonzero(((highs > 0) & (lows < self.shape)).all(axis=1)):
            low, high = lows[index], highs[index]
            centre, radius = fibres.centres[index], fibres.radii[index]
            block = slice(max(low[0], 0), high[0]), slice(max(low[1], 0), high[1])
            inside = (self.rows[block] - centre[0]) ** 2 + (self.columns[block] - centre[1]) ** 2 < radius**2
            owner[block][inside] = index + 1
        outside, (row, column) = ndimage.distance_transform_edt(owner == 0, return_indices=True)
        grown = np.where(outside * self.pixel < 0.22 + 0.06 * self.grain, owner[row, column], 0)
        touching = np.zeros(self.shape, bool)
        touching[:-1] |= (grown[:-1] != grown[1:]) & (grown[1:] > 0)
        touching[:, :-1] |= (grown[:, :-1] != grown[:, 1:]) & (grown[:, 1:] > 0)
        grown[touching] = 0
        return grown

    def draw(
        self, fibres: Fibres, tone: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image, axon mask and myelin mask of the window, uint8; `tone` is the brightness of each fiber."""
        owner = self.owners(fibres)
        depth = ndimage.distance_transform_edt(owner > 0) * self.pixel
        axon = depth > np.concatenate([[np.inf], fibres.myelin])[owner]
        myelin = (owner > 0) & ~axon
        texture = ndimage.gaussian_filter(rng.standard_normal(self.shape, np.float32), 0.25 / self.pixel)
        texture /= texture.std()
        level = 112 + 16 * texture
        level = np.where(axon, 66 + tone[owner] + 7 * texture, level)
        level = np.where(myelin, 186 + 0.6 * tone[owner] + 9 * texture, level)
        level = ndimage.gaussian_filter(level, 0.75) * (1.0 + 0.07 * self.brightness)
        shot = rng.standard_normal(self.shape, np.float32) * np.sqrt(np.maximum(level, 1.0)) * 1.1
        image = np.clip(np.rint(level + shot), 0, 255).astype(np.uint8)
        return image, axon.astype(np.uint8) * 255, myelin.astype(np.uint8) * 255
