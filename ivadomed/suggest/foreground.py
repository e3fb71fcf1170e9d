"""Location of the labels in the images of a data set, and intensities of labeled voxels in CT."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.images.io import Image, read_image
from ivadomed.images.labels import LabelFile, LabelReader, iter_labels, open_label
from ivadomed.images.volume_of import ImagePath
from ivadomed.runtime.terminal import hidden_bar

_VOXELS = 1 << 26
"""Total number of label voxels to read: one label of 512 x 512 x 256, or more smaller ones."""
_FEWEST, _MOST = 8, 1000
_CT = re.compile(r"ct(?![a-z])", re.IGNORECASE)
_AIR, _AIR_SHARE = (-1100, -900), 0.01
_TOLD_BY = 3  # images whose values identify CT
_PER_IMAGE = 10_000  # intensities, as in nnU-Net
_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Intensities:
    """Distribution of the intensities of labeled voxels in a data set.

    Args:
        images: Images that were read.
        lower: Percentile 0.5.
        upper: Percentile 99.5.
        mean: Mean.
        std: Standard deviation.
    """

    images: int
    lower: float
    upper: float
    mean: float
    std: float

    @classmethod
    def of(cls, samples: Sequence[np.ndarray]) -> Intensities | None:
        """Compute from the values of each image; None if there are none or all are equal."""
        values = np.concatenate(samples).astype(float) if samples else np.zeros(0)
        if not len(values) or np.ptp(values) == 0:
            return None
        lower, upper = np.percentile(values, _PERCENTILES)
        numbers = {"lower": lower, "upper": upper, "mean": values.mean(), "std": values.std()}
        rounded = {name: float(f"{value:.6g}") for name, value in numbers.items()}
        return cls(images=len(samples), **rounded)


@dataclass(frozen=True, eq=False)
class Foreground:
    """Box around all labels of each image, and intensities of labeled voxels.

    Args:
        extent: [M, 3] size of the boxes in mm along right-left, posterior-anterior, inferior-superior.
        reach: [M, 3] size in mm of the smallest boxes about the image center that contain these.
        complete: True if the labels of all images were read.
        ct: Intensities of CT; None for other images.
    """

    extent: np.ndarray
    reach: np.ndarray
    complete: bool
    ct: Intensities | None = None


NOTHING = Foreground(np.zeros((0, 3)), np.zeros((0, 3)), complete=False)
"""No label was read."""


@dataclass(frozen=True)
class LabelledImage:
    """An image and the labels to train on.

    Args:
        image: The image.
        contrast: Its contrast.
        labels: Label files.
    """

    image: ImagePath
    contrast: str
    labels: tuple[LabelFile, ...]


def images_to_read(count: int, voxels: int) -> int:
    """Number of images whose labels are read, given their count and voxels per image: all if they are small."""
    return min(count, max(_FEWEST, min(_VOXELS // max(voxels, 1), _MOST)))


def look_at_foreground(
    images: Iterable[LabelledImage], complete: bool, opened: LabelReader = open_label
) -> Foreground:
    """Read labels, and CT images; faulty files are skipped, as the data check reports them.

    Args:
        images: Images to read.
        complete: True if these are all images.
        opened: Function that opens a label.
    """
    items = list(images)
    boxes: list[tuple[list[float], list[float]]] = []
    values: list[np.ndarray] = []
    is_ct, rng = _is_ct(items), np.random.default_rng(0)
    for item in tqdm(items, desc="Measuring labels", unit="image", leave=False, disable=hidden_bar()):
        try:
            mask, zooms = _mask(item.labels, opened)
            if mask is None or not mask.any():
                continue
            boxes.append(_box(mask, zooms))
            if is_ct:
                values.append(_some_of(read_image(item.image), mask, rng))
        except DataError:
            complete = False
    found = np.array(boxes).reshape(-1, 2, 3)
    return Foreground(found[:, 0], found[:, 1], complete, Intensities.of(values))


def _some_of(image: Image, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Intensities of some voxels of a mask [R, A, S]; none if it is on another grid."""
    data = image.grid().to_hwd(image.data)
    inside = data[mask] if data.shape == mask.shape else data[:0].ravel()
    return rng.choice(inside, min(len(inside), _PER_IMAGE), replace=False) if len(inside) else inside


def _mask(labels: Sequence[LabelFile], opened: LabelReader) -> tuple[np.ndarray | None, Sequence[float]]:
    """Union of all labels, [R, A, S], and the voxel size in mm along these axes."""
    mask, zooms = None, (1.0, 1.0, 1.0)
    for label in iter_labels(labels, soft=True, opened=opened):
        grid = label.grid()
        inside, zooms = grid.to_hwd(label.data) >= 0.5, grid.zooms
        mask = inside if mask is None or mask.shape != inside.shape else mask | inside
    return mask, zooms


def _box(mask: np.ndarray, zooms: Sequence[float]) -> tuple[list[float], list[float]]:
    """Extent and reach in mm, see `Foreground`."""
    extent, reach = [], []
    for axis, (n, mm) in enumerate(zip(mask.shape, zooms, strict=True)):
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        low, high = int(inside[0]), int(inside[-1]) + 1
        extent.append((high - low) * mm)
        reach.append(2 * max(n / 2 - low, high - n / 2) * mm)
    return extent, reach


def _is_ct(items: Sequence[LabelledImage]) -> bool:
    """True if all contrasts are named CT, or most images have air at about -1000."""
    if items and all(_CT.match(item.contrast) for item in items):
        return True
    told = [_has_air(item.image) for item in items[:: max(len(items) // _TOLD_BY, 1)][:_TOLD_BY]]
    return 2 * sum(told) > len(told)


def _has_air(image: ImagePath) -> bool:
    try:
        data = read_image(image).data
    except DataError:
        return False
    return bool(((data >= _AIR[0]) & (data <= _AIR[1])).mean() >= _AIR_SHARE)
