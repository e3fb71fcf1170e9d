"""Pictures of a batch in TensorBoard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ivadomed.visualize import COLOURS

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_GRID_COLUMNS = 8


def save_img(
    writer: SummaryWriter,
    epoch: int,
    dataset_type: str,
    input_samples: torch.Tensor,
    gt_samples: torch.Tensor,
    preds: torch.Tensor,
    wandb_tracking: Any = False,
    is_three_dim: bool = False,
) -> None:
    """Write input, ground truth and prediction of one batch to TensorBoard, and to wandb if a run is given.

    Args:
        writer: TensorBoard writer.
        epoch: Step of the events.
        dataset_type: "Training" or "Validation", part of the tag.
        input_samples: [B, C, H, W] or [B, C, H, W, D]; the first channel is shown.
        gt_samples: [B, K, ...].
        preds: [B, K, ...].
        wandb_tracking: A ``wandb.Run`` that gets the same pictures; True for the run of this process; else none.
        is_three_dim: True if there is a depth axis; the middle slice is shown.
    """
    image, truth, guess = (x.detach().float().cpu() for x in (input_samples, gt_samples, preds))
    if is_three_dim:
        image, truth, guess = (x[..., x.shape[-1] // 2] for x in (image, truth, guess))
    pictures = {
        "Input": _grid(_grey(image[:, :1]).expand(-1, 3, -1, -1)),
        "Ground Truth": _grid(convert_labels_to_RGB(truth)),
        "Predictions": _grid(convert_labels_to_RGB(guess)),
    }
    for name, picture in pictures.items():
        writer.add_image(f"{dataset_type}/{name}", picture, epoch)
    if wandb_tracking:
        import wandb

        shown = {f"{dataset_type}/{name}": wandb.Image(picture) for name, picture in pictures.items()}
        run = wandb if wandb_tracking is True else wandb_tracking
        run.log(shown | {"epoch": epoch})


def _grey(images: torch.Tensor) -> torch.Tensor:
    """Rescale each image to 0..1."""
    low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
    return (images - low) / (high - low).clamp_min(1e-8)


def _grid(images: torch.Tensor) -> torch.Tensor:
    """Tile [B, 3, H, W] into one picture [3, rows * H, columns * W]."""
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
        [B, 3, H, W] in 0..1; a single class is white, several have one colour each.
    """
    if grid_img.shape[1] == 1:
        return grid_img.expand(-1, 3, -1, -1).clamp(0, 1)
    colours = torch.from_numpy(COLOURS / 255)[torch.arange(grid_img.shape[1]) % len(COLOURS)]
    return torch.einsum("bkhw,kc->bchw", grid_img, colours).clamp(0, 1)
