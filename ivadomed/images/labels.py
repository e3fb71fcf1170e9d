"""Reading of labels and the definition of a valid label; the only code that does so.

- Binary: 0 and one other value; in a picture, one gray level or palette entry besides the background.
- Soft: values from 0 to 1; in a picture, gray levels as fractions of the full scale of their type, if there are too
  many to be classes. If soft labels are not requested, values of at least 0.5 count as 1.
- Label map: integers, from which the values of one class are selected.
- Anything else is refused with a message that lists the values; it is never interpreted as one of these.

Training, evaluation, data check, first configuration and tools all read labels here, which keeps them consistent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from ivadomed.errors import DataError
from ivadomed.images.io import (
    EXTENSIONS,
    Image,
    ImageLike,
    as_image,
    check_present,
    is_nifti,
    picture_affine,
    read_nifti,
    split_extension,
)
from ivadomed.images.pictures import Picture, is_coloured, read_stored

Kind = Literal["binary", "soft", "map", "unclear"]

_VALUES = re.compile(r"(?P<path>.+):(?P<values>-?\d+(\+-?\d+)*)")
_SOFT = 1e-3
"""Tolerance for resampling and low-precision types: soft values outside 0..1, and deviations from integers."""

_FEW_GREYS = 32  # at most, plausible for classes
_END = 1 / 8  # of the full scale: blurred or compressed, levels this close to black or white count as such
_NOISE = 12 / 255  # difference of neighbors in a uniform area after JPEG compression
_AREA = 0.01  # of the labelled pixels: areas between black and white are classes
_TRACES = 1e-4  # of the labelled pixels: drawing programs leave isolated pixels of other gray levels
_VOID = 255.0
_CHUNK = 1 << 20
_MOST_COUNTED = 1 << 16
_KEPT = 1 << 29
_SHOWN = 6
_NAMED = 3


@dataclass(frozen=True)
class LabelFile:
    """The label of one class: a file, or part of one.

    Args:
        path: NIfTI or picture.
        values: In a label map, the values that form the class; empty if the file holds one class.
        name: Name in the configuration, such as "_dseg:anterior"; empty if none.
    """

    path: Path
    values: tuple[int, ...] = ()
    name: str = field(default="", compare=False)

    @classmethod
    def parse(cls, text: str | os.PathLike[str]) -> LabelFile:
        """Inverse of ``str``: a path, or a path and values, ``sub-01_dseg.nii.gz:1+2``."""
        found = _VALUES.fullmatch(os.fspath(text))
        if found is None or not found["path"].lower().endswith(EXTENSIONS):
            return cls(Path(text))
        return cls(Path(found["path"]), tuple(map(int, found["values"].split("+"))))

    def __str__(self) -> str:
        return f"{self.path}:{'+'.join(map(str, self.values))}" if self.values else str(self.path)


LabelReader: TypeAlias = Callable[[Path, tuple[float, ...] | None], "StoredLabel"]
"""Opens a label file, see `open_label`."""


def read_label(
    file: LabelFile | str | os.PathLike[str],
    pixel_size: tuple[float, ...] | None = None,
    soft: bool = False,
    among: Sequence[LabelFile] = (),
) -> Image:
    """Read the label of one class as float32 in 0..1.

    Args:
        file: The file, and for a label map, the values in it.
        pixel_size: mm along rows and columns of a picture; default 1.
        soft: Keep values between 0 and 1 (``loader_parameters.soft_gt``); otherwise, values of at least 0.5
            count as 1.
        among: Other labels of the case. A value below 0, or 255 far above the others, is an error in a label
            map unless one of these includes it.

    Raises:
        DataError: See ``read_image``; or the values are not a valid label, see above.
    """
    label = file if isinstance(file, LabelFile) else LabelFile(Path(file))
    return next(iter_labels([label], pixel_size, soft, among))


def iter_labels(
    files: Sequence[LabelFile],
    pixel_size: tuple[float, ...] | None = None,
    soft: bool | Sequence[bool] = False,
    among: Sequence[LabelFile] = (),
    opened: LabelReader | None = None,
) -> Iterator[Image]:
    """Read the labels of several classes one by one, see ``read_label``; each file is read only once.

    ``soft`` may differ between labels. Files are opened by ``opened`` if given, otherwise by ``open_label``.
    """
    stored: dict[Path, StoredLabel] = {}
    last = {file.path: place for place, file in enumerate(files)}
    kept = [soft] * len(files) if isinstance(soft, bool) else soft
    for place, (file, is_soft) in enumerate(zip(files, kept, strict=True)):
        if file.path not in stored:
            stored[file.path] = (opened or open_label)(file.path, pixel_size)
        named = {value for other in (*files, *among) if other.path == file.path for value in other.values}
        yield stored[file.path].of_class(file.values, is_soft, named)
        if last[file.path] == place:
            del stored[file.path]


def as_region(source: ImageLike, pixel_size: tuple[float, ...] | None = None) -> Image:
    """Any input as a region of interest, float32 in 0..1: a label of one class, otherwise all nonzero voxels.

    As in ivadomed 2, to which toolboxes pass label maps and images with a background of 0.

    Raises:
        DataError: See ``open_label`` for files, and ``as_image`` for other inputs.
    """
    stored = (
        open_label(source, pixel_size)
        if isinstance(source, str | os.PathLike)
        else StoredLabel("the given prior", as_image(source, pixel_size))
    )
    if stored.kind in ("binary", "soft"):
        return stored.of_class(soft=True)
    return Image((stored.image.data != 0).astype(np.float32), stored.image.affine, stored.image.header)


def read_map(path: str | os.PathLike[str]) -> Image:
    """Read all values of a label map as int64.

    Raises:
        DataError: See ``read_image``; or some values are not integers.
    """
    label = open_label(path)
    if not label.is_whole:
        raise DataError(f"{os.fspath(path)}: {label.found}; expected the integers of a label map")
    image = label.image
    return Image(image.data.astype(np.int64), image.affine, image.header)


def open_label(path: str | os.PathLike[str], pixel_size: tuple[float, ...] | None = None) -> StoredLabel:
    """Read a label file with its stored values.

    Raises:
        DataError: See ``read_image``; or it has NaN or infinite values, or colors without a palette.
    """
    if is_nifti(path):
        return StoredLabel(os.fspath(path), read_nifti(path, stored=True))
    check_present(path)
    picture = read_stored(path)
    pixels = picture.pixels
    _check_background(path, picture)
    if picture.palette is None or not is_coloured(picture.palette):
        pixels = picture.shown  # gray palette entries count as gray levels
        if pixels.ndim == 3 and is_coloured(pixels):
            raise DataError(
                f"{os.fspath(path)}: is a color picture; expected a label in gray or with a palette. Save it with "
                "one gray level, or one palette color, per class"
            )
        pixels = pixels[..., 0] if pixels.ndim == 3 else pixels
    pixels = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    return StoredLabel(os.fspath(path), Image(pixels[..., None], picture_affine(pixel_size)), picture)


class KeptLabels:
    """Reader that caches the first files it opens, so they are not read again.

    Args:
        most: Maximum bytes of voxels to keep.
    """

    def __init__(self, most: int = _KEPT) -> None:
        self._left = most
        self._kept: dict[tuple[Path, tuple[float, ...] | None], StoredLabel] = {}

    def __call__(self, path: Path, pixel_size: tuple[float, ...] | None = None) -> StoredLabel:
        """See `open_label`."""
        if (known := self._kept.get((path, pixel_size))) is not None:
            return known
        label = open_label(path, pixel_size)
        if (size := label.image.data.nbytes) <= self._left:
            self._left -= size
            self._kept[path, pixel_size] = label
        return label


def _check_background(path: str | os.PathLike[str], picture: Picture) -> None:
    """Refuse a picture whose background may not be black, or entry 0 of its palette."""
    pixels, palette = picture.pixels, picture.palette
    if palette is not None and is_coloured(palette[:1]):
        black = (pixels > 0) & (palette.sum(axis=1) == 0)[pixels]
        if black.any():
            raise DataError(
                f"{os.fspath(path)}: entry 0 of its palette, the background, has the color {palette[0].tolist()}, but "
                f"{np.count_nonzero(black):,} pixels of other entries are black; save it with the background as entry 0"
            )
    if palette is None and pixels.ndim == 3 and pixels.shape[2] in (2, 4) and np.ptp(pixels[..., -1]):
        seen = np.unique(pixels[..., 0] * 65536.0 + pixels[..., -1]) // 65536
        if len(np.unique(seen)) < len(seen):
            raise DataError(
                f"{os.fspath(path)}: pixels of one gray level differ in the alpha channel, which is ignored; save it "
                "without transparency, with one gray level per class"
            )


@dataclass(frozen=True, eq=False)
class StoredLabel:
    """A label file with its stored values.

    Args:
        path: Path, for error messages.
        image: Stored values, native orientation.
        picture: Stored form of a picture.

    Raises:
        DataError: The file has NaN or infinite voxels.
    """

    path: str
    image: Image
    picture: Picture | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.extremes).all():
            raise DataError(f"{self.path}: has NaN or infinite voxels; fix the file or leave the subject out")

    @cached_property
    def extremes(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return float(self.image.data.min()), float(self.image.data.max())

    @cached_property
    def is_whole(self) -> bool:
        """True if all values are integers, apart from rounding of floats scaled by the header."""
        data = self.image.data
        return data.dtype.kind in "bui" or all(
            np.abs(part - np.rint(part)).max(initial=0) <= _SOFT for part in _chunks(data)
        )

    @cached_property
    def counts(self) -> Mapping[float, int]:
        """Number of voxels of each value, ascending. Slow for many distinct floats."""
        data = self.image.data
        low, high = (round(value) for value in self.extremes)
        if self.is_whole and high - low < _MOST_COUNTED:
            counts = np.zeros(high - low + 1, np.int64)
            for part in _chunks(data):
                counts += np.bincount(_rounded(part).astype(np.int64) - low, minlength=len(counts))
            values = np.flatnonzero(counts)
            return {float(value + low): int(counts[value]) for value in values}
        found, counts = np.unique(_rounded(data) if self.is_whole else data, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    @cached_property
    def kind(self) -> Kind:
        """Kind of the file as a label of one class; "map" and "unclear" are not one."""
        if self._object is not None:
            return "binary"
        if self._is_soft:
            return "soft"
        return "map" if self.is_whole and not self._is_lossy else "unclear"

    def of_class(self, values: Sequence[int] = (), soft: bool = False, named: Iterable[int] = ()) -> Image:
        """Label of one class as float32 in 0..1.

        Args:
            values: Values of the class in a label map; empty: the file holds this class.
            soft: See ``read_label``.
            named: Values in the same file that belong to other classes or are ignored.

        Raises:
            DataError: The values are not a valid label.
        """
        data = self.image.data
        if values:
            made = self._selected(values, {*values, *named})
        elif self._object is not None:
            made = data >= self._object
        elif self._is_soft:
            scaled = data if self._full == 1 else np.divide(data, self._full, dtype=np.float32)
            made = np.clip(scaled, 0, 1) if soft else scaled >= 0.5
        else:
            raise DataError(f"{self.path}: {self.fault}")
        return Image(made.astype(np.float32, copy=False), self.image.affine, self.image.header)

    def holds(self, values: Sequence[int] = ()) -> bool:
        """True if the label from ``of_class`` would have a voxel; much faster.

        Raises:
            DataError: The file is expected to hold one class, and does not.
        """
        if values:
            parts = map(_rounded, _chunks(self.image.data))
            return any((part == value).any() for part in parts for value in values)
        if self._object is not None:
            return self.extremes[1] >= self._object
        return bool(self.of_class().data.any())

    @property
    def fault(self) -> str:
        """Reason why the file is not a label of one class, and the remedy; empty if it is one."""
        if self.kind in ("binary", "soft"):
            return ""
        if self.kind == "map":
            return f"{self.found}; expected 0 and one other value. {self._selection}"
        if self._is_grey:
            return (
                f"{self.found}, which are neither one class nor its soft border; expected black and one gray level. "
                "Save it as PNG with one gray level per class, and specify that in loader_parameters.target_suffix, "
                f'such as "{self._suffix}:127"'
            )
        return (
            f"{self.found}; expected 0 and one other value, or soft values from 0 to 1. Save it again within 0 and 1 "
            "(interpolation of higher order than linear leaves this range)"
        )

    @property
    def found(self) -> str:
        """Description of the values and their voxel counts, for messages."""
        low, high = self.extremes
        unit, noun = (
            ("pixels", "gray levels" if self._is_grey else "values") if self.picture else ("voxels", "values")
        )
        if not self.is_whole:
            data = self.image.data
            parts = {"below 0": data < 0, "between 0 and 1": (data > 0) & (data < 1), "above 1": data > 1}
            counted = [f"{np.count_nonzero(part):,} {where}" for where, part in parts.items() if part.any()]
            return f"has values from {low:g} to {high:g} ({unit}: {', '.join(counted)})"
        counts = [
            f"{value:g} ({count:,} {unit[: -1 if count == 1 else None]})"
            for value, count in self.counts.items()
        ]
        if len(counts) > _SHOWN:
            return f"has {len(counts)} {noun} from {counts[0]} to {counts[-1]}"
        return f"has the {noun} {', '.join(counts)}"

    @property
    def classes(self) -> tuple[int, ...]:
        """Nonzero values of a binary label or a label map, ascending; empty for others, which have no classes."""
        if self.kind == "map":
            return tuple(int(value) for value in self.counts if value)
        if self.kind != "binary" or self.extremes[1] == 0:
            return ()
        return (int(self._main_grey if self._is_grey else self.extremes[1]),)

    @property
    def traces(self) -> Mapping[float, int]:
        """Pixels of a binary picture with other gray levels; they count as the nearer of the two main ones."""
        if self.kind != "binary" or not self._is_grey:
            return {}
        main = self._main_grey
        return {value: count for value, count in self.counts.items() if value not in (0, main)}

    @cached_property
    def _object(self) -> float | None:
        """Value at which voxels of a binary label start to be foreground; None if it is not binary."""
        low, high = self.extremes
        data = self.image.data
        is_unit = data.dtype.kind == "f" and high <= 1 + _SOFT
        if low < 0 or (is_unit and high not in (0, 1)):
            return None
        if self._is_lossy and 0 < high < self._full / 2:
            return None  # compression removes pixels of dark classes
        if high == 0 or np.count_nonzero(data != 0) == np.count_nonzero(data == high):
            return high or 1
        if not self._is_grey or self._is_lossy or len(self.counts) > _FEW_GREYS:
            return None
        main = self._main_grey
        labelled = sum(count for value, count in self.counts.items() if value > 0)
        return np.ceil(main / 2) if labelled - self.counts[main] <= _TRACES * labelled else None

    @property
    def _main_grey(self) -> float:
        return max((value for value in self.counts if value > 0), key=self.counts.__getitem__, default=1)

    @cached_property
    def _is_soft(self) -> bool:
        """True if values are fractions of a voxel that belong to the class."""
        low, high = self.extremes
        if self._full == 1:
            return self.image.data.dtype.kind == "f" and low >= -_SOFT and high <= 1 + _SOFT
        if not self._is_grey or high < self._full / 2:
            return False
        many = self._is_lossy or len(self.counts) > _FEW_GREYS
        return many and not _has_areas(
            self.image.data / np.float32(self._full), _NOISE if self._is_lossy else 0
        )

    @property
    def _full(self) -> float:
        """Value that represents 1 in a soft label."""
        return self.picture.full if self.picture and self._is_grey else 1.0

    @property
    def _is_grey(self) -> bool:
        """True for a picture with integer gray levels, rather than palette indices or floats."""
        if self.picture is None or self.image.data.dtype.kind == "f":
            return False
        return self.picture.palette is None or not is_coloured(self.picture.palette)

    @property
    def _is_lossy(self) -> bool:
        return self.picture is not None and self.picture.lossy

    @property
    def _suffix(self) -> str:
        """Suffix of the file name, as in a configuration."""
        name = Path(self.path).name
        stem = split_extension(name)[0] if name.lower().endswith(EXTENSIONS) else name
        return f"_{stem.rpartition('_')[2]}"

    @property
    def _selection(self) -> str:
        """Advice on how to specify the classes of a map in a configuration."""
        values = [f"{value:g}" for value in self.counts if value > 0]
        entries = ", ".join(f'"{self._suffix}:{value}"' for value in values[:_NAMED])
        more = ", ..." if len(values) > _NAMED else ""
        negative = [f"{value:g}" for value in self.counts if value < 0]
        advice = []
        if values:
            both = f' ("{self._suffix}:{"+".join(values[:2])}" joins two)' if values[1:] else ""
            advice.append(f"Name each class in loader_parameters.target_suffix: [{entries}{more}]{both}")
        if negative:
            advice.append(
                f"Save {negative[0]} as {f'0, or {self._left_out(negative[0])}' if values else '1'}"
            )
        elif values[1:] and _VOID in self._ignored:
            advice.append(f"If 255 is not a class, {self._left_out('255')}")
        if len(values) > _FEW_GREYS:
            advice.append("Save a soft label with values from 0 to 1")
        return ". ".join(advice)

    @property
    def _ignored(self) -> list[float]:
        """Values that by convention mark unlabelled voxels: those below 0, and in volumes 255 far above the others."""
        low, high = self.extremes
        ignored = [value for value in self.counts if value < 0] if low < 0 else []
        if high == _VOID and not self.picture and sorted(self.counts)[-2:][0] < _VOID / 2:
            ignored.append(_VOID)
        return ignored

    def _left_out(self, value: str) -> str:
        return f'exclude it with loader_parameters.ignore_label: "{self._suffix}:{value}"'

    def _selected(self, values: Sequence[int], named: set[int]) -> np.ndarray:
        """Voxels with these values."""
        data = self.image.data
        if self._is_lossy:
            raise DataError(
                f"{self.path}: is a JPEG picture, which does not preserve values; save the label map as PNG"
            )
        if not self.is_whole:
            raise DataError(f"{self.path}: {self.found}; expected the integers of a label map")
        if unknown := [value for value in self._ignored if value not in named]:
            raise DataError(
                f"{self.path}: {self.found}, of which {unknown[0]:g} is not specified; save it as 0, or specify it in "
                f'loader_parameters.ignore_label: "{self._suffix}:{unknown[0]:g}"'
            )
        data = _rounded(data)
        mask = data == values[0]
        for value in values[1:]:
            mask |= data == value
        return mask


def _rounded(data: np.ndarray) -> np.ndarray:
    """Values rounded to integers, in the same type."""
    return np.rint(data) if data.dtype.kind == "f" else data


def _chunks(data: np.ndarray) -> Iterator[np.ndarray]:
    """Flat parts of an array that are small enough to copy."""
    flat = data.reshape(-1, order="A")
    for start in range(0, flat.size, _CHUNK):
        yield flat[start : start + _CHUNK]


def _has_areas(greys: np.ndarray, flat: float) -> bool:
    """Return whether [rows, columns, 1] in 0..1 has areas between black and white, unlike soft borders."""
    between = (greys > _END) & (greys < 1 - _END)
    if not between.any():
        return False
    size = (3, 3, 1)
    inside = between & (maximum_filter(greys, size) - minimum_filter(greys, size) <= flat)
    return bool(inside.sum() > _AREA * (greys > _END).sum())
