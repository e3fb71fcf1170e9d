"""Properties of the labels of a data set, from the voxels of some of them, and the choice of those to train on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, groupby

import numpy as np
from tqdm import tqdm

from ivadomed.errors import DataError
from ivadomed.geometry.grid import Grid
from ivadomed.images.io import is_nifti
from ivadomed.images.label_suffix import file_suffix, names_lesions
from ivadomed.images.labels import LabelFile, LabelReader, iter_labels, open_label
from ivadomed.postprocessing.objects import label_objects
from ivadomed.runtime.terminal import hidden_bar

_GREY = 0.1
_RATER = re.compile(r"[-_]?rater-?\w+$")
_RARE = 0.25
_POINT = 10
_SAME = 0.98
_ALIKE = 0.9  # Dice of two versions of one structure; the best agreement between raters
_WITHIN = 0.9
_APART = 0.02
_ONES = (
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1).astype(np.uint8)
)  # of each byte


@dataclass(eq=False)
class LabelKind:
    """Properties of the labels with one suffix, accumulated file by file.

    Args:
        suffix: Suffix added to the names of the images.
        images: Number of images with this label.
        fault: Why it cannot be used for training; empty if it can.
        soft: True if it has values between 0 and 1.
        pieces: Connected objects in each label read.
        largest: Voxels of the largest label read.
        slices: Fraction of slices with the label, per axis right-left, posterior-anterior, inferior-superior and per
            label read.
        shares: Fraction of the voxels of the image, per label read.
        scattered: True if it lies within another label, in several pieces, and is absent from some images.
    """

    suffix: str
    images: int
    fault: str = ""
    soft: bool = False
    pieces: list[int] = field(default_factory=list)
    largest: int = 0
    slices: list[tuple[float, float, float]] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    scattered: bool = False

    def look(self, data: np.ndarray) -> None:
        """Add one label, [R, A, S] in 0..1."""
        # A few intermediate values are partial-volume borders, no reason to train on soft values.
        self.soft |= bool(((data > 0) & (data < 1)).sum() > _GREY * (data > 0).sum())
        mask = data >= 0.5
        self.shares.append(float(mask.mean()))
        self.largest = max(self.largest, int(mask.sum()))
        if mask.any():
            self.pieces.append(label_objects(mask)[1])
            others = ((1, 2), (0, 2), (0, 1))
            first, second, third = (float(mask.any(axis=axes).mean()) for axes in others)
            self.slices.append((first, second, third))

    @property
    def single(self) -> bool:
        """True if each label is one connected object and none is empty."""
        return bool(self.pieces) and max(self.pieces) == 1 and len(self.pieces) == len(self.shares)

    @property
    def lesions(self) -> bool:
        """True if it marks lesions, according to its name or voxels."""
        return self.scattered or names_lesions(self.suffix)

    @property
    def name(self) -> str:
        """Kind in one word, for the user."""
        if self.fault:
            return "no label"
        if self.largest < _POINT:
            return "points" if self.largest else "empty"
        return "lesions" if self.lesions else "structure"


@dataclass(frozen=True)
class Targets:
    """The labels to train on.

    Args:
        kinds: Labels, one per class.
        apart: True if classes do not overlap.
        left_out: Suffix and reason of the other labels; no reason if a label was not requested.
        seen: All labels, including those to train on.
    """

    kinds: tuple[LabelKind, ...]
    apart: bool
    left_out: Mapping[str, str]
    seen: tuple[LabelKind, ...] = ()

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffix of each class."""
        return tuple(kind.suffix for kind in self.kinds)


def choose_targets(
    files: Sequence[Mapping[str, LabelFile]],
    counts: Mapping[str, int],
    grids: Sequence[Grid],
    wanted: Sequence[str] = (),
    opened: LabelReader = open_label,
) -> Targets:
    """Read labels of some images and choose those to train on.

    Structures take precedence over lesions within them, and both over points. A missing label counts as empty, so
    training on labels that few images have would teach the network to predict nothing.

    Args:
        files: Labels by suffix, per image.
        counts: Number of images in the data set with a label, by suffix.
        grids: Grid of each image.
        wanted: Suffixes to train on, regardless of the others; empty: all usable ones.
        opened: Function that opens a file.

    Raises:
        DataError: No label can be used, two mark the same structure, or a requested one does not exist or cannot be
            used.
    """
    if absent := [suffix for suffix in wanted if suffix not in counts]:
        raise DataError(
            f"--target-suffix: no image has a label {absent[0]}; there are {', '.join(sorted(counts))}"
        )
    kinds = {suffix: LabelKind(suffix, count) for suffix, count in counts.items()}
    bar = tqdm(files, desc="Reading labels", unit="image", leave=False, disable=hidden_bar())
    masks = [_look(of_image, kinds, grid, opened) for of_image, grid in zip(bar, grids, strict=True)]
    left_out = {suffix: kind.fault for suffix, kind in kinds.items() if kind.fault}
    usable = {suffix: kind for suffix, kind in kinds.items() if not kind.fault}
    if wanted:
        if faulty := [suffix for suffix in wanted if suffix in left_out]:
            raise DataError(f"--target-suffix: {faulty[0]} {left_out[faulty[0]]}")
        left_out |= {suffix: "" for suffix in usable if suffix not in wanted}
        chosen = [usable[suffix] for suffix in wanted]
    else:
        chosen = _usable(usable, masks, left_out)
        _refuse_versions(chosen, masks, kinds.values())
    if not chosen:
        reasons = "; ".join(f"{suffix} {reason}" for suffix, reason in left_out.items())
        raise DataError(f"no label can be trained on: {reasons}")
    pairs = combinations([kind.suffix for kind in chosen], 2)
    apart = all(
        (not wanted and file_suffix(one) == file_suffix(other)) or _share(masks, one, other) < _APART
        for one, other in pairs
    )
    return Targets(tuple(chosen), apart, left_out, tuple(kinds.values()))


def table_of_labels(kinds: Iterable[LabelKind], use: Mapping[str, str] | None = None) -> list[str]:
    """Lines of a table of labels: number of images, kind, and fraction of the image covered.

    Args:
        kinds: The labels.
        use: Use of each label, by suffix; None for a table without this column.
    """
    rows = [("label", "images", "kind", "of the image", *(("use",) if use else ()))]
    for (name, what, _, *uses), group in groupby(kinds, key=lambda kind: _row_of(kind, use)):
        alike = list(group)
        covered = [share for kind in alike for share in kind.shares if share]
        share = f"{100 * float(np.median(covered)):.2g} %" if covered else "-"
        label = alike[0].suffix if len(alike) == 1 else f"{name} ({len(alike)} classes)"
        rows.append((label, str(alike[0].images), what, share, *uses))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _row_of(kind: LabelKind, use: Mapping[str, str] | None) -> tuple[str, ...]:
    """Key of a label's row, shared by e.g. the classes of a label map that are left out for the same reason."""
    if use is None:
        return (kind.suffix, kind.name, kind.suffix)
    left_out = kind.suffix in use and not use[kind.suffix].startswith("class")
    return (file_suffix(kind.suffix), kind.name, "" if left_out else kind.suffix, use[kind.suffix])


def _refuse_versions(
    kinds: Sequence[LabelKind], masks: Sequence[Mapping[str, np.ndarray]], all_kinds: Iterable[LabelKind]
) -> None:
    """Raise if labels mark the same structure, e.g. those of two raters or methods; only the user can choose."""
    for one, other in combinations([kind.suffix for kind in kinds], 2):
        if file_suffix(one) == file_suffix(other):
            continue  # classes of a label map
        seen = [m for m in masks if one in m and other in m]
        both = sum(_count(m[one] & m[other]) for m in seen)
        total = sum(_count(m[one]) + _count(m[other]) for m in seen)
        if total and 2 * both >= _ALIKE * total:
            raise DataError(
                f"{one} and {other} mark the same structure (Dice {2 * both / total:.2f} in {len(seen)} images); "
                f"choose one with --target-suffix\n" + "\n".join(table_of_labels(all_kinds))
            )


def _look(
    files: Mapping[str, LabelFile], kinds: Mapping[str, LabelKind], grid: Grid, opened: LabelReader
) -> dict[str, np.ndarray]:
    """Read the labels of one image; masks are in RAS order, packed to bits."""
    masks = {}
    for path in dict.fromkeys(file.path for file in files.values()):
        of_path = {suffix: file for suffix, file in files.items() if file.path == path}
        try:  # one class at a time: a label map may have a hundred
            labels = iter_labels([*of_path.values()], soft=True, opened=opened)
            for suffix, label in zip(of_path, labels, strict=True):
                own = label.grid()
                if not grid.matches(own) and (
                    is_nifti(path) or own.shape != grid.shape
                ):  # pictures have no position
                    kinds[suffix].fault = f"is not on the grid of its image: {path}"
                    continue
                data = own.to_hwd(label.data)  # of axial slices: RAS
                kinds[suffix].look(data)
                masks[suffix] = np.packbits(data >= 0.5)
        except DataError as error:
            for suffix in of_path:
                kinds[suffix].fault = str(error).removeprefix(f"{path}: ")
    return masks


def _points(largest: int) -> str:
    """Reason for leaving out a label whose largest object has few voxels."""
    if largest == 1:
        return "marks only single-voxel points"
    return (
        f"marks only points of up to {largest} voxels" if largest else "is empty in all images that were read"
    )


def _usable(
    usable: Mapping[str, LabelKind], masks: Sequence[Mapping[str, np.ndarray]], left_out: dict[str, str]
) -> list[LabelKind]:
    """Usable labels: without soft ones next to binary ones, those of few images, and unions of others."""
    if not all(kind.soft for kind in usable.values()):
        left_out |= {s: "is soft, others are binary" for s, kind in usable.items() if kind.soft}
    left_out |= {suffix: "is a prediction" for suffix in usable if suffix.endswith("_pred")}
    for suffix in usable:
        if (consensus := _RATER.sub("", suffix)) != suffix and consensus in usable:
            left_out[suffix] = f"is a single rater's label; {consensus} is the consensus"
    kinds = [kind for suffix, kind in usable.items() if suffix not in left_out]
    for kind in [kind for kind in kinds if kind.largest < _POINT]:
        left_out[kind.suffix] = _points(kind.largest)
        kinds.remove(kind)
    _drop_repeated_maps(kinds, masks, left_out)
    most = max((kind.images for kind in kinds), default=0)
    for kind in [kind for kind in kinds if kind.images < _RARE * most]:
        left_out[kind.suffix] = (
            f"exists for {kind.images} images, others for {most}; --target-suffix {kind.suffix} trains on these"
        )
        kinds.remove(kind)
    for kind in [kind for kind in kinds if len(kind.pieces) < _RARE * len(kind.shares)]:
        left_out[kind.suffix] = (
            f"is empty in {len(kind.shares) - len(kind.pieces)} of {len(kind.shares)} images"
        )
        kinds.remove(kind)
    for kind in kinds:
        kind.scattered = _is_scattered(kind, [other.suffix for other in kinds if other is not kind], masks)
    if not all(kind.lesions for kind in kinds):
        for kind in [kind for kind in kinds if kind.lesions]:
            left_out[kind.suffix] = (
                f"marks lesions; structures come first, --target-suffix {kind.suffix} trains on it"
            )
            kinds.remove(kind)
    for kind in list(kinds):
        others = [other.suffix for other in kinds if other is not kind]
        if len(others) > 1 and _is_union(kind.suffix, others, masks):
            left_out[kind.suffix] = f"is the union of {' and '.join(others)}"
            kinds.remove(kind)
    return kinds


def _is_scattered(kind: LabelKind, others: Sequence[str], masks: Sequence[Mapping[str, np.ndarray]]) -> bool:
    """True if a label resembles lesions: within another one, in several pieces, and not in every image."""
    if max(kind.pieces, default=0) < 2 or len(kind.pieces) == len(kind.shares):
        return False
    suffix = kind.suffix
    for other in others:
        seen = [m for m in masks if suffix in m and other in m]
        own, around = (sum(_count(m[name]) for m in seen) for name in (suffix, other))
        if 0 < own < around and sum(_count(m[suffix] & m[other]) for m in seen) >= _WITHIN * own:
            return True
    return False


def _drop_repeated_maps(
    kinds: list[LabelKind], masks: Sequence[Mapping[str, np.ndarray]], left_out: dict[str, str]
) -> None:
    """Leave out label maps that repeat files of one class each."""
    files = [kind.suffix for kind in kinds if kind.suffix == file_suffix(kind.suffix)]
    maps = {file_suffix(kind.suffix) for kind in kinds} - set(files)
    for name in sorted(maps) if len(files) > 1 else ():
        parts = [kind for kind in kinds if file_suffix(kind.suffix) == name]
        whole = [
            dict(m) | {name: _union([m[part.suffix] for part in parts if part.suffix in m])} for m in masks
        ]
        if _is_union(name, files, whole):
            for part in parts:
                left_out[part.suffix] = f"repeats {' and '.join(files)}"
                kinds.remove(part)


def _union(bits: Sequence[np.ndarray]) -> np.ndarray:
    return np.bitwise_or.reduce(bits) if bits else np.zeros(0, np.uint8)


def _is_union(suffix: str, others: Sequence[str], masks: Sequence[Mapping[str, np.ndarray]]) -> bool:
    """True if a label is the union of others that do not overlap."""
    seen = [m for m in masks if all(name in m and m[name].size for name in (suffix, *others))]
    if not seen or any(_share(seen, a, b) > _APART for a, b in combinations(others, 2)):
        return False
    for of_image in seen:
        union = _union([of_image[name] for name in others])
        own = of_image[suffix]
        if 2 * _count(own & union) < _SAME * (_count(own) + _count(union)):
            return False
    return True


def _share(masks: Sequence[Mapping[str, np.ndarray]], one: str, other: str) -> float:
    """Common voxels of two labels as a fraction of the smaller one."""
    seen = [m for m in masks if one in m and other in m]
    common = sum(_count(m[one] & m[other]) for m in seen)
    smaller = min(sum(_count(m[one]) for m in seen), sum(_count(m[other]) for m in seen))
    return common / max(smaller, 1)


def _count(bits: np.ndarray) -> int:
    return int(_ONES[bits].sum())
