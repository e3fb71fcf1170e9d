"""Contrasts by name: "T2w", or "acq-MTon_MTS" for the images with that suffix and these entities."""

from __future__ import annotations

from collections.abc import Sequence

from ivadomed.loader.bids.index import BidsFile
from ivadomed.loader.bids.names import ENTITY_NAMES


def contrast_entities(contrast: str) -> dict[str, str]:
    """Entities that a contrast asks for: {"acquisition": "MTon"} for "acq-MTon_MTS"."""
    pairs = (part.partition("-") for part in contrast.split("_")[:-1])
    return {ENTITY_NAMES.get(key, key): value for key, _, value in pairs}


def matches(file: BidsFile, contrast: str) -> bool:
    """Whether an image has the suffix and the entities of a contrast."""
    if contrast.rpartition("_")[2] != file.suffix:
        return False
    return contrast_entities(contrast).items() <= file.entities.items()


def contrast_of(file: BidsFile, contrasts: Sequence[str]) -> str | None:
    """The most specific of ``contrasts`` that an image belongs to, or None.

    Of "T2star" and "acq-sup_T2star" the second one takes its images, whatever the order.
    """
    fitting = [contrast for contrast in contrasts if matches(file, contrast)]
    return max(fitting, key=lambda contrast: contrast.count("_"), default=None)
