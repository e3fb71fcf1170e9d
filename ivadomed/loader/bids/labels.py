"""Label files of images, found by either of two naming schemes.

The label ``_desc-manual_dseg`` of ``sub-01_T1w.nii.gz`` is ``sub-01_T1w_desc-manual_dseg``, the image name
followed by the suffix; or, as BIDS names derivatives, ``sub-01_desc-manual_dseg``: the entities of both and the
suffix ``dseg``, which replaces the contrast; ``space-T1w`` may then specify it. The second scheme applies to
suffixes that BIDS uses for segmentations (1.9, "Imaging data type derivatives").
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from ivadomed.errors import DataError, some
from ivadomed.loader.bids.files import BidsFile, contrast_entities, contrast_of
from ivadomed.loader.bids.label_names import (
    SEGMENTATIONS,
    Entities,
    acquisition,
    ending_of,
    label_name,
    lacking_of,
    suffix_for,
    written,
)
from ivadomed.loader.bids.names import DATATYPES, ParsedName, comparable, without_padding

Subject = tuple[Path, str]
"""Folder of a data set and name of a subject in it."""
ByEntities = Mapping[Entities, list[BidsFile]]


@dataclass(frozen=True)
class _Fit:
    """A label file whose name matches an image.

    Args:
        file: The label.
        lacking: Entities of the image that its name lacks.
        owner: An image whose entities it has in full, while it lacks some of this image's.
        shared_with: Images with other entities that it matches equally well.
        is_named: The contrast in the configuration has what the label name lacks.
    """

    file: BidsFile
    lacking: Entities = frozenset()
    owner: BidsFile | None = None
    shared_with: tuple[BidsFile, ...] = ()
    is_named: bool = False


class Labels:
    """Label files of a data set by image.

    A label is in the folder of its image's subject or session, in any folder below ``derivatives``. A label
    with a BIDS name may also be next to its image, or in another data set without images of the subject. A file
    with a matching name in the folder of another subject or session is not used.

    Args:
        files: Images and derivatives of all data sets.
        contrasts: Requested contrasts: "run-1_T1w" assigns labels without a run to the first one.
    """

    def __init__(self, files: Iterable[BidsFile], contrasts: Sequence[str] = ()) -> None:
        self._contrasts = contrasts
        self._named: dict[Subject, list[BidsFile]] = defaultdict(list)
        self._of_subject: dict[Subject, list[BidsFile]] = defaultdict(list)
        self._images: dict[Subject, list[BidsFile]] = defaultdict(list)
        self._beside: dict[str, list[BidsFile]] = defaultdict(list)
        self._suffixes: set[str] = set()
        # The following are filled on demand.
        self._sorted: dict[Subject, list[tuple[str, BidsFile]]] = {}
        self._by_entities: dict[Subject, Mapping[frozenset[str], ByEntities]] = {}
        self._grouped: dict[tuple[Subject, frozenset[str]], ByEntities] = {}
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
            DataError: Several files match, or the name does not identify the image of the label.
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
        """Suffixes of all labels of ``image`` that ``find`` can distinguish."""
        start = without_padding(image.stem)
        behind = {without_padding(file.stem).removeprefix(start) for file in self._behind(image)}
        near = self._near(image, {})
        short = [suffix_for(image, file, with_space=False) for file in near]
        # If the image has a label with its contrast as "space" and one without, only the full name
        # distinguishes them.
        several = {suffix for suffix, count in Counter(short).items() if count > 1}
        found = (
            suffix_for(image, file, with_space=True) if suffix in several else suffix
            for suffix, file in zip(short, near, strict=True)
        )
        return behind | {suffix for suffix in found if suffix and self._is_clear(image, suffix)}

    def by_suffix(self, image: BidsFile, suffixes: Iterable[str] | None = None) -> dict[str, BidsFile]:
        """Existing labels of ``image``, by suffix, see ``find``; None: those of all ``suffixes``, sorted."""
        wanted = sorted(self.suffixes(image)) if suffixes is None else suffixes
        found = ((suffix, self.find(image, suffix)) for suffix in wanted)
        return {suffix: label for suffix, label in found if label is not None}

    def of(self, image: BidsFile) -> list[BidsFile]:
        """All files whose names make them labels of ``image``, even if others match as well."""
        named = ((file, suffix_for(image, file, with_space=True)) for file in self._near(image, {}))
        fits = ((file, self._fits(image, suffix)) for file, suffix in named if suffix)
        return [
            *self._behind(image),
            *(file for file, found in fits if any(fit.file is file for fit in found)),
        ]

    def _behind(self, image: BidsFile) -> list[BidsFile]:
        """Files named after an image, with a further part."""
        start, subject = f"{without_padding(image.stem)}_", (image.root, image.folders[0])
        if subject not in self._sorted:
            files = self._of_subject.get(subject, ())
            self._sorted[subject] = sorted(((without_padding(file.stem), file) for file in files), key=_stem)
        stems = self._sorted[subject]
        first = bisect_left(stems, start, key=_stem)
        named = takewhile(lambda item: item[0].startswith(start), islice(stems, first, None))
        return [file for _, file in named if _same_place(image, file)]

    def passed_over(self, image: BidsFile, suffix: str) -> str:
        """A file that could be mistaken for the missing label of an image, and why it is not; otherwise empty."""
        for file in self._named.get((image.root, without_padding(image.stem + suffix)), ()):
            if not _same_place(image, file):
                return f"found in the wrong folder: {file.relative}"
        for fit in self._fits(image, suffix):
            if fit.owner is not None:
                return f"{fit.file.name} has no {written(fit.lacking)}: it is that of {fit.owner.name}"
        return ""

    def _is_clear(self, image: BidsFile, suffix: str) -> bool:
        """Return whether ``find`` returns a label, or has to report copies."""
        fits = _usable(self._fits(image, suffix))
        unclear = any(fit.shared_with and not fit.is_named for fit in fits)
        return not unclear and len({fit.file.name for fit in fits}) == 1

    def _fits(self, image: BidsFile, suffix: str) -> list[_Fit]:
        """Files near the image whose name matches it in either scheme."""
        named = self._named.get((image.root, without_padding(image.stem + suffix)), ())
        found = [_Fit(file) for file in named if _same_place(image, file)]
        ending = ending_of(suffix)
        if ending is None or self._is_of_other_space(image, ending.entities):
            return found
        for file in self._near(image, ending.entities):
            lacking = lacking_of(image, file, ending)
            if lacking is not None:
                found.append(self._fit(image, file, lacking, ending))
        return found

    def _fit(self, image: BidsFile, file: BidsFile, lacking: Entities, ending: ParsedName) -> _Fit:
        """Compare with the other images that the label matches."""
        if not lacking:
            return _Fit(file)
        others = [other for other in self._images_like(image, lacking) if _is_near(other, file)]
        lacked = [
            (other, found) for other in others if (found := lacking_of(other, file, ending)) is not None
        ]
        owner = next((other for other, found in lacked if not found), None)
        shared_with = tuple(other for other, found in lacked if found != lacking)
        contrast = contrast_of(image, self._contrasts)
        named = set(contrast_entities(contrast)) if contrast else set()
        return _Fit(file, lacking, owner, shared_with, {key for key, _ in lacking} <= named)

    def _images_like(self, image: BidsFile, lacking: Entities) -> list[BidsFile]:
        """Images of the subject with all entities of the image except those that a label lacks, or with more."""
        missing = dict(lacking)
        same = {key: value for key, value in comparable(image.entities).items() if key not in missing}
        subject, keys = (image.root, image.folders[0]), frozenset(same)
        if (subject, keys) not in self._grouped:
            groups: dict[Entities, list[BidsFile]] = defaultdict(list)
            for other in self._images.get(subject, ()):
                own = comparable(other.entities)
                if keys <= own.keys():
                    groups[frozenset((key, own[key]) for key in keys)].append(other)
            self._grouped[subject, keys] = groups
        return self._grouped[subject, keys].get(frozenset(same.items()), [])

    def _near(self, image: BidsFile, more: Mapping[str, str]) -> list[BidsFile]:
        """Labels with BIDS names near an image and without entities other than those of the image and ``more``.

        They are derivatives, or are next to their image or in a data set without images of the subject.
        """
        if image.suffix in SEGMENTATIONS:
            return []
        subject = image.root, image.folders[0]
        if subject not in self._by_entities:
            self._by_entities[subject] = self._segmentations(*subject)
        own = {**comparable(image.entities), **more}
        found = [
            file
            for keys, files in self._by_entities[subject].items()
            if keys <= own.keys()
            for file in files.get(frozenset((key, own[key]) for key in keys), ())
            if _is_near(image, file)
        ]
        return sorted(found, key=lambda file: file.relative)

    def _segmentations(self, root: Path, subject: str) -> Mapping[frozenset[str], ByEntities]:
        """Labels with BIDS names, by those of their entities that describe the acquisition."""
        beside = (
            file
            for file in self._beside.get(subject, ())
            if file.root == root or (file.root, subject) not in self._images
        )
        found: dict[frozenset[str], dict[Entities, list[BidsFile]]] = {}
        for file in (*self._of_subject.get((root, subject), ()), *beside):
            if name := label_name(file):
                entities = acquisition(name.entities)
                files = found.setdefault(frozenset(entities), {})
                files.setdefault(frozenset(entities.items()), []).append(file)
        return found

    def _is_of_other_space(self, image: BidsFile, entities: Mapping[str, str]) -> bool:
        """Return whether a suffix refers to the space of another contrast: ``space-T1w`` is not for a T2w image."""
        space = entities.get("space", image.suffix)
        return space in self._suffixes and space not in (image.suffix, image.entities.get("space"))


def _stem(item: tuple[str, BidsFile]) -> str:
    return item[0]


def _same_place(image: BidsFile, label: BidsFile) -> bool:
    # Derivatives may lack session folders because the file name contains the session too.
    return label.folders in (image.folders, (image.folders[0], ""))


def _is_near(image: BidsFile, label: BidsFile) -> bool:
    """Return whether a label with a BIDS name may belong to an image: same place, and no other data type."""
    other_type = label.datatype != image.datatype and label.datatype in DATATYPES
    return _same_place(image, label) and not (other_type and image.datatype in DATATYPES)


def _usable(fits: Iterable[_Fit]) -> list[_Fit]:
    """Matches that belong to no other image; without any, those specified by the configuration.

    One match per file is enough: several names may be links to one file.
    """
    fits = list(fits)
    own = [fit for fit in fits if fit.owner is None] or [fit for fit in fits if fit.is_named]
    return own if len(own) < 2 else _distinct(own)


def _distinct(fits: list[_Fit]) -> list[_Fit]:
    """The first match of each file."""
    return list({os.path.realpath(fit.file.path): fit for fit in reversed(fits)}.values())[::-1]


def _shared(image: BidsFile, fit: _Fit) -> str:
    lacking = written(fit.lacking)
    return (
        f"{fit.file.path}: its name does not say to which image the label belongs: {image.name} or "
        f"{some((other.name for other in fit.shared_with), 3, ' or ')}. Put the entities of that image into it "
        f"(such as {lacking}), or name the image in contrast_params, as {lacking}_{image.suffix}"
    )
