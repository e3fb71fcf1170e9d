"""The prediction of a case: from windows of the preprocessed image to the grid of the image itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ivadomed.geometry.grid import Grid
from ivadomed.geometry.layout import contiguous, copy_voxels
from ivadomed.geometry.windows import Window
from ivadomed.inference.canvas import Canvas
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.prepare import LABEL_ORDER
from ivadomed.transforms import Plan
from ivadomed.transforms.resampling import as_tensor


@dataclass(frozen=True, eq=False)
class Prediction:
    """Prediction of one case, on the image's own grid.

    Args:
        case: The predicted case.
        soft: [X, Y, Z, K] float32 in 0..1, native orientation.
        grid: Grid of the image.
        header: NIfTI header of the image, None for pictures.
    """

    case: Case
    soft: np.ndarray
    grid: Grid
    header: Any


@dataclass(eq=False)
class PendingPrediction:
    """A case in progress.

    Args:
        case: The case.
        grid: Grid of its image.
        header: NIfTI header of the image, None for pictures.
        plans: Fixed steps: one plan per slice (2D) or one (3D).
        shape: [H, W, D] after the fixed steps.
        windows: All windows.
        condition: Condition of the network, or None.
        repeat: Number of this prediction among those of the case.
        canvas: Its windows so far; None before the first.
    """

    case: Case
    grid: Grid
    header: Any
    plans: Sequence[Plan]
    shape: tuple[int, ...]
    windows: Sequence[Window]
    condition: np.ndarray | None
    repeat: int = 0
    canvas: Canvas | None = None

    def canvas_for(self, predictions: torch.Tensor, blend: str) -> Canvas:
        """Canvas of the case, for predictions [B, K, ...] such as these."""
        if self.canvas is None:
            shape = (predictions.shape[1], *self.shape)
            self.canvas = Canvas(shape, self.windows, blend, predictions.device, in_one=self._is_on_grid)
        return self.canvas

    @property
    def complete(self) -> bool:
        """True once all windows are predicted."""
        return not self.windows or (self.canvas is not None and self.canvas.complete)

    def finish(self, n_classes: int, is_2d: bool) -> Prediction:
        """The prediction on the grid of the image; everything is 0 if no window was left."""
        if self.canvas is None:  # every slice was left out
            soft = np.zeros((*self.grid.shape, n_classes), np.float32)
            return Prediction(self.case, soft, self.grid, self.header)
        if self._is_on_grid:
            soft = self.canvas.pop()
        else:  # class by class, to avoid a second copy of a large volume with many classes
            soft = np.empty((n_classes, *self.grid.hwd_shape), np.float32)
            for k, mean in enumerate(self.canvas.pop_classes()):
                copy_voxels(soft[k], undo_fixed_steps(mean[None], self.plans, is_2d)[0])
        return Prediction(self.case, np.moveaxis(self.grid.to_native(soft), 0, -1), self.grid, self.header)

    @property
    def _is_on_grid(self) -> bool:
        """True if predictions are on the grid of the image: nothing was resampled or cropped."""
        return not any(map(_moves, self.plans))


def undo_steps(prediction: torch.Tensor, plan: Plan) -> torch.Tensor:
    """The prediction [K, ...] of a sample without the geometric steps of its plan."""
    if not _moves(plan):
        return prediction
    return as_tensor(np.asarray(plan.invert(prediction.cpu().numpy(), "gt", LABEL_ORDER), np.float32))


def _moves(plan: Plan) -> bool:
    return any(step.invertible and "gt" in kinds for kinds, step in plan.steps)


def undo_fixed_steps(volume: np.ndarray, plans: Sequence[Plan], is_2d: bool) -> np.ndarray:
    """Undo resampling and cropping on a prediction.

    Args:
        volume: [K, h, w, d] prediction on the preprocessed grid.
        plans: One per slice (2D) or one (3D).
        is_2d: True for slices, False for a volume.

    Returns:
        [K, H, W, D] on the image's grid in HWD order; 0 outside the crop.
    """
    if not is_2d:
        return plans[0].invert(volume, "gt", LABEL_ORDER)
    stack = contiguous(np.moveaxis(volume, -1, 0))
    if all(plan is plans[0] for plan in plans):
        depth, classes, *shape = stack.shape
        flat = plans[0].invert(stack.reshape(depth * classes, *shape), "gt", LABEL_ORDER)
        stack = flat.reshape(depth, classes, *flat.shape[1:])
    else:
        stack = np.stack([p.invert(s, "gt", LABEL_ORDER) for p, s in zip(plans, stack, strict=True)])
    return np.moveaxis(stack, 0, -1)
