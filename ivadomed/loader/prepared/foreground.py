"""Labelled voxels of a prepared case, kept with what else is known of it: patches are centred on them.

A bounded number of each label is enough, and a patch is placed without reading a label (Isensee et al., "nnU-Net",
Nature Methods 18, 2021, keep class locations the same way).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

VOXELS = 512
"""Most voxels that are kept of one label."""


def pack_foreground(target: np.ndarray, is_2d: bool, soft_gt: bool) -> list[str]:
    """Pick labelled voxels of every rater of every class.

    Args:
        target: [R, H, W, D], or [N, R, h, w], a slice per entry, in 2D.
        is_2d: Which of the two.
        soft_gt: A voxel is labelled from any value above 0 on, else from 0.5 on.

    Returns:
        One text per rater, see `unpack_foreground`; empty without a labelled voxel.
    """
    volumes = np.moveaxis(target, 0, -1) if is_2d else target  # [R, H, W, D]
    rng = np.random.default_rng(0)  # the same case gives the same file
    packed = []
    for volume in volumes:
        places = np.flatnonzero(volume > 0 if soft_gt else volume >= 0.5)
        if len(places) > VOXELS:
            places = np.sort(rng.choice(places, VOXELS, replace=False))
        packed.append(base64.b64encode(places.astype("<u8").tobytes()).decode())
    return packed


def unpack_foreground(packed: str, shape: Sequence[int]) -> np.ndarray:
    """Places [n, 3] along H, W, D of the voxels in a volume of that shape."""
    places = np.frombuffer(base64.b64decode(packed), "<u8").astype(np.intp)
    return np.stack(np.unravel_index(places, tuple(shape)), axis=1)
