"""Contrasts by name: "T2w", or "acq-MTon_MTS" for the images with that suffix and these entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from ivadomed.loader.bids.index import BidsFile
from ivadomed.loader.bids.names import NameRules, ParsedName


def contrast_entities(contrast: str) -> Mapping[str, str]:
    """Entities that a contrast asks for: {"acquisition": "MTon"} for "acq-MTon_MTS"."""
    return _parsed(contrast).entities


def matches(file: BidsFile, contrast: str) -> bool:
    """Whether an image has the suffix and the entities of a contrast.

    The suffix is all that stands behind the entities of a name, so "T2w" is not the contrast of "sub-01_T2w_reg".
    Where names need not follow BIDS it may have more in front: then "sub-01_a_T2w" is a "T2w", as for pybids.
    """
    wanted = _parsed(contrast)
    if wanted.suffix == file.suffix or (file.loose and file.suffix.endswith(f"_{wanted.suffix}")):
        return wanted.entities.items() <= file.entities.items() or _ends_with(file, contrast)
    return _ends_with(file, contrast)


def contrast_of(file: BidsFile, contrasts: Sequence[str]) -> str | None:
    """The most specific of ``contrasts`` that an image belongs to, or None.

    Of "T2star" and "acq-sup_T2star" the second one takes its images, whatever the order.
    """
    fitting = [contrast for contrast in contrasts if matches(file, contrast)]
    return max(fitting, key=lambda contrast: (contrast.count("_"), len(contrast)), default=None)


def suffix_of(file: BidsFile, contrasts: Sequence[str]) -> str:
    """Suffix of an image; where names need not follow BIDS that of its contrast, without what stands before it."""
    contrast = contrast_of(file, contrasts) if file.loose else None
    return file.suffix if contrast is None else _parsed(contrast).suffix


def _ends_with(file: BidsFile, contrast: str) -> bool:
    return file.loose and f"_{file.stem}".endswith(f"_{contrast}")


@lru_cache(maxsize=256)
def _parsed(contrast: str) -> ParsedName:
    return NameRules(strict=False).parse(contrast, "")
