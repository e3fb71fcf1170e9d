"""The only reader of labels."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ivadomed.errors import DataError
from ivadomed.images.io import (
    EXTENSIONS,
    Image,
    ImageLike,
    as_image,
    full_scale,
    is_nifti,
    read_image,
    read_picture,
)

_VALUES = re.compile(r"(?P<path>.+):(?P<values>-?\d+(\+-?\d+)*)")


@dataclass(frozen=True)
class LabelFile:
    """The label of one class: one file, or a part of one.

    Args:
        path: NIfTI or picture.
        values: In a label map, the values that make up the class together; empty when the file holds one class.
    """

    path: Path
    values: tuple[int, ...] = ()

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> LabelFile:
        """The label that ``str`` of one describes: a path, or a path and values, ``sub-01_dseg.nii.gz:1+2``."""
        found = _VALUES.fullmatch(os.fspath(text))
        if found is None or not found["path"].lower().endswith(EXTENSIONS):
            return cls(Path(text))
        return cls(Path(found["path"]), tuple(map(int, found["values"].split("+"))))

    def __str__(self) -> str:
        return f"{self.path}:{'+'.join(map(str, self.values))}" if self.values else str(self.path)


def read_label(
    file: LabelFile | str | os.PathLike[str], pixel_size: tuple[float, ...] | None = None, soft: bool = False
) -> Image:
    """Read the label of one class as float32 in 0..1.

    Args:
        file: The file, and the values in it when it is a label map.
        pixel_size: mm along rows and columns of a picture.
        soft: Keep values between 0 and 1; otherwise 0.5 and more count as 1.

    Raises:
        DataError: As ``read_image``; a picture is coloured, or its values are those of several classes (0, 1, 2).
    """
    return read_labels([file if isinstance(file, LabelFile) else LabelFile(Path(file))], pixel_size, soft)[0]


def read_labels(
    files: Sequence[LabelFile], pixel_size: tuple[float, ...] | None = None, soft: bool = False
) -> list[Image]:
    """Read the labels of several classes, see ``read_label``; a file is read once, however many classes it holds."""
    stored: dict[Path, Image] = {}
    for file in files:
        if file.path not in stored:
            stored[file.path] = _stored(file.path, pixel_size)
    return [_class_in(stored[file.path], file) for file in files]


def as_label(source: ImageLike, pixel_size: tuple[float, ...] | None = None) -> Image:
    """Any input as a label: a file is read, see ``read_label``; see ``as_image`` for the others."""
    return (
        read_label(source, pixel_size)
        if isinstance(source, str | os.PathLike)
        else as_image(source, pixel_size)
    )


def _stored(path: Path, pixel_size: tuple[float, ...] | None) -> Image:
    """The values as they are stored."""
    return read_image(path) if is_nifti(path) else read_picture(path, pixel_size, is_label=True)


def _class_in(image: Image, file: LabelFile) -> Image:
    if file.values:
        return Image(np.isin(image.data, file.values).astype(np.float32), image.affine, image.header)
    if is_nifti(file.path):
        return image
    highest, full = image.data.max(), full_scale(image.data)
    if 1 < highest < full / 2:
        raise DataError(
            f"{file}: has values up to {highest:g}; expected 0 and 1, or 0 and {full:g}. A label has one "
            "class: write a file for each"
        )
    return Image(image.data / full, image.affine)
