"""A BIDS microscopy data set: scanning electron micrographs of white matter with axon and myelin labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from joblib import Parallel, delayed
from scipy import ndimage

from ivadomed.errors import ConfigError

from .fibres import MAX_RADIUS, Fibres, Septum, pack
from .files import staged, write_descriptions, write_json, write_tsv
from .sampling import Lattice, Waves, random_waves
from .seeds import stream

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
    """What a data set contains. seed: of everything drawn; size: width, height in pixels."""

    seed: int = 0
    size: tuple[int, int] = (512, 512)

    def __post_init__(self) -> None:
        if self.seed < 0 or len(self.size) != 2 or min(self.size) < 1:
            raise ConfigError(
                f"micrographs: seed {self.seed}, size {self.size}: expected 0 or more, two positive numbers"
            )

    def rng(self, purpose: str, *key: int) -> np.random.Generator:
        """Independent generator for one purpose."""
        return stream(self.seed, purpose, *key)


def write_micrographs(
    output: Path, n: int, settings: Micrographs, jobs: int = 1, overwrite: bool = False
) -> Path:
    """Write `n` micrographs, one per subject.

    Args:
        output: Folder of the data set; it must not exist, be empty, or with `overwrite` hold an earlier
            phantom.
        n: Number of micrographs.
        settings: Seed and size.
        jobs: Processes, as in joblib (-1: all cores). The pixels do not depend on it.
        overwrite: Replace an earlier phantom.

    Returns:
        The folder.

    Raises:
        ConfigError: `n` is not positive.
        OutputError: The folder holds something else.
    """
    if n < 1:
        raise ConfigError(f"phantom: number of micrographs {n}: expected 1 or more")
    with staged(output, overwrite) as root:
        Parallel(n_jobs=min(jobs, n))(delayed(write_micrograph)(root, settings, index) for index in range(n))
        write_descriptions(root, "Microscopy phantom", "1.7.0", _README)
        names = [(f"sub-rat{index + 1}", f"sample-data{index + 1}") for index in range(n)]
        write_tsv(
            root / "participants.tsv",
            ("participant_id", "species"),
            [(name, "rattus rattus") for name, _ in names],
        )
        rows = [(sample, name, "tissue") for name, sample in names]
        write_tsv(root / "samples.tsv", ("sample_id", "participant_id", "sample_type"), rows)
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
    labels.mkdir(parents=True)
    iio.imwrite(folder / f"{stem}.png", image, compress_level=1)
    iio.imwrite(labels / f"{stem}_seg-axon-manual.png", axon, compress_level=1)
    iio.imwrite(labels / f"{stem}_seg-myelin-manual.png", myelin, compress_level=1)


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
    """A window of a micrograph with a margin in which the neighbours' fibres are complete.

    Args:
        window: First row, first column, end row, end column in pixels.
        pixel: Size of a pixel, um.
        fields: Two displacement fields, which make the outlines irregular, and the brightness.
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
        """Number (from 1) of the fibre that covers each pixel, 0 for none; neighbours do not touch."""
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
        """Image, axon mask and myelin mask of the window, uint8; `tone` is the brightness of each fibre."""
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
