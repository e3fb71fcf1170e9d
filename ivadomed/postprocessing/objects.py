"""Connected objects of a binary mask: labels and sizes, computed only inside their bounding box."""

from __future__ import annotations

from typing import Any, Literal

import cc3d
import numpy as np

from ivadomed.errors import ConfigError

FACES, EDGES, CORNERS = 1, 2, 3
"""Neighbors that belong to the same object: those that share a face, also an edge, also a corner.

The rank of ``scipy.ndimage.generate_binary_structure``: 6, 18 and 26 neighbours in 3D; 4, 8 and 8 in 2D."""

_CONNECTIVITY: dict[tuple[int, int], Literal[4, 6, 8, 18, 26]] = {
    (2, 1): 4,
    (2, 2): 8,
    (2, 3): 8,
    (3, 1): 6,
    (3, 2): 18,
    (3, 3): 26,
}


def binary_structure(rank: int) -> np.ndarray:
    """[3, 3, 3] neighbors of the center, as ``scipy.ndimage.generate_binary_structure(3, rank)``."""
    return np.abs(np.indices((3, 3, 3)) - 1).sum(axis=0) <= rank


def label_objects(mask: np.ndarray, rank: int = EDGES) -> tuple[np.ndarray, int]:
    """Number the connected objects of a mask.

    Args:
        mask: [H, W] or [H, W, D]; nonzero voxels are objects.
        rank: FACES, EDGES or CORNERS.

    Returns:
        Labels in the shape of the mask (0 background, 1..n objects), and n.

    Raises:
        ValueError: The mask does not have 2 or 3 axes.
    """
    if mask.ndim not in (2, 3):
        raise ValueError(f"label_objects: expected [H, W] or [H, W, D], got shape {mask.shape}")
    labels = np.zeros(mask.shape, np.uint32)
    box = bounding_box(mask)
    if box is None:
        return labels, 0
    # As uint8: for booleans, cc3d 4.1.1 with 26 neighbors writes past its buffer if the box is a thin line.
    filled = np.ascontiguousarray(mask[box] != 0).view(np.uint8)
    connectivity = _CONNECTIVITY[mask.ndim, rank]
    labels[box], count = cc3d.connected_components(filled, connectivity=connectivity, return_N=True)
    return labels, int(count)


def object_sizes(labels: np.ndarray, count: int) -> np.ndarray:
    """Voxels of each of ``count`` labelled objects: element 0 is object 1."""
    return np.bincount(labels[labels > 0], minlength=count + 1)[1:]


def select_objects(labels: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Mask of the objects for which ``kept`` is true; element 0 of ``kept`` is object 1."""
    return np.concatenate([[False], kept])[labels]


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Smallest box around the nonzero voxels; None for an empty mask."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        filled = np.flatnonzero(mask.any(axis=others))
        if not filled.size:
            return None
        box.append(slice(int(filled[0]), int(filled[-1]) + 1))
    return tuple(box)


def minimum_voxels(thr: float, unit: str, voxel_volume: float, key: str) -> int:
    """Smallest number of voxels that reaches a given size.

    Args:
        thr: Size in ``unit``.
        unit: "vox" or "mm3".
        voxel_volume: mm3 of one voxel.
        key: Configuration key, for the error message.

    Raises:
        ConfigError: Unknown unit.
    """
    if unit not in ("vox", "mm3"):
        raise ConfigError(f'{key}: unit {unit!r} is unknown; expected "vox" or "mm3"')
    voxels = thr if unit == "vox" else thr / voxel_volume
    return int(np.ceil(voxels - 1e-6))  # 3 mm3 are 30 voxels of 0.1 mm3, not 31


def per_class(thr: Any, n_classes: int, key: str) -> list[float]:
    """One threshold per class, from a single value or a list with one per class.

    Raises:
        ConfigError: The list has the wrong length.
    """
    values = [float(value) for value in thr] if isinstance(thr, (list, tuple)) else [float(thr)] * n_classes
    if len(values) != n_classes:
        raise ConfigError(
            f"{key}: {len(values)} values for {n_classes} classes; expected one number or one per class"
        )
    return values
