"""Operations on a predicted mask or heatmap. Each returns a new array; NIfTI images are supported too.

Arrays are [H, W], [H, W, D] (D may be 1) or [H, W, D, C] with one class per C. Decorators extend functions of a
single array to NIfTI images, several classes, or soft values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from ivadomed.errors import DataError
from ivadomed.postprocessing.objects import (
    CORNERS,
    EDGES,
    FACES,
    binary_structure,
    bounding_box,
    label_objects,
    object_sizes,
    select_objects,
)

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

LOW_THRESHOLD = 1e-3
MIN_DISTANCE = 5
"""Minimum distance of two peaks of a heatmap, in voxels."""


def nifti_capable(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``wrapped(array, ...)`` also accept a nibabel image as its first argument.

    An array result is returned as an image with the input's affine and header and the array's type;
    any other result is returned unchanged.
    """

    @wraps(wrapped)
    def wrapper(data: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(data, "dataobj"):
            return wrapped(data, *args, **kwargs)
        result = wrapped(np.asanyarray(data.dataobj), *args, **kwargs)
        if not isinstance(result, np.ndarray):
            return result
        from ivadomed.images.io import make_like  # loads nibabel, not needed for arrays

        return make_like(result, data)

    return wrapper


def multilabel_capable(wrapped: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Let ``wrapped(array, ...)`` also accept classes along a fourth axis [H, W, D, C], each processed separately."""

    @wraps(wrapped)
    def wrapper(data: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        if np.ndim(data) != 4:
            return wrapped(data, *args, **kwargs)
        return np.stack([wrapped(data[..., c], *args, **kwargs) for c in range(data.shape[-1])], axis=-1)

    return wrapper


def binarize_with_low_threshold(wrapped: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Let ``wrapped(mask, ...)`` also accept soft values: voxels in the resulting mask keep their value.

    Values below 0.001 are first set to 0: the tails of a soft prediction connect separate objects.
    """

    @wraps(wrapped)
    def wrapper(data: np.ndarray, *args: Any, **kwargs: Any) -> np.ndarray:
        data = np.asarray(data)
        kept = wrapped(data >= LOW_THRESHOLD, *args, **kwargs)
        return np.where(kept, data, np.zeros((), data.dtype))

    return wrapper


@nifti_capable
def threshold_predictions(predictions: np.ndarray, thr: float = 0.5) -> np.ndarray:
    """Binarize: 0 below ``thr``, otherwise 1, as uint8."""
    return (np.asarray(predictions) >= thr).astype(np.uint8)


@nifti_capable
def mask_predictions(predictions: np.ndarray, mask_binary: np.ndarray) -> np.ndarray:
    """Set everything outside a mask to 0.

    Args:
        predictions: Any shape.
        mask_binary: Zeros and ones, of the same shape or, for [H, W, D, C], [H, W, D].
    """
    predictions, mask = np.asarray(predictions), np.asarray(mask_binary) != 0
    if mask.ndim == predictions.ndim - 1:
        mask = mask[..., None]
    return np.where(mask, predictions, np.zeros((), predictions.dtype))


@nifti_capable
@binarize_with_low_threshold
def keep_largest_object(predictions: np.ndarray) -> np.ndarray:
    """Keep the largest object of face-connected voxels. In case of a tie, the first one is kept.

    With several classes [H, W, D, C], every class keeps the object with its largest part. Parts of
    different classes that overlap (a lesion inside the cord) form one object and are kept together.
    """
    if predictions.ndim == 4:
        return _keep_largest_of_classes(predictions)
    labels, count = label_objects(predictions, FACES)
    return labels == object_sizes(labels, count).argmax() + 1 if count else predictions


def _keep_largest_of_classes(mask: np.ndarray) -> np.ndarray:
    parts = []
    total = 0
    for c in range(mask.shape[-1]):
        labels, count = label_objects(mask[..., c], FACES)
        parts.append((labels, total, count))
        total += count
    links = _overlaps([np.where(labels > 0, labels + offset, 0) for labels, offset, _ in parts])
    group = _groups(links, total)
    kept_groups = {
        int(group[offset + object_sizes(labels, count).argmax()]) for labels, offset, count in parts if count
    }
    kept = np.isin(group, list(kept_groups))
    return np.stack(
        [select_objects(labels, kept[offset : offset + count]) for labels, offset, count in parts], axis=-1
    )


def _overlaps(labels: list[np.ndarray]) -> np.ndarray:
    """Pairs [P, 2] of labels that share a voxel, for images with distinct labels."""
    first = labels[0].copy()
    pairs = [np.empty((0, 2), np.int64)]
    for other in labels[1:]:
        both = (first > 0) & (other > 0)
        pairs.append(np.unique(np.stack([first[both], other[both]], axis=1), axis=0).astype(np.int64))
        first = np.where(first > 0, first, other)
    return np.concatenate(pairs)


def _groups(links: np.ndarray, count: int) -> np.ndarray:
    """Group number of labels 1..count connected by the links [P, 2]; element 0 is label 1."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = (links.T - 1).astype(np.int32)  # with wider indices, scipy 1.11.0 reports no links
    return connected_components(coo_array((np.ones(len(a)), (a, b)), (count, count)), directed=False)[1]


@nifti_capable
@multilabel_capable
def keep_largest_object_per_slice(predictions: np.ndarray, axis: int = 2) -> np.ndarray:
    """Keep the largest object of every slice; pixels that share an edge are connected.

    Args:
        predictions: [H, W, D], or [H, W, D, C] with each class separately; [H, W] is one slice.
        axis: Axis along which the slices are taken.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim == 2:
        return keep_largest_object(predictions)
    slices = [keep_largest_object(plane) for plane in np.moveaxis(predictions, axis, 0)]
    return np.stack(slices, axis=axis)


@nifti_capable
@multilabel_capable
def fill_holes(predictions: np.ndarray, structure: tuple[int, ...] = (3, 3, 3)) -> np.ndarray:
    """Fill background that is not connected to the border of the image, as uint8.

    Background voxels are connected if a box of ``structure`` around one contains the other: with (3, 3, 3),
    also across corners, so an object must enclose its hole without a gap. Axes of length 1 are ignored:
    in one slice [H, W, 1], holes are two-dimensional.

    Args:
        predictions: Binary [H, W], [H, W, D] or [H, W, D, C].
        structure: Size of the box along each axis.
    """
    mask = np.asarray(predictions) != 0
    filled = mask.astype(np.uint8)
    box = bounding_box(mask)
    if box is None:
        return filled
    axes = [axis for axis in range(mask.ndim) if mask.shape[axis] > 1]
    flat = mask[box].reshape([mask[box].shape[axis] for axis in axes])
    size = tuple((*structure, *[3] * mask.ndim)[axis] for axis in axes)
    filled[box] |= _holes(flat, size).reshape(mask[box].shape)
    return filled


def _holes(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Background of ``mask`` that is not connected to its border."""
    if mask.ndim not in (2, 3) or set(size) != {3}:
        return _holes_of_any_structure(mask, size)
    labels, count = label_objects(~mask, CORNERS)
    enclosed = np.ones(count + 1, bool)
    for axis in range(mask.ndim):
        enclosed[np.take(labels, [0, -1], axis=axis)] = False
    return select_objects(labels, enclosed[1:])


def _holes_of_any_structure(mask: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Same as ``_holes`` for any number of axes and any structure, but tens of times slower."""
    from scipy.ndimage import binary_fill_holes

    if not mask.ndim:
        return np.zeros_like(mask)
    # scipy 1.17 corrupts memory if the structure is larger than the image, which is surrounded by background anyway.
    padded = np.pad(mask, [(n, n) for n in size])
    inner = tuple(slice(n, -n) for n in size)
    return binary_fill_holes(padded, np.ones(size))[inner] & ~mask


@nifti_capable
@multilabel_capable
def remove_small_objects(data: np.ndarray, bin_structure: np.ndarray, size_min: int) -> np.ndarray:
    """Set objects of fewer than ``size_min`` voxels to 0.

    Args:
        data: [H, W], [H, W, D] or [H, W, D, C]; nonzero voxels are objects and keep their values.
        bin_structure: Neighbors of a voxel, see ``scipy.ndimage.generate_binary_structure``; only the rank is used.
        size_min: Size of the smallest object to keep, in voxels.

    Raises:
        ValueError: ``bin_structure`` is not a standard neighborhood.
    """
    data = np.asarray(data)
    labels, count = label_objects(data, _rank(bin_structure))
    return mask_predictions(data, select_objects(labels, object_sizes(labels, count) >= size_min))


def _rank(structure: np.ndarray) -> int:
    structure = np.asarray(structure, bool)
    for rank in (FACES, EDGES, CORNERS):
        standard = binary_structure(rank)
        if np.array_equal(structure, standard if structure.ndim == 3 else standard[1]):
            return rank
    raise ValueError("bin_structure: expected scipy.ndimage.generate_binary_structure(2 or 3, rank)")


@nifti_capable
def coordinate_from_heatmap(nifti_image: np.ndarray, thresh: float = 0.3) -> list[list[int]]:
    """Coordinates of the local maxima of a heatmap.

    A peak is the largest value within 5 voxels. Peaks closer than 5 voxels to the border are excluded because
    their neighborhood is truncated; an axis of length 1 has no border. Hence a stack of 2 to 10
    slices has no peaks: pass single slices or volumes.

    Args:
        nifti_image: Nifti1Image or array, [X, Y] or [X, Y, Z].
        thresh: Minimum height of a peak after rescaling the image to 0..1.

    Returns:
        One [x, y, z] per peak, in voxels, highest first; empty for a constant image.
    """
    image = np.asarray(nifti_image, np.float64)
    low, high = image.min(), image.max()
    if low == high:
        return []
    from skimage.feature import peak_local_max  # no other library enforces a distance between peaks

    border = tuple(MIN_DISTANCE if n > 1 else 0 for n in image.shape)
    peaks = peak_local_max(
        (image - low) / (high - low), min_distance=MIN_DISTANCE, threshold_rel=thresh, exclude_border=border
    )
    return [[int(i) for i in peak] for peak in peaks]


def label_file_from_coordinates(nifti_image: Nifti1Image, coord_list: Sequence[Sequence[int]]) -> Nifti1Image:
    """Image of single voxels of value 1.

    Args:
        nifti_image: Image that defines the shape, affine and header of the result.
        coord_list: One [x, y, z] per voxel, in voxels of ``nifti_image``.

    Raises:
        DataError: A coordinate lies outside the image.
    """
    from ivadomed.images.io import make_like  # loads nibabel, not needed for arrays

    label = np.zeros(nifti_image.shape, np.uint8)
    for coordinate in coord_list:
        voxel = tuple(int(i) for i in coordinate)
        if len(voxel) != label.ndim or not all(0 <= i < n for i, n in zip(voxel, label.shape, strict=True)):
            raise DataError(f"label coordinate {voxel}: outside of the image of shape {label.shape}")
        label[voxel] = 1
    return make_like(label, nifti_image)
