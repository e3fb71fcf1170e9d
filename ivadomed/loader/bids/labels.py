"""Label files of images, by the two ways in which they are named.

The label ``_desc-manual_dseg`` of ``sub-01_T1w.nii.gz`` is ``sub-01_T1w_desc-manual_dseg``, the name of the image with
the suffix behind it; or, as BIDS names derivatives, ``sub-01_desc-manual_dseg``: the entities of both and the suffix
``dseg``, in place of the contrast, which ``space-T1w`` may then name. The second way is for suffixes that are those of
segmentations in BIDS (1.9, "Imaging data type derivatives").
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ivadomed.errors import DataError, some
from ivadomed.loader.bids.files import BidsFile, contrast_entities, contrast_of
from ivadomed.loader.bids.names import (
    DATATYPES,
    ENTITY_NAMES,
    NameRules,
    ParsedName,
    comparable,
    without_padding,
)

SEGMENTATIONS = frozenset({"dseg", "mask", "probseg"})
"""Suffixes that BIDS has for segmentations."""

_ENDS = tuple(SEGMENTATIONS)
_DESCRIBING = frozenset(["space", "atlas", "segmentation", "roi", "label", "desc", "hemi", "res", "den"])
"""Entities that say what a label shows, rather than how its image was acquired."""
_RULES = NameRules(strict=False)
_KEYS = {name: key for key, name in ENTITY_NAMES.items()}

Lacking = frozenset[tuple[str, str]]
"""Entities of an image that the name of a label lacks."""


@dataclass(frozen=True)
class _Fit:
    """A label file whose name fits an image.

    Args:
        file: The label.
        lacking: Entities of the image that its name lacks.
        owner: An image all of whose entities it has, while it lacks some of this one's.
        shared_with: Images of other entities that it fits as well as this one.
        is_named: The contrast in the configuration has what the name of the label lacks.
    """

    file: BidsFile
    lacking: Lacking = frozenset()
    owner: BidsFile | None = None
    shared_with: tuple[BidsFile, ...] = ()
    is_named: bool = False


class Labels:
    """Label files of a data set by the image that they were made for.

    A label lies in the folder of its image's subject, or of its session, in any folder below ``derivatives``. One that
    BIDS names may also lie beside its image, or in another data set that has no image of the subject. A file of the
    right name in the folder of another subject or session is not taken.

    Args:
        files: Images and derivatives of all data sets.
        contrasts: Contrasts that are wanted: "run-1_T1w" says that labels without a run belong to the first one.
    """

    def __init__(self, files: Iterable[BidsFile], contrasts: Sequence[str] = ()) -> None:
        self._contrasts = contrasts
        self._named: dict[tuple[Path, str], list[BidsFile]] = defaultdict(list)
        self._of_subject: dict[tuple[Path, str], list[BidsFile]] = defaultdict(list)
        self._images: dict[tuple[Path, str], list[BidsFile]] = defaultdict(list)
        self._beside: dict[str, list[BidsFile]] = defaultdict(list)
        self._suffixes: set[str] = set()
        for file in files:
            subject = file.root, file.folders[0]
            if file.is_derivative:
                self._named[file.root, without_padding(file.stem)].append(file)
                self._of_subject[subject].append(file)
            elif file.suffix in SEGMENTATIONS:
                self._beside[file.folders[0]].append(file)
            else:
                self._images[subject].append(file)
                self._suffixes.add(file.suffix)

    def find(self, image: BidsFile, suffix: str) -> BidsFile | None:
        """The label of ``image``, or None.

        Raises:
            DataError: Several files fit, or the name does not say which of several images the label belongs to.
        """
        fits = _usable(self._fits(image, suffix))
        if len(fits) > 1:
            names = " and ".join(str(fit.file.path) for fit in fits)
            raise DataError(
                f'{image.path}: the label "{suffix}" is not unique, found {names}; remove all but one'
            )
        for fit in fits:
            if fit.shared_with and not fit.is_named:
                raise DataError(_shared(image, fit))
            return fit.file
        return None

    def suffixes(self, image: BidsFile) -> set[str]:
        """Suffixes of all labels of ``image`` that ``find`` can tell from others."""
        start = without_padding(image.stem)
        behind = {without_padding(file.stem).removeprefix(start) for file in self._behind(image)}
        near = self._near(image)
        short = [_suffix_for(image, file, with_space=False) for file in near]
        # Where the image has a label with its contrast as "space" and one without, only the full name tells them apart.
        several = {suffix for suffix, count in Counter(short).items() if count > 1}
        found = (
            _suffix_for(image, file, with_space=True) if suffix in several else suffix
            for suffix, file in zip(short, near, strict=True)
        )
        return behind | {suffix for suffix in found if suffix and self._is_clear(image, suffix)}

    def of(self, image: BidsFile) -> list[BidsFile]:
        """All files whose names make them labels of ``image``, also where others fit as well."""
        named = ((file, _suffix_for(image, file, with_space=True)) for file in self._near(image))
        fits = ((file, self._fits(image, suffix)) for file, suffix in named if suffix)
        return [
            *self._behind(image),
            *(file for file, found in fits if any(fit.file is file for fit in found)),
        ]

    def _behind(self, image: BidsFile) -> list[BidsFile]:
        """Files that are named after an image, with something behind its name."""
        start, subject = f"{without_padding(image.stem)}_", (image.root, image.folders[0])
        return [
            file
            for file in self._of_subject.get(subject, ())
            if without_padding(file.stem).startswith(start) and _same_place(image, file)
        ]

    def passed_over(self, image: BidsFile, suffix: str) -> str:
        """The file that one could take for the label of an image that has none, and why it is not; else empty."""
        for file in self._named.get((image.root, without_padding(image.stem + suffix)), ()):
            if not _same_place(image, file):
                return f"found in the wrong folder: {file.relative}"
        for fit in self._fits(image, suffix):
            if fit.owner is not None:
                return f"{fit.file.name} has no {_written(fit.lacking)}: it is that of {fit.owner.name}"
        return ""

    def _is_clear(self, image: BidsFile, suffix: str) -> bool:
        """Tell whether ``find`` takes a label, or has to say that there are copies of it."""
        fits = _usable(self._fits(image, suffix))
        unclear = any(fit.shared_with and not fit.is_named for fit in fits)
        return not unclear and len({fit.file.name for fit in fits}) == 1

    def _fits(self, image: BidsFile, suffix: str) -> list[_Fit]:
        """Files in the place of the image whose name fits it, by one way or the other."""
        named = self._named.get((image.root, without_padding(image.stem + suffix)), ())
        found = [_Fit(file) for file in named if _same_place(image, file)]
        ending = _ending(suffix)
        if ending is None or self._is_of_other_space(image, ending.entities):
            return found
        for file in self._near(image):
            lacking = _lacking(image, file, ending)
            if lacking is not None:
                found.append(self._fit(image, file, lacking, ending))
        return found

    def _fit(self, image: BidsFile, file: BidsFile, lacking: Lacking, ending: ParsedName) -> _Fit:
        """Compare with the other images that the label fits."""
        if not lacking:
            return _Fit(file)
        others = self._images.get((image.root, image.folders[0]), ())
        near = [other for other in others if other != image and _is_near(other, file)]
        lacked = [(other, found) for other in near if (found := _lacking(other, file, ending)) is not None]
        owner = next((other for other, found in lacked if not found), None)
        shared_with = tuple(other for other, found in lacked if found != lacking)
        contrast = contrast_of(image, self._contrasts)
        named = set(contrast_entities(contrast)) if contrast else set()
        return _Fit(file, lacking, owner, shared_with, {key for key, _ in lacking} <= named)

    def _near(self, image: BidsFile) -> list[BidsFile]:
        """Derivatives in the place of an image, and segmentations beside it or in a data set without images."""
        if image.suffix in SEGMENTATIONS:
            return []
        subject = image.folders[0]
        beside = (
            file
            for file in self._beside.get(subject, ())
            if file.root == image.root or (file.root, subject) not in self._images
        )
        derivatives = self._of_subject.get((image.root, subject), ())
        return [file for file in (*derivatives, *beside) if _is_near(image, file)]

    def _is_of_other_space(self, image: BidsFile, entities: Mapping[str, str]) -> bool:
        """Tell whether a suffix names the space of another contrast: ``space-T1w`` is not for a T2w image."""
        space = entities.get("space", image.suffix)
        return space in self._suffixes and space not in (image.suffix, image.entities.get("space"))


def _same_place(image: BidsFile, label: BidsFile) -> bool:
    # Derivatives may do without session folders: the session is part of the file name as well.
    return label.folders in (image.folders, (image.folders[0], ""))


def _is_near(image: BidsFile, label: BidsFile) -> bool:
    """Tell whether a label that BIDS names may be of an image: the same place, and no other type of data."""
    other_type = label.datatype != image.datatype and label.datatype in DATATYPES
    return _same_place(image, label) and not (other_type and image.datatype in DATATYPES)


@lru_cache(maxsize=256)
def _ending(suffix: str) -> ParsedName | None:
    """A suffix as the end of a name of BIDS: ``_desc-manual_dseg``; None for others: ``_seg-manual``."""
    parsed = _RULES.parse(suffix.removeprefix("_"), "")
    return (
        ParsedName(dict(comparable(parsed.entities)), parsed.suffix, "") if _is_segmentation(parsed) else None
    )


@lru_cache(maxsize=4096)
def _label_entities(stem: str, session: str) -> ParsedName | None:
    """Content of the name of a label that lies in a session; None for names that are not those of segmentations."""
    parsed = _RULES.parse(stem, "")
    if not _is_segmentation(parsed):
        return None
    entities = dict(comparable(parsed.entities))
    if session:
        entities.setdefault("session", session.removeprefix("ses-"))
    return ParsedName(entities, parsed.suffix, "")


def _label_name(file: BidsFile) -> ParsedName | None:
    stem = file.stem
    return _label_entities(stem, file.folders[1]) if stem.endswith(_ENDS) else None


def _is_segmentation(parsed: ParsedName) -> bool:
    return parsed.suffix in SEGMENTATIONS


def _lacking(image: BidsFile, file: BidsFile, ending: ParsedName) -> Lacking | None:
    """Entities of an image that the name of a label with this ending lacks; None if it is not one of the image."""
    label = _label_name(file)
    if (
        label is None
        or label.suffix != ending.suffix
        or not ending.entities.items() <= label.entities.items()
    ):
        return None
    own = comparable(image.entities)
    rest = {key: value for key, value in label.entities.items() if key not in ending.entities}
    if "space" not in own and rest.get("space") == image.suffix:
        del rest["space"]
    if rest.get("subject") != own.get("subject") or not rest.items() <= own.items():
        return None
    return frozenset(own.items() - rest.items() - ending.entities.items())


def _suffix_for(image: BidsFile, file: BidsFile, with_space: bool) -> str:
    """Suffix by which BIDS makes the name of a label from that of an image; empty where it does not.

    Args:
        image: An image near the label.
        file: A label.
        with_space: Keep the entity ``space`` even where it is the contrast of the image.
    """
    label, own = _label_name(file), comparable(image.entities)
    if label is None:
        return ""
    more = {key: value for key, value in label.entities.items() if own.get(key) != value}
    if not with_space and "space" not in own and more.get("space") == image.suffix:
        del more["space"]
    if not _DESCRIBING.issuperset(more):
        return ""
    return "".join(f"_{_KEYS[key]}-{value}" for key, value in more.items()) + f"_{label.suffix}"


def _usable(fits: Iterable[_Fit]) -> list[_Fit]:
    """Fits that belong to no other image; without any, those that the configuration names.

    One of the fits for each file is enough: several names may be links to one.
    """
    fits = list(fits)
    own = [fit for fit in fits if fit.owner is None] or [fit for fit in fits if fit.is_named]
    return own if len(own) < 2 else _distinct(own)


def _distinct(fits: list[_Fit]) -> list[_Fit]:
    """The first of the fits for each file."""
    return list({os.path.realpath(fit.file.path): fit for fit in reversed(fits)}.values())[::-1]


def _written(entities: Iterable[tuple[str, str]]) -> str:
    """Entities as file names have them: "acq-hr_run-1"."""
    return "_".join(f"{_KEYS.get(key, key)}-{value}" for key, value in sorted(entities))


def _shared(image: BidsFile, fit: _Fit) -> str:
    lacking = _written(fit.lacking)
    return (
        f"{fit.file.path}: its name does not say to which image the label belongs: {image.name} or "
        f"{some((other.name for other in fit.shared_with), 3, ' or ')}. Put the entities of that image into it "
        f"(such as {lacking}), or name the image in contrast_params, as {lacking}_{image.suffix}"
    )
