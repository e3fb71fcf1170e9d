"""Depth and width of a U-Net, derived from patch size and voxel size.

The rule of nnU-Net: Isensee et al., Nature Methods 2021, supplementary note 2 (topology), and 2024,
arXiv:2404.09556 (residual encoders). It needs only numbers, so configurations can be read without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from ivadomed.errors import ModelError

MIN_FEATURE_MAP = 4
"""Minimum number of voxels per axis of a feature map after pooling."""
N_FILTERS = 32
"""Feature maps of the first stage."""
_MAX_FILTERS = {2: 512, 3: 320}
# First stages of the published presets; every further stage has as many blocks as the last.
_N_BLOCKS = (1, 3, 4, 6)


@dataclass(frozen=True)
class UnetPlan:
    """Topology of a U-Net, with one stage more than downsampling steps.

    Args:
        kernel_sizes: Kernel size of each stage, 1 or 3 along each axis.
        strides: Stride of each downsampling, 1 or 2 along each axis.
        features: Feature maps of each stage.
        n_blocks: Residual blocks of each stage of the encoder.
    """

    kernel_sizes: tuple[tuple[int, ...], ...]
    strides: tuple[tuple[int, ...], ...]
    features: tuple[int, ...]
    n_blocks: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Number of downsampling steps."""
        return len(self.strides)


def plan_unet(
    size: Sequence[int] | None,
    spacing: Sequence[float],
    n_filters: int = N_FILTERS,
    max_filters: int | None = None,
    depth: int | None = None,
) -> UnetPlan:
    """Topology for patches of a given size and spacing, one entry per dimension of the network.

    An axis is halved while its feature map has at least 8 voxels and its voxels are less than twice as large as
    the smallest among such axes; if it is the only such axis, while it has at least 12. The kernel along an axis
    is 1 until its voxels are less than twice as large as the smallest, then 3; the deepest stage has 3 everywhere.
    Feature maps double from stage to stage up to a maximum.

    Args:
        size: Voxels of a patch along each axis; None if unknown, which requires `depth`.
        spacing: Voxel size in mm along each axis; only ratios matter.
        n_filters: Feature maps of the first stage.
        max_filters: Maximum feature maps of a stage; None for 512 in 2D and 320 in 3D.
        depth: Number of downsampling steps; None for as many as the rule allows.

    Raises:
        ModelError: The patch is too small for one downsampling step or for `depth` of them, or neither size nor
            depth is given.
    """
    if size is None and depth is None:
        raise ModelError(
            "depth: is not set, and there is no patch size to derive it from; set depth, or length_"
            f"{len(spacing)}D, or crop to a size"
        )
    extent = [sys.maxsize] * len(spacing) if size is None else list(size)
    voxel = list(spacing)
    kernel = [1] * len(voxel)
    strides: list[tuple[int, ...]] = []
    kernels: list[tuple[int, ...]] = []
    while depth is None or len(strides) < depth:
        halved = _axes_to_halve(extent, voxel)
        if not halved:
            break
        kernel = [3 if mm < 2 * min(voxel) else k for k, mm in zip(kernel, voxel, strict=True)]
        kernels.append(tuple(kernel))
        strides.append(tuple(2 if axis in halved else 1 for axis in range(len(voxel))))
        extent = [-(-n // step) for n, step in zip(extent, strides[-1], strict=True)]
        voxel = [mm * step for mm, step in zip(voxel, strides[-1], strict=True)]
    if len(strides) < (depth or 1):
        allowed = f"at most {len(strides)} down-samplings" if strides else "no down-sampling"
        raise ModelError(
            f"depth: patches of {list(size or ())} voxels allow {allowed} (feature maps keep {MIN_FEATURE_MAP} "
            f"voxels per axis), expected {depth or 'one at least'}; take larger patches or a smaller depth"
        )
    n_stages = len(strides) + 1
    return UnetPlan(
        kernel_sizes=(*kernels, (3,) * len(voxel)),
        strides=tuple(strides),
        features=stage_features(n_stages, n_filters, max_filters, is_2d=len(voxel) == 2),
        n_blocks=stage_blocks(n_stages),
    )


def _axes_to_halve(size: Sequence[int], spacing: Sequence[float]) -> list[int]:
    large = [axis for axis, n in enumerate(size) if n >= 2 * MIN_FEATURE_MAP]
    smallest = min((spacing[axis] for axis in large), default=0.0)
    chosen = [axis for axis in large if spacing[axis] < 2 * smallest]
    if len(chosen) == 1 and size[chosen[0]] < 3 * MIN_FEATURE_MAP:
        return []
    return chosen


def stage_features(n_stages: int, n_filters: int, max_filters: int | None, is_2d: bool) -> tuple[int, ...]:
    """Feature maps of each stage: doubled from `n_filters` up to `max_filters`, see `plan_unet`."""
    limit = _MAX_FILTERS[2 if is_2d else 3] if max_filters is None else max_filters
    return tuple(min(n_filters * 2**stage, limit) for stage in range(n_stages))


def stage_blocks(n_stages: int) -> tuple[int, ...]:
    """Residual blocks of each stage of the encoder: 1, 3, 4, 6, 6, ..."""
    return tuple(_N_BLOCKS[min(stage, len(_N_BLOCKS) - 1)] for stage in range(n_stages))
