"""Names of labels by the BIDS rules for derivatives: ``sub-01_space-T1w_desc-manual_dseg``.

Entities are those of the image and those that describe the label. The suffix is one for segmentations and
replaces the contrast, which ``space`` may specify (BIDS 1.9, "Imaging data type derivatives").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from ivadomed.loader.bids.files import BidsFile
from ivadomed.loader.bids.names import ENTITY_NAMES, NameRules, ParsedName, comparable

SEGMENTATIONS = frozenset({"dseg", "mask", "probseg"})
"""BIDS suffixes of segmentations."""

_ENDS = tuple(SEGMENTATIONS)
_DESCRIBING = frozenset(["space", "atlas", "segmentation", "roi", "label", "desc", "hemi", "res", "den"])
"""Entities that describe the content of a label, rather than the acquisition of its image."""
_RULES = NameRules(strict=False)
_KEYS = {name: key for key, name in ENTITY_NAMES.items()}

Entities = frozenset[tuple[str, str]]
"""Names and values of entities."""


@lru_cache(maxsize=256)
def ending_of(suffix: str) -> ParsedName | None:
    """A suffix as the end of a BIDS name: ``_desc-manual_dseg``; None for others: ``_seg-manual``."""
    parsed = _RULES.parse(suffix.removeprefix("_"), "")
    return (
        ParsedName(dict(comparable(parsed.entities)), parsed.suffix, "") if _is_segmentation(parsed) else None
    )


@lru_cache(maxsize=4096)
def _label_entities(stem: str, session: str) -> ParsedName | None:
    """Parsed name of a label in a session; None for names that are not segmentations."""
    parsed = _RULES.parse(stem, "")
    if not _is_segmentation(parsed):
        return None
    entities = dict(comparable(parsed.entities))
    if session:
        entities.setdefault("session", session.removeprefix("ses-"))
    return ParsedName(entities, parsed.suffix, "")


def label_name(file: BidsFile) -> ParsedName | None:
    """Parsed name of a label, with indices as numbers; None for names that are not segmentations."""
    stem = file.stem
    return _label_entities(stem, file.folders[1]) if stem.endswith(_ENDS) else None


def _is_segmentation(parsed: ParsedName) -> bool:
    return parsed.suffix in SEGMENTATIONS


def lacking_of(image: BidsFile, file: BidsFile, ending: ParsedName) -> Entities | None:
    """Entities of an image that the name of a label with this ending lacks; None if it is not the image's label."""
    label = label_name(file)
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


def suffix_for(image: BidsFile, file: BidsFile, with_space: bool) -> str:
    """Suffix by which BIDS derives the name of a label from the image's; empty if it does not.

    Args:
        image: An image near the label.
        file: A label.
        with_space: Keep the entity ``space`` even if it is the contrast of the image.
    """
    label, own = label_name(file), comparable(image.entities)
    if label is None:
        return ""
    more = {key: value for key, value in label.entities.items() if own.get(key) != value}
    if not with_space and "space" not in own and more.get("space") == image.suffix:
        del more["space"]
    if not _DESCRIBING.issuperset(more):
        return ""
    return "".join(f"_{_KEYS[key]}-{value}" for key, value in more.items()) + f"_{label.suffix}"


def written(entities: Iterable[tuple[str, str]]) -> str:
    """Entities as written in file names: "acq-hr_run-1"."""
    return "_".join(f"{_KEYS.get(key, key)}-{value}" for key, value in sorted(entities))


def acquisition(entities: Mapping[str, str]) -> dict[str, str]:
    """Entities that describe the acquisition of the image of a label."""
    return {key: value for key, value in entities.items() if key not in _DESCRIBING}
