"""Slices, patches and batches of a training, from the image sizes and the free memory of the machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ivadomed.geometry.grid import SLICE_AXES
from ivadomed.models.registry import Footprint
from ivadomed.models.sizing import plan_unet
from ivadomed.runtime.device import batch_voxels, define_device
from ivadomed.runtime.memory import available_memory
from ivadomed.suggest.pace import measure_pace
from ivadomed.suggest.recipe import CONTEXT, CROPPED_VOXELS, LABEL_MARGIN

Size = tuple[int, ...]

ANISOTROPY = 3.0
"""Ratio of voxel sizes above which an axis counts as coarse (nnU-Net; Isensee et al., Nature Methods 2021)."""
THIN = 8
"""Number of slices below which a third dimension is not useful."""
_ISOTROPIC = 1.2
_UNEVEN = 1.5
_SMALLEST = 16
_TRIES = 4
_UPDATES_OF_AN_EPOCH = 8
_GB = 1e9
_UNKNOWN = int(4 * _GB)
_SIDE = {True: {2: 512, 3: 128}, False: {2: 256, 3: 64}}  # nnU-Net's initial patch sizes on a GPU
_BATCH_SIZE = {2: 16, 3: 4}
_FILTERS = {True: {2: 32, 3: 32}, False: {2: 16, 3: 12}}
_WEIGHTS = {True: (1_000_000, 50_000_000), False: (100_000, 5_000_000)}  # per subject, and maximum
_FEWEST_WEIGHTS = 4_000_000

FILTERS = (32, 24, 16, 12, 8, 6, 4)
"""Feature maps of the first level of a network; the largest number suited to the data set is chosen."""
MOST_FILTERS = 10
"""Feature maps of the deepest level of a residual 3D U-Net, per feature map of the first (nnU-Net: 32 and 320)."""


@dataclass(frozen=True)
class SampleLimits:
    """Limits of a machine.

    Args:
        sample: Voxels of a sample.
        batch: Voxels of a batch.
        batch_size: Samples of a batch.
        memory: Bytes of a training step.
    """

    sample: int
    batch: int
    batch_size: int
    memory: int


@dataclass(frozen=True)
class Machine:
    """Machine for training.

    Args:
        gpu: True if there is a GPU, CUDA's or Apple's.
        memory: Free bytes: of the GPU if CUDA reports them, else of the system.
        pace: Floating-point operations per second of training steps, by number of axes and feature maps.
    """

    gpu: bool
    memory: int
    pace: Callable[[int, int], float]

    @classmethod
    def here(cls) -> Machine:
        """This machine; its pace is measured on demand, which takes a few seconds."""
        cuda, device = define_device([0])
        pace = partial(measure_pace, device)
        if cuda:
            return cls(True, torch.cuda.mem_get_info(device)[0], pace)
        return cls(device.type != "cpu", available_memory() or _UNKNOWN, pace)

    def limits(self, n_axes: int) -> SampleLimits:
        """Limits for samples of two or three axes; half of the memory is left for data and other processes."""
        most = batch_voxels(torch.device("cuda" if self.gpu else "cpu"))
        return SampleLimits(_SIDE[self.gpu][n_axes] ** n_axes, most, _BATCH_SIZE[n_axes], self.memory // 2)

    def filters(self, n_axes: int) -> int:
        """Feature maps of the first level of a network."""
        return _FILTERS[self.gpu][n_axes]

    def weights(self, subjects: int, timed: bool = False) -> int:
        """Maximum number of network weights that this number of subjects can train here in a first training.

        Args:
            subjects: Number of subjects.
            timed: True if a time budget already limits the network; the limit of a GPU then applies to a CPU too.
        """
        of_each, most = _WEIGHTS[self.gpu or timed]
        return min(max(of_each * subjects, _FEWEST_WEIGHTS), most)

    def __str__(self) -> str:
        return f"{'GPU' if self.gpu else 'CPU'} with {self.memory / _GB:.0f} GB free"


@dataclass(frozen=True)
class Samples:
    """Samples for the network.

    Args:
        size: Voxels of a sample along each axis.
        whole: True if a sample is a whole slice or volume.
        crop: Size to which images are first cropped or padded; None if not needed.
    """

    size: Size
    whole: bool
    crop: Size | None


def coarsest_axis(zooms: np.ndarray) -> str:
    """Name of the slice axis: the one with the coarsest voxels, axial if all are alike.

    Args:
        zooms: [3] voxel size in mm along right-left, posterior-anterior, inferior-superior.
    """
    if zooms.max() < _ISOTROPIC * zooms.min():
        return "axial"
    return next(name for name, axis in SLICE_AXES.items() if axis == int(zooms.argmax()))


def why_2d(zooms: np.ndarray, shape: np.ndarray) -> str:
    """Why slices should be segmented individually; empty if volumes should be segmented.

    Args:
        zooms: [3] voxel size in mm along height, width, depth.
        shape: [3] size in voxels.
    """
    ratio = zooms[2] / zooms[:2].max()
    if ratio > ANISOTROPY:
        return f"slices are {ratio:.1f} times as thick as pixels are wide; above {ANISOTROPY:g} neighbours tell little"
    if shape[2] < THIN:
        return f"{shape[2]:.0f} slices an image are too few for a third dimension"
    return ""


def choose_samples(
    shapes: np.ndarray,
    spacing: Sequence[float],
    limits: SampleLimits,
    network: Callable[[Size], Footprint],
    tight: Size | None = None,
) -> Samples:
    """Choose whole slices or volumes if their sizes are similar and fit into memory, else patches.

    Args:
        shapes: [N, 2 or 3] voxels of the images after resampling.
        spacing: Voxel size in mm along each axis.
        limits: Limits of the machine; two samples must fit.
        network: Function from the sample size to the size of the network.
        tight: See `tight_crop`.
    """
    largest, median, smallest = shapes.max(axis=0), np.median(shapes, axis=0), shapes.min(axis=0)

    def fits(size: Size) -> bool:
        enough = math.prod(size) <= limits.sample
        return enough and network(size).training_bytes(2, size) <= limits.memory

    if tight is not None and fits(tight):
        return Samples(tight, True, tight)
    whole = rounded(largest, spacing, math.ceil)
    if (largest <= _UNEVEN * median).all() and fits(whole):
        return Samples(whole, True, whole)
    size = rounded(median, spacing, math.floor)
    while not fits(size) and max(size) > _SMALLEST:
        # As in nnU-Net: the axis of which a patch covers the largest part.
        axis = int(np.argmax([n / m if n > _SMALLEST else 0 for n, m in zip(size, median, strict=True)]))
        smaller = tuple(n - max(n // 8, 1) if k == axis else n for k, n in enumerate(size))
        size = rounded(smaller, spacing, math.floor)
    padded = (smallest < size).any()
    return Samples(size, False, tuple(map(int, np.maximum(largest, size))) if padded else None)


def tight_crop(shapes: np.ndarray, spacing: Sequence[float], reach: np.ndarray) -> Size | None:
    """Size to which small images are cropped about their center: all labels, and at least most of the median image.

    Args:
        shapes: [N, 3] voxels of the images after resampling.
        spacing: mm along each axis.
        reach: [3] voxels about the center of an image that contain all labels.

    Returns:
        None if the images are large, or nothing would be cropped.
    """
    largest, median = shapes.max(axis=0), np.median(shapes, axis=0)
    needed = np.minimum(np.maximum(reach + 2 * LABEL_MARGIN, CONTEXT * median), largest)
    if math.prod(median) > CROPPED_VOXELS or (needed >= largest).all():
        return None
    return rounded(needed, spacing, math.ceil)


def rounded(
    size: Sequence[float] | np.ndarray, spacing: Sequence[float], up_or_down: Callable[[float], int]
) -> Size:
    """Next size divisible by all down-samplings of the network."""
    result = tuple(max(_SMALLEST if len(spacing) == 2 else THIN, int(n)) for n in size)
    for _ in range(_TRIES):
        grain = tuple(map(math.prod, zip(*plan_unet(result, spacing).strides, strict=True)))
        result = tuple(step * max(up_or_down(n / step), 1) for n, step in zip(result, grain, strict=True))
    return result


def choose_batch_size(size: Size, count: int, limits: SampleLimits, network: Footprint) -> int:
    """Largest power of two that fits and leaves several updates per epoch; at least two.

    Args:
        size: Sample size.
        count: Number of training samples.
        limits: Limits of the machine.
        network: Size of the network.
    """
    chosen = 2
    while (
        2 * chosen <= min(limits.batch_size, count / _UPDATES_OF_AN_EPOCH)
        and 2 * chosen * math.prod(size) <= limits.batch
        and network.training_bytes(2 * chosen, size) <= limits.memory
    ):
        chosen *= 2
    return chosen


def count_tiles(shapes: np.ndarray, size: Size, stride: Size) -> int:
    """Number of patches that cover images of these shapes, [N, 2 or 3]; one per image that is no larger."""
    tiles = np.ceil(np.maximum(shapes - np.array(size), 0) / np.array(stride)) + 1
    return int(tiles.prod(axis=1).sum())
