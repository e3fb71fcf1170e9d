"""Transforms of labels, and the conversion to tensors."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from scipy.ndimage import distance_transform_cdt, find_objects, label

from ivadomed.registry.types import Doc, Real
from ivadomed.transforms.base import ImedTransform, transform
from ivadomed.transforms.steps import ArrayStep, Frame, IdentityStep, Step

_LESION = 0.5  # higher values belong to a lesion, as in ivadomed 2.9.10


@transform
class DilateGT(ImedTransform):
    """Dilate lesions of the ground truth in proportion to their size.

    The margin decreases gradually. The label is binarized: lesions are face-connected components (edge-connected in
    2D) of values above 0.5. A lesion of area (volume) a gets ``n = round(dilation_factor * sqrt(a))`` rings of voxels;
    ring k has the value ``(n + 1 - k) / (n + 1)``. Overlapping rings are summed, up to 1.
    """

    geometric: ClassVar[bool] = False
    keeps_type: ClassVar[bool] = False

    dilation_factor: Annotated[Real, Doc("Strength; 0 or less disables it.", 0.15)]

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Plan the dilation; not random."""
        if self.dilation_factor <= 0:
            return IdentityStep.on(frame)
        return ArrayStep.on(frame, function=partial(_dilate_all, factor=self.dilation_factor))

    def dilate_arr(self, arr: np.ndarray, dil_factor: float) -> np.ndarray:
        """Dilate the lesions of one array, [H, W] or [H, W, D]; see `dilate_lesions`."""
        return dilate_lesions(arr, dil_factor)


@transform
class NumpyToTensor(ImedTransform):
    """Convert arrays to a tensor [C, ...]; without effect in a pipeline, which uses arrays only."""

    geometric: ClassVar[bool] = False
    configurable: ClassVar[bool] = False

    def draw(self, frame: Frame, rng: np.random.Generator) -> Step:
        """Plan nothing."""
        return IdentityStep.on(frame)

    def __call__(self, sample: Any, metadata: Any = None) -> tuple[Any, Any]:
        """Stack an array, or a list of arrays, into a float32 tensor with a leading channel axis."""
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
        mask: [H, W] or [H, W, D], values 0 to 1.
        factor: Rings per square root of the voxel count.

    Returns:
        float32 in 0..1; `mask` itself if it is empty or the factor is not above 0.
    """
    mask = np.asarray(mask)
    if factor <= 0 or not mask.sum():
        return mask
    lesions, _ = label(mask > _LESION)
    out = np.zeros(mask.shape, np.float32)
    for index, box in enumerate(find_objects(lesions), start=1):
        rings = round(factor * np.sqrt(np.count_nonzero(lesions[box] == index)))
        wide = tuple(slice(max(side.start - rings, 0), side.stop + rings) for side in box)
        # Each dilation by a face-connected cross extends the taxicab distance by one.
        distance = distance_transform_cdt(lesions[wide] != index, metric="taxicab")
        values = (np.arange(rings + 1, -1, -1) / (rings + 1)).astype(np.float32)
        out[wide] += values[np.minimum(distance, rings + 1)]
    return np.minimum(out, 1, out=out)


def _dilate_all(x: np.ndarray, factor: float) -> np.ndarray:
    dilated = [dilate_lesions(entry, factor) for entry in x]
    unchanged = all(not np.any(entry) for entry in x)
    return np.stack(dilated).astype(x.dtype if unchanged else np.float32, copy=False)
