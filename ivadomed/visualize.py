"""Pictures for people: TensorBoard grids and overlays of predictions on images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ivadomed.colours import COLOURS
from ivadomed.files import atomic_path
from ivadomed.io import write_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch.utils.tensorboard import SummaryWriter

_GRID_COLUMNS = 8
_SLICE_PIXELS = 300
_MOST_PIXELS = 1200
_GAP = 4  # pixels between slices
_LEAST_VOXELS = 64
_OUTLINE = (255, 255, 0)  # yellow is no class colour and stands out from grey and white


def save_img(
    writer: SummaryWriter,
    epoch: int,
    dataset_type: str,
    input_samples: torch.Tensor,
    gt_samples: torch.Tensor,
    preds: torch.Tensor,
    is_three_dim: bool = False,
) -> None:
    """Write input, ground truth and prediction of one batch to TensorBoard.

    Args:
        writer: Where to.
        epoch: Step of the events.
        dataset_type: "Training" or "Validation", part of the tag.
        input_samples: [B, C, H, W] or [B, C, H, W, D]; the first channel is shown.
        gt_samples: [B, K, ...].
        preds: [B, K, ...].
        is_three_dim: Whether there is a depth axis; then the middle slice is shown.
    """
    image, truth, guess = (x.detach().float().cpu() for x in (input_samples, gt_samples, preds))
    if is_three_dim:
        image, truth, guess = (x[..., x.shape[-1] // 2] for x in (image, truth, guess))
    writer.add_image(f"{dataset_type}/Input", _grid(_grey(image[:, :1]).expand(-1, 3, -1, -1)), epoch)
    writer.add_image(f"{dataset_type}/Ground Truth", _grid(convert_labels_to_RGB(truth)), epoch)
    writer.add_image(f"{dataset_type}/Predictions", _grid(convert_labels_to_RGB(guess)), epoch)


def _grey(images: torch.Tensor) -> torch.Tensor:
    """Each image stretched to 0..1."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-8)


def _grid(images: torch.Tensor) -> torch.Tensor:
    """[B, 3, H, W] to one picture [3, rows * H, columns * W]."""
    columns = min(_GRID_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    padding = images.new_zeros(rows * columns - len(images), *images.shape[1:])
    cells = torch.cat([images, padding]).unflatten(0, (rows, columns))
    return cells.permute(2, 0, 3, 1, 4).flatten(1, 2).flatten(2, 3)


def convert_labels_to_RGB(grid_img: torch.Tensor) -> torch.Tensor:
    """Colour classes.

    Args:
        grid_img: [B, K, H, W] in 0..1.

    Returns:
        [B, 3, H, W] in 0..1; one class is white, several have one colour each.
    """
    if grid_img.shape[1] == 1:
        return grid_img.expand(-1, 3, -1, -1).clamp(0, 1)
    colours = torch.from_numpy(COLOURS / 255)[torch.arange(grid_img.shape[1]) % len(COLOURS)]
    return torch.einsum("bkhw,kc->bchw", grid_img, colours).clamp(0, 1)


def overlay(
    image: np.ndarray, masks: np.ndarray, truth: np.ndarray | None = None, scale: int = 1
) -> np.ndarray:
    """A slice with its segmentation painted over it and the ground truth as an outline.

    Args:
        image: [H, W] intensities.
        masks: [K, H, W] in 0..1.
        truth: [K, H, W], outlined in yellow.
        scale: Enlargement.

    Returns:
        [H * scale, W * scale, 3] uint8.
    """
    low, high = np.percentile(image, (1, 99))
    grey = np.clip((image - low) / max(high - low, 1e-8), 0, 1)
    picture = np.repeat(grey[..., None] * 255, 3, axis=-1)
    for k, mask in enumerate(masks):
        weight = 0.5 * np.clip(mask, 0, 1)[..., None]
        picture = picture * (1 - weight) + COLOURS[k % len(COLOURS)] * weight
    picture = _enlarge(picture.astype(np.uint8), scale)
    for mask in () if truth is None else truth:
        picture[_outline(_enlarge(mask >= 0.5, scale), 1 + scale // 4)] = _OUTLINE
    return picture


def _enlarge(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


def _outline(mask: np.ndarray, width: int) -> np.ndarray:
    """The pixels of a mask that are fewer than ``width`` pixels away from its outside."""
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
    """Write a picture of slices that hold a segmentation, cut to its surroundings.

    Args:
        path: PNG file.
        image: [H, W, D] intensities.
        masks: [K, H, W, D] prediction in 0..1.
        truth: [K, H, W, D] ground truth, outlined.
        n_slices: Slices shown, evenly spread over those with a label (all when there is none).
        slice_axis: RAS axis along which slices were taken, to turn them upright; None for pictures.
    """
    labels = np.any(masks if truth is None else np.concatenate([masks, truth]), axis=0)
    shown = np.any(labels, axis=(0, 1))
    candidates = np.flatnonzero(shown) if shown.any() else np.arange(image.shape[-1])
    places = candidates[
        np.unique(np.linspace(0, len(candidates) - 1, min(n_slices, len(candidates))).round().astype(int))
    ]
    box = _surroundings(np.any(labels, axis=2))
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


def _surroundings(labels: np.ndarray) -> tuple[slice, slice]:
    """The part of [H, W] to show: the labels and as much around them; of large pictures every n-th pixel."""
    box = []
    for axis, length in enumerate(labels.shape):
        filled = np.flatnonzero(labels.any(axis=1 - axis))
        first, last = (int(filled[0]), int(filled[-1]) + 1) if filled.size else (0, length)
        side = min(length, max(_LEAST_VOXELS, 2 * (last - first)))
        start = min(max(0, (first + last - side) // 2), length - side)
        box.append((start, start + side))
    step = -(-max(stop - start for start, stop in box) // _MOST_PIXELS)
    height, width = (slice(start, stop, step) for start, stop in box)
    return height, width


def upright(picture: np.ndarray, slice_axis: int | None) -> np.ndarray:
    """Turn [H, W, ...] so that anterior (axial) or superior is at the top, and a sagittal head looks to the left."""
    if slice_axis is None:
        return picture
    if slice_axis == 2:
        return np.rot90(picture)  # H grows to the right of the patient, W to the front
    return picture[::-1, ::-1] if slice_axis == 0 else picture[::-1]


def plot_transformed_sample(
    before: np.ndarray,
    after: np.ndarray,
    list_title: Sequence[str] | None = None,
    fname_out: str | os.PathLike[str] = "",
    cmap: str = "jet",
) -> Figure:
    """Plot a sample before and after a transform, side by side; a quick look while debugging.

    Args:
        before: [H, W] or [H, W, D]; of a volume the middle slice is shown.
        after: As ``before``; the shape may differ.
        list_title: Titles of the two.
        fname_out: Picture file to write; without one the plot is shown in a window.
        cmap: Colour map of matplotlib.
    """
    from matplotlib import pyplot  # only this picture and its window need it
    from matplotlib.figure import Figure

    figure = Figure((9, 4.5), layout="constrained") if fname_out else pyplot.figure(layout="constrained")
    sides = zip(figure.subplots(1, 2), (before, after), list_title or ("before", "after"), strict=True)
    for axes, array, title in sides:
        plane = np.squeeze(array)
        plane = plane[..., plane.shape[-1] // 2] if plane.ndim == 3 else plane
        shown = axes.imshow(plane, cmap=cmap, interpolation="nearest")
        figure.colorbar(shown, ax=axes, shrink=0.8)
        axes.set_title(title)
        axes.set_axis_off()
    if fname_out:
        with atomic_path(fname_out) as temporary:
            figure.savefig(temporary)
    else:
        pyplot.show()
    return figure
