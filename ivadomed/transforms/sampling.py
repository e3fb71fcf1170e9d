"""Reading images at arbitrary points: linear or nearest.

The coordinates of an axis run from -1 to 1 between the centres of its outermost voxels. Points outside give 0, as with
``scipy.ndimage.map_coordinates(mode="constant")``, or the value of the edge.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, hardshrink

SLACK = 2e-6
"""Distance outside that still counts as inside: rounding must not push the outermost voxels of an unmoved axis out."""

_FAR = 1e6  # points outside are moved this far (times the square of their coordinate), where nothing is read any more
_MOST_ROWS = 1 << 14  # up to here float32 tells 1/1024 of the distance between two rows


@lru_cache(maxsize=64)
def voxels_to_unit(sizes: tuple[int, ...]) -> np.ndarray:
    """Length of a voxel of each axis in the coordinates of `sample`, in which voxel 0 lies at -1."""
    return np.array([2 / max(n - 1, 1) for n in sizes])


def sample(x: Tensor, at: Tensor, order: int, *, edge: bool = False) -> Tensor:
    """Read every image of a batch at points of its own.

    Args:
        x: [B, C, *spatial], floating, 2 or 3 spatial axes.
        at: Coordinates, one array per spatial axis, [B, n, *out] float32 with as many axes of `out`; overwritten.
        order: 0 nearest, otherwise linear.
        edge: Outside there is the value of the edge, else 0.

    Returns:
        [B, C, *out], of the type of `x`.
    """
    sizes = x.shape[2:]
    if len(sizes) == 3 and order > 0 and not edge and min(sizes) > 1 and x.device.type == "cpu":
        planes = [_planes(points[0], sizes[0]) for points in at]
        if max(map(len, planes)) * sizes[1] <= _MOST_ROWS:
            out = x.new_empty((*x.shape[:2], *at.shape[2:]))
            for volume, points, between, target in zip(x, at, planes, out, strict=True):
                _sample_volume(volume, points, between, target)
            return out
    inside = []
    if not edge:
        inside = [(at[:, k] + 1).abs_() <= SLACK for k, n in enumerate(sizes) if n == 1]
        beyond = _beyond(at)
        at.addcmul_(beyond, beyond, value=_FAR)
    # The coordinates come in the order of the axes, torch wants the last axis first: so the axes are turned round.
    out = grid_sample(
        x.permute(0, 1, *range(len(sizes) + 1, 1, -1)),
        at.movedim(1, -1) if x.dtype == at.dtype else at.movedim(1, -1).to(x.dtype),
        mode="nearest" if order == 0 else "bilinear",
        padding_mode="border" if edge else "zeros",
        align_corners=True,
    )
    for mask in inside:
        out *= mask[:, None]
    return out


def _planes(at: Tensor, n: int) -> range:
    """Planes of a volume that have points between them and the next plane."""
    low, high = (int((float(q) + 1) * (n - 1) / 2) for q in at.aminmax())
    return range(min(max(low, 0), n - 2), min(max(high, 0), n - 2) + 1)


def _sample_volume(x: Tensor, at: Tensor, planes: range, out: Tensor) -> None:
    """Linear sampling of a volume [C, H, W, D] by the two-dimensional kernel, which is vectorized, the other is not.

    The planes are one image of rows (h, w) and columns d. A point between the planes h and h + 1 lies between what
    this image has at rows h W + w and (h + 1) W + w, which are two channels of one image.
    """
    _, height, width, depth = x.shape
    rows = len(planes) * width
    at[2].add_(_beyond(at).square_().sum(0), alpha=_FAR)
    h = at[0].add_(1).mul_((height - 1) / 2)
    below = h.floor().clamp_(planes[0], planes[-1])
    between = h.sub_(below)
    row = at[1].clamp_(-1, 1).add_(1).mul_((width - 1) / 2).add_(below.sub_(planes[0]), alpha=width)
    row.mul_(2 / (rows - 1)).sub_(1)
    points = at[1:].view(2, 1, -1).movedim(0, -1)[None]
    for image, target in zip(x, out, strict=True):
        pair = image.reshape(height * width, depth)[planes[0] * width :].unfold(0, rows, width)[:2]
        near, far = grid_sample(pair[None], points, align_corners=True).view(2, *between.shape)
        torch.lerp(near, far, between, out=target)


def _beyond(at: Tensor) -> Tensor:
    """0 for coordinates inside, those outside as they are."""
    return hardshrink(at, 1 + SLACK)
