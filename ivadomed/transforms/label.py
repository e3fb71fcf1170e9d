"""Transforms of labels, and the conversion to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt, find_objects, generate_binary_structure, label

from ivadomed.transforms.arguments import number
from ivadomed.transforms.base import ImedTransform, Step, identity_step, intensity_step


class DilateGT(ImedTransform):
    """Dilate every lesion of a label by a margin that grows with its size, falling off softly.

    A lesion of area (volume) a gets ``n = round(dilation_factor * sqrt(a))`` rings of voxels, ring k with the
    value 1 - k / (n + 1). Where rings meet, the larger value holds.

    Args:
        dilation_factor: Rings per square root of the lesion's voxel count; 0 changes nothing.
    """

    geometric: ClassVar[bool] = False

    def __init__(self, dilation_factor: float) -> None:
        self.dil_factor = number("DilateGT", "dilation_factor", dilation_factor)

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Plan the dilation; nothing is drawn."""
        if self.dil_factor <= 0:
            return identity_step(shape, zooms)
        return intensity_step(shape, zooms, partial(_dilate_all, factor=self.dil_factor))

    def dilate_arr(self, arr: np.ndarray, dil_factor: float) -> np.ndarray:
        """Dilate the lesions of one array, [H, W] or [H, W, D]; see `dilate_lesions`."""
        return dilate_lesions(arr, dil_factor)


class NumpyToTensor(ImedTransform):
    """Convert arrays to one tensor [C, ...]; inside a pipeline, where all are arrays, it does nothing."""

    geometric: ClassVar[bool] = False

    def plan(
        self,
        shape: Sequence[int],
        zooms: Sequence[float],
        rng: np.random.Generator,
        roi: np.ndarray | None = None,
    ) -> Step:
        """Plan nothing."""
        return identity_step(shape, zooms)

    def __call__(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Stack an array, or a list of arrays, to a float32 tensor with a leading channel axis."""
        if isinstance(sample, torch.Tensor) or sample is None:
            return sample, metadata
        arrays = [sample] if isinstance(sample, np.ndarray) else list(sample)
        return torch.from_numpy(np.stack([np.asarray(a, dtype=np.float32) for a in arrays])), metadata

    def undo_transform(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Split a tensor [C, ...] into a list of arrays."""
        return (list(sample.numpy()) if isinstance(sample, torch.Tensor) else sample), metadata


def dilate_lesions(mask: np.ndarray, factor: float) -> np.ndarray:
    """Dilate every lesion of a mask softly, see `DilateGT`.

    Args:
        mask: Values above 0 are lesions; touching corners join in 2D, touching edges in 3D.
        factor: Rings per square root of the voxel count.

    Returns:
        float32, values of `mask` kept inside the lesions.
    """
    out = np.asarray(mask, dtype=np.float32).copy()
    if factor <= 0:
        return out
    lesions, _ = label(out > 0, structure=generate_binary_structure(out.ndim, 2))
    for index, box in enumerate(find_objects(lesions), start=1):
        rings = round(factor * np.sqrt(np.count_nonzero(lesions[box] == index)))
        if not rings:
            continue
        wide = tuple(slice(max(s.start - rings, 0), s.stop + rings) for s in box)
        distance = distance_transform_cdt(lesions[wide] != index, metric="taxicab")
        # No change inside a lesion: distance 0 would give 1 where a soft label has less.
        ring = np.where(distance > 0, 1 - distance / np.float32(rings + 1), 0)
        np.maximum(out[wide], ring, out=out[wide], casting="same_kind")
    return out


def _dilate_all(x: np.ndarray, factor: float) -> np.ndarray:
    return np.stack([dilate_lesions(entry, factor) for entry in x])
