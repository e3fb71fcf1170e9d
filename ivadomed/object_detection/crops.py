"""The crop to a bounding box among the documented transforms of one image.

Metadata are those of a sample: ``input_metadata`` and ``gt_metadata``, lists of mappings. Functions return
new values and leave their arguments as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ivadomed.boxes import Box
from ivadomed.transforms import Compose, UndoCompose
from ivadomed.transforms.base import KINDS
from ivadomed.transforms.box_crop import box_crop, resampled_box

_PAIR_KEYS = ("input_metadata", "gt_metadata")


def with_box(metadata: Any, box: Box) -> Any:
    """Copy of metadata with a box."""
    new = copy.copy(metadata)
    new["bounding_box"] = list(box)
    return new


def resample_bounding_box(metadata: Mapping[str, Any], transform: Compose | None) -> dict[str, Any]:
    """Bring boxes to the voxel size that ``Resample`` gives the image.

    Args:
        metadata: ``input_metadata`` and ``gt_metadata``: lists of metadata with ``bounding_box`` and, of the
            first input, ``zooms`` in mm.
        transform: Transforms, with or without ``Resample``.

    Returns:
        Copy of ``metadata`` with the boxes on the new grid.
    """
    first = metadata["input_metadata"][0]
    box = resampled_box(transform.transform["im"] if transform else (), first["bounding_box"], first["zooms"])
    new = dict(metadata)
    for key in _PAIR_KEYS:
        if metadata.get(key) is not None:
            new[key] = [None if record is None else with_box(record, box) for record in metadata[key]]
    return new


def adjust_transforms(
    transforms: Compose | None,
    seg_pair: Mapping[str, Any],
    length: Sequence[int] | None = None,
    stride: Sequence[int] | None = None,
) -> Compose:
    """Add the crop to an image's box to the preprocessing, right after ``Resample``.

    Args:
        transforms: Preprocessing; None for none.
        seg_pair: ``input_metadata`` [...] with ``bounding_box`` on the grid of the file and ``zooms``.
        length: Patch size: the box is enlarged so that patches cover it exactly.
        stride: Distance of neighbouring patches; ``length`` when not given.

    Returns:
        New transforms; the arguments stay as they are.
    """
    return _with_crop(transforms, seg_pair["input_metadata"][0], length or (), stride or ())


def adjust_undo_transforms(
    transforms: UndoCompose, seg_pair: Mapping[str, Any], index: int = 0
) -> UndoCompose:
    """Add the crop to the box to the transforms that are undone.

    Args:
        transforms: What is undone.
        seg_pair: A batch: ``input_metadata`` [B][C] as the crop returned them; without ``bounding_box`` there
            was no crop.
        index: Sample in the batch.

    Returns:
        New transforms; the arguments stay as they are.
    """
    record = seg_pair["input_metadata"][index][0]
    if "bounding_box" not in record:
        return transforms
    # What is undone is the step that the metadata recorded; the crop itself only names it.
    return UndoCompose(_with_crop(transforms.transforms, record))


def verify_metadata(metadata: Mapping[str, Any], has_bounding_box: bool) -> bool:
    """Whether every input and label of a sample has a box.

    Args:
        metadata: ``input_metadata`` and ``gt_metadata``: lists of metadata.
        has_bounding_box: Whether all samples before had one.
    """
    records = [record for key in _PAIR_KEYS for record in metadata.get(key) or () if record is not None]
    return has_bounding_box and all("bounding_box" in record for record in records)


def _with_crop(
    transforms: Compose | None, record: Any, length: Sequence[int] = (), stride: Sequence[int] = ()
) -> Compose:
    """Copy of the transforms with the crop to the box of a record."""
    new = Compose({})
    for kind in KINDS:
        before = list(transforms.transform[kind]) if transforms else []
        place, crop = box_crop(
            before, record["bounding_box"], record["zooms"], record.get("data_shape"), length, stride
        )
        new.transform[kind] = [*before[:place], crop, *before[place:]]
    return new
