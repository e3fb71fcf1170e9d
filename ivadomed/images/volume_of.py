"""One volume of a multi-volume image file, such as a channel of a 4D NIfTI file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

_TEXT = re.compile(r"(?P<path>.+) \(volume (?P<number>\d+) of (?P<count>\d+)\)")


@dataclass(frozen=True)
class VolumeOf(os.PathLike[str]):
    """One volume of a file, where an image is expected; elsewhere it acts as the path of the file.

    Args:
        path: The file.
        index: The volume, from 0.
        count: Expected number of volumes in the file.
    """

    path: Path
    index: int
    count: int

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __str__(self) -> str:
        return f"{self.path} (volume {self.index + 1} of {self.count})"

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.name


ImagePath = Path | VolumeOf
"""An image: a file, or one volume of it."""


def parse_image(text: str | os.PathLike[str]) -> ImagePath:
    """Inverse of ``str`` for an image."""
    found = _TEXT.fullmatch(str(text))
    if found is None:
        return Path(text)
    return VolumeOf(Path(found["path"]), int(found["number"]) - 1, int(found["count"]))
