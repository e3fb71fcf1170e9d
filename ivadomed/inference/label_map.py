"""Label maps: one image with an integer per class, and the table that names the integers.

BIDS calls them discrete segmentations: ``<image>_dseg.nii.gz`` with 0 for the background and k for class k,
counted from 1, and ``dseg.tsv`` with the columns index, name and color (BIDS 1.9, "Imaging data type derivatives").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from ivadomed.errors import some
from ivadomed.images.files import write_text
from ivadomed.images.io import is_nifti, make_like, save_nifti, write_picture
from ivadomed.images.label_suffix import class_labels
from ivadomed.inference.own_results import MARK, is_marked
from ivadomed.visualize import COLOURS

if TYPE_CHECKING:
    from ivadomed.config import RunConfig

SUFFIX = "_dseg"
TABLE = "dseg.tsv"
NIFTI, PICTURE = ".nii.gz", ".png"
_OBJECT = 0.5  # soft values above it are of the class


def label_map(classes: Sequence[np.ndarray]) -> np.ndarray | None:
    """Join masks to a label map.

    Args:
        classes: [X, Y, Z] of each class; soft values above 0.5 are in the mask.

    Returns:
        [X, Y, Z] unsigned integers, k + 1 where class k is; None where two classes share a voxel.
    """
    joined = np.zeros_like(classes[0], np.min_scalar_type(len(classes)))
    for k, values in enumerate(classes):
        mask = values > _OBJECT
        if np.logical_and(joined, mask).any():
            return None
        np.copyto(joined, k + 1, where=mask)  # unlike an index, in the order of the voxels in memory
    return joined


@dataclass(frozen=True)
class LabelMaps:
    """Writer of the label maps of one model.

    Args:
        names: Names of the classes, see ``class_labels``; empty: nothing is written.
    """

    names: Sequence[str] = ()

    @classmethod
    def of(cls, config: RunConfig, wanted: bool = True, of_one_class: bool = False) -> LabelMaps:
        """Writer for the configuration of a model; none for heat maps, or for a single class, whose mask is one.

        Args:
            config: Configuration of the run or of the packaged model.
            wanted: False: nothing is written.
            of_one_class: Also write label maps for models with one class.
        """
        least = 1 if of_one_class else 2
        wanted = wanted and config.task == "segmentation" and len(config.class_names) >= least
        return cls(tuple(class_labels(config.class_names)) if wanted else ())

    def write(
        self,
        stem: Path,
        masks: Sequence[nib.Nifti1Image],
        extensions: Sequence[str] = (NIFTI,),
        tables: Path | None = None,
    ) -> list[Path]:
        """Write ``<stem>_dseg.nii.gz`` and the table, or nothing if classes overlap.

        Files of an earlier prediction under these names that are not rewritten are removed.

        Args:
            stem: Path of the image without extension, in the folder of the results.
            masks: One image per class on one grid, see ``label_map``.
            extensions: ".nii.gz", ".png" or both.
            tables: Folder of ``dseg.tsv``; None: that of the label map.

        Returns:
            The label map, a file per extension.
        """
        files = map_files(stem, extensions)
        joined = label_map([np.asanyarray(mask.dataobj) for mask in masks]) if self.names else None
        if joined is None:
            for file in files:
                if is_marked(file):
                    file.unlink()
            return []
        for file in files:
            if is_nifti(file):
                image = make_like(joined, masks[0])
                image.header["descrip"] = MARK
                save_nifti(image, file)
            else:
                self.write_picture(file, joined[..., 0])
        self.write_table(stem, tables or stem.parent)
        return files

    def write_picture(self, path: Path, labels: np.ndarray) -> None:
        """Write a label map [rows, columns] as a picture with class numbers as pixels and a colour palette."""
        colours = np.vstack([np.zeros((1, 3)), _colours(len(self.names))]).astype(np.uint8)
        write_picture(path, labels, MARK, colours if labels.dtype == np.uint8 else None)

    def write_table(self, stem: Path, folder: Path) -> None:
        """Write ``dseg.tsv``; if one of other classes exists, ``<stem>_dseg.tsv``, which takes precedence."""
        rows = zip(self.names, _colours(len(self.names)).astype(int), strict=True)
        lines = [f"{k}\t{name}\t#{r:02x}{g:02x}{b:02x}" for k, (name, (r, g, b)) in enumerate(rows, start=1)]
        text = "\n".join(["index\tname\tcolor", *lines, ""])
        shared, own = folder / TABLE, stem.with_name(f"{stem.name}{SUFFIX}.tsv")
        if not shared.exists():
            write_text(shared, text)
        if shared.read_text(encoding="utf-8", errors="replace") == text:
            own.unlink(missing_ok=True)
        else:
            write_text(own, text)


NO_LABEL_MAPS = LabelMaps()


def map_files(stem: Path, extensions: Sequence[str]) -> list[Path]:
    """Names of the label map of an image, see ``LabelMaps.write``."""
    return [stem.with_name(f"{stem.name}{SUFFIX}{extension}") for extension in extensions]


def overlaps_text(images: Sequence[str]) -> str:
    """Line about images without a label map, for the terminal."""
    return (
        f"none of {some(images)}: classes share voxels there; if their labels do not, add "
        "postprocessing.binarize_maxpooling"
    )


def _colours(count: int) -> np.ndarray:
    """[K, 3] colours in 0..255, as in the report; they repeat."""
    return COLOURS[np.arange(count) % len(COLOURS)]
