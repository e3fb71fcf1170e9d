"""The unit of training and prediction: the files that belong to one image (or one set of channels)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ivadomed.images.labels import LabelFile
from ivadomed.images.volume_of import ImagePath


@dataclass(frozen=True, eq=False)
class Case:
    """Paths and metadata of one case; no voxel is read.

    Args:
        id: Name used for outputs, e.g. "sub-01_T1w".
        images: Available images on one grid: per channel a file, or a volume of a file; see ``channels``.
        targets: Per class, the labels of its raters, or None if the class has no file (all zeros).
        subject: Participant, e.g. "sub-01"; empty for images outside BIDS.
        contrasts: Contrast of each image.
        roi: Region of interest used to crop or to select slices.
        box: Object found by the first model of a cascade, in voxels along H, W, D of the image's own grid, see
            ``ivadomed.geometry.boxes``; the case is cropped to it.
        metadata: Columns of participants.tsv and the sidecar of the first channel.
        channels: Per channel of the network, the index of its image in ``images``, None if it is missing; empty
            if every image is a channel.
        ignore: Voxels that losses and metrics ignore.
    """

    id: str
    images: tuple[ImagePath, ...]
    targets: tuple[tuple[LabelFile, ...] | None, ...] = ()
    subject: str = ""
    contrasts: tuple[str, ...] = ()
    roi: LabelFile | None = None
    box: tuple[int, ...] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    channels: tuple[int | None, ...] = ()
    ignore: LabelFile | None = None

    @property
    def present(self) -> tuple[bool, ...]:
        """Per channel of the network, whether the case has an image for it."""
        return tuple(index is not None for index in self.channels or range(len(self.images)))

    @property
    def rater_files(self) -> tuple[LabelFile | None, ...]:
        """Labels of all raters of all classes as a flat tuple; None for a class without a file."""
        return tuple(file for raters in self.targets for file in raters or (None,))

    @property
    def raters(self) -> tuple[tuple[int, ...], ...]:
        """Per class, the indices of its raters in ``rater_files``."""
        groups, first = [], 0
        for raters in self.targets:
            count = len(raters or (None,))
            groups.append(tuple(range(first, first + count)))
            first += count
        return tuple(groups)

    @property
    def labels(self) -> tuple[LabelFile, ...]:
        """All labels, including the region of interest and the ignored voxels."""
        return tuple(file for file in (*self.rater_files, self.roi, self.ignore) if file is not None)

    @property
    def files(self) -> tuple[ImagePath, ...]:
        """All files that the arrays of the case depend on, each once."""
        return tuple(dict.fromkeys((*self.images, *(file.path for file in self.labels))))
