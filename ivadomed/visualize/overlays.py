"""Segmentations in colour: overlays on images, and NIfTI files."""

from __future__ import annotations

import os

import nibabel as nib
import numpy as np

from ivadomed.errors import DataError
from ivadomed.images.io import read_grid, save_nifti, write_picture
from ivadomed.visualize import COLOURS

_SLICE_PIXELS = 300
_MOST_PIXELS = 1200
_GAP = 4  # pixels between slices
_LEAST_VOXELS = 64
_SAMPLE = 2**22  # number of voxels from which percentiles are computed
_RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
_OUTLINE = (255, 255, 0)  # yellow is no class colour and stands out from grey and white


def overlay(
    image: np.ndarray, masks: np.ndarray, truth: np.ndarray | None = None, scale: int = 1
) -> np.ndarray:
    """Paint a segmentation over a slice, with the ground truth as an outline.

    Args:
        image: [H, W] intensities.
        masks: [K, H, W] in 0..1.
        truth: [K, H, W], outlined in yellow.
        scale: Enlargement.

    Returns:
        [H * scale, W * scale, 3] uint8.
    """
    low, high = intensity_range(image)
    grey = np.clip((image - low) / max(high - low, 1e-8), 0, 1)
    picture = np.repeat(grey[..., None] * 255, 3, axis=-1)
    for k, mask in enumerate(masks):
        weight = 0.5 * np.clip(mask, 0, 1)[..., None]
        picture = picture * (1 - weight) + COLOURS[k % len(COLOURS)] * weight
    picture = _enlarge(picture.astype(np.uint8), scale)
    for mask in () if truth is None else truth:
        picture[_outline(_enlarge(mask >= 0.5, scale), 1 + scale // 4)] = _OUTLINE
    return picture


def overlap_im_seg(img: np.ndarray, seg: np.ndarray) -> np.ndarray:
    """Paint one segmentation over an image.

    Args:
        img: [H, W] intensities.
        seg: [H, W] in 0..1.

    Returns:
        [H, W, 3] uint8.
    """
    return overlay(img, seg[None])


def _enlarge(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


def _outline(mask: np.ndarray, width: int) -> np.ndarray:
    """Pixels of a mask that are fewer than ``width`` pixels from its outside."""
    inside = mask
    for _ in range(width):
        padded = np.pad(inside, 1)
        inside = inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def save_overlays(
    path: str | os.PathLike[str],
    image: np.ndarray,
    masks: np.ndarray,
    truth: np.ndarray | None = None,
    n_slices: int = 6,
    slice_axis: int | None = 2,
) -> None:
    """Write a picture of slices that contain a segmentation, cropped around it.

    Args:
        path: PNG file.
        image: [H, W, D] intensities.
        masks: [K, H, W, D] prediction in 0..1.
        truth: [K, H, W, D] ground truth, outlined.
        n_slices: Number of slices shown, evenly spaced over those with a label (over all slices if there is none).
        slice_axis: RAS axis along which slices were extracted, to turn them upright; None for pictures.
    """
    labels = np.any(masks if truth is None else np.concatenate([masks, truth]), axis=0)
    shown = np.any(labels, axis=(0, 1))
    candidates = np.flatnonzero(shown) if shown.any() else np.arange(image.shape[-1])
    places = candidates[
        np.unique(np.linspace(0, len(candidates) - 1, min(n_slices, len(candidates))).round().astype(int))
    ]
    sides = surroundings(np.any(labels, axis=2))
    step = -(-max(stop - start for start, stop in sides) // _MOST_PIXELS)
    box = tuple(slice(start, stop, step) for start, stop in sides)
    image, masks = image[box], masks[(slice(None), *box)]
    truth = None if truth is None else truth[(slice(None), *box)]
    scale = -(-_SLICE_PIXELS // max(image.shape[:2]))
    pictures = [
        overlay(image[..., z], masks[..., z], None if truth is None else truth[..., z], scale) for z in places
    ]
    turned = [upright(picture, slice_axis) for picture in pictures]
    gap = np.full((turned[0].shape[0], _GAP, 3), 255, np.uint8)
    row = [part for picture in turned for part in (gap, picture)][1:]
    write_picture(path, np.concatenate(row, axis=1))


def intensity_range(image: np.ndarray) -> tuple[float, float]:
    """Intensities shown as black and as white: 1st and 99th percentile, estimated from a sample of large images."""
    every = slice(None, None, max(1, round((image.size / _SAMPLE) ** (1 / image.ndim))))
    low, high = np.percentile(image[(every,) * image.ndim], (1, 99))
    return float(low), float(high)


def surroundings(labels: np.ndarray) -> list[tuple[int, int]]:
    """First voxel and end along each axis of the labels with an equal margin; the whole image if there is no label."""
    box = []
    for axis, length in enumerate(labels.shape):
        filled = np.flatnonzero(labels.any(axis=tuple(a for a in range(labels.ndim) if a != axis)))
        first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, length)
        side = min(length, max(_LEAST_VOXELS, 2 * (last - first)))
        start = min(max(0, (first + last - side) // 2), length - side)
        box.append((start, start + side))
    return box


def upright(picture: np.ndarray, slice_axis: int | None) -> np.ndarray:
    """Rotate [H, W, ...] so that anterior (axial) or superior is at the top, and a sagittal head faces left."""
    if slice_axis is None:
        return picture
    if slice_axis == 2:
        return np.rot90(picture)  # H grows to the right of the patient, W to the front
    return picture[::-1, ::-1] if slice_axis == 0 else picture[::-1]


def save_color_labels(
    gt_data: np.ndarray,
    binarize: bool,
    gt_filename: str | os.PathLike[str],
    output_filename: str | os.PathLike[str],
    slice_axis: int,
) -> np.ndarray:
    """Write the classes of a segmentation as one volume of colours (NIfTI data type RGB24).

    Args:
        gt_data: [K, H, W, D] in 0..1, in the orientation of the slices.
        binarize: Threshold at 0.5; otherwise soft values are shown as darker colours.
        gt_filename: Image that defines the grid of the labels.
        output_filename: NIfTI file to write.
        slice_axis: RAS axis along which slices were extracted (0 sagittal, 1 coronal, 2 axial).

    Returns:
        [H, W, D, 3] uint8; colours of overlapping classes are added.

    Raises:
        DataError: ``gt_filename`` cannot be read, or its grid has another shape.
    """
    classes = (gt_data >= 0.5).astype(np.float32) if binarize else np.clip(gt_data, 0, 1)
    colours = COLOURS[np.arange(len(classes)) % len(COLOURS)]
    rgb = np.einsum("k...,kc->...c", classes, colours).clip(0, 255).astype(np.uint8)
    grid = read_grid(gt_filename, slice_axis)
    if grid.hwd_shape != rgb.shape[:3]:
        raise DataError(
            f"{gt_filename}: has {grid.hwd_shape} voxels (height, width, depth), but the labels {rgb.shape[:3]}"
        )
    stored = np.stack([grid.to_native(rgb[..., c]) for c in range(3)], axis=-1)
    image = nib.Nifti1Image(np.ascontiguousarray(stored).view(_RGB)[..., 0], grid.affine)
    save_nifti(image, output_filename)
    return rgb
