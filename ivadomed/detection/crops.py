"""The crop to a bounding box among the documented transforms of one image.

Metadata are those of a sample: ``input_metadata`` and ``gt_metadata``, lists of mappings. Functions that store
something change what they are given, as those of ivadomed 2.9.10, and return it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ivadomed.geometry.boxes import adjust_bb_size, box_size
from ivadomed.transforms import BoundingBoxCrop, Compose, UndoCompose
from ivadomed.transforms.base import KINDS
from ivadomed.transforms.box_crop import box_crop, resampling_factors
from ivadomed.transforms.compose import Chain

_PAIR_KEYS = ("input_metadata", "gt_metadata")
Pair = TypeVar("Pair", bound=Mapping[str, Any])


def resample_bounding_box(metadata: Pair, transform: Compose | None) -> Pair:
    """Bring the boxes in metadata to the voxel size that ``Resample`` gives the image; see ``adjust_bb_size``.

    Args:
        metadata: ``input_metadata`` and ``gt_metadata``: lists of metadata with ``bounding_box`` and, of the
            first input, ``zooms`` in mm. Each gets the box on the new grid.
        transform: Transforms, with or without ``Resample``.

    Returns:
        ``metadata``.
    """
    first = metadata["input_metadata"][0]
    box, zooms = first["bounding_box"], tuple(first["zooms"])
    factors = resampling_factors(transform.transform["im"] if transform else (), box_size(box), zooms)
    for key in _PAIR_KEYS:
        for record in metadata.get(key) or ():
            if record is not None:
                record["bounding_box"] = adjust_bb_size(box, factors, resample=True)
    return metadata


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
    """Put the crop to the box among the transforms that are undone, in place of that to an earlier box.

    Args:
        transforms: What is undone; gets the crop.
        seg_pair: A batch: ``input_metadata`` [B][C] as the crop returned them; without ``bounding_box`` there
            was no crop.
        index: Sample in the batch.

    Returns:
        ``transforms``.
    """
    record = seg_pair["input_metadata"][index][0]
    if "bounding_box" in record:
        # What is undone is the step that the metadata recorded; the crop itself only names it.
        transforms.transforms = _with_crop(transforms.transforms, record)
    return transforms


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
    """Copy of the transforms with the crop to the box of a record, and no other."""
    new = Compose({})
    for kind in KINDS:
        given = transforms.transform[kind] if transforms else ()
        before = [transform for transform in given if not isinstance(transform, BoundingBoxCrop)]
        place, crop = box_crop(
            before, record["bounding_box"], record["zooms"], record.get("data_shape"), length, stride
        )
        new.transform[kind] = Chain([*before[:place], crop, *before[place:]])
    return new
