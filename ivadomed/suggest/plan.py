"""Plan derived from a survey and a machine: slices or volumes, voxel size, network, patch and batch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ivadomed.config import load_config
from ivadomed.geometry.grid import HWD_OF_RAS, SLICE_AXES
from ivadomed.models.registry import Footprint, footprint
from ivadomed.models.sizing import plan_unet
from ivadomed.suggest.recipe import (
    FEWEST_EPOCHS,
    FEWEST_EPOCHS_OF_A_BUDGET,
    FULL_FROM_PASSES,
    LADDER,
    LEAST_BOX,
    LESION_PATCH,
    MORE_EPOCHS,
    MOST_EPOCHS,
    OVERLAP,
    SAFETY_FACTOR,
    SAMPLES_OF_AN_UPDATE,
    TIME_OF_UPDATES,
    UPDATES,
    UPDATES_OF_A_BATCH,
    UPDATES_OF_A_PASS,
    USEFUL,
    Rung,
)
from ivadomed.suggest.sizes import (
    FILTERS,
    MOST_FILTERS,
    Machine,
    Samples,
    Size,
    choose_batch_size,
    choose_samples,
    coarsest_axis,
    count_tiles,
    rounded,
    tight_crop,
    why_2d,
)
from ivadomed.suggest.survey import Survey

TRAINING, TESTING = 0.6, 0.2
"""Fractions of the subjects."""
_SIDE = re.compile(r"left|right|(?<![a-z])[lr]h?(?![a-z])", re.IGNORECASE)
_PREDICTION = 1 / 3
"""Fraction of the operations of a training step; the backward pass has twice as many."""
_NARROW = (4, 6, 8)
"""Feature maps of the narrow networks from which wider ones are extrapolated."""
_ENOUGH_LABELS = 64
"""Minimum number of images (or all) whose labels must be read to infer the location of labels in the others."""


class StudyPlan:
    """Quantities of a training, each computed once.

    Args:
        data: The data set.
        machine: Machine for training.
        minutes: Maximum duration of the training; None: the usual duration of a first training.
        n_axes: 2 for slices, 3 for volumes; None: chosen by the slice thickness.
        spacing: Voxel size in mm, along the axes of a sample, to which images are resampled; None: the median.
        in_boxes: True if the network works in bounding boxes found by a detection model.

    Attributes:
        axis: Name of the slice axis.
        shapes: [N, 3] voxels of the images along height, width, depth.
        zooms: [N, 3] voxel size of the images in mm.
        spacing: Voxel size along the axes of a sample after resampling.
        why_2d: Why slices are segmented individually; empty if volumes are preferred.
    """

    def __init__(
        self,
        data: Survey,
        machine: Machine,
        minutes: float | None = None,
        n_axes: int | None = None,
        spacing: Sequence[float] | None = None,
        in_boxes: bool = False,
    ) -> None:
        self.data, self.machine, self.minutes, self.in_boxes = data, machine, minutes, in_boxes
        self.axis = coarsest_axis(np.median(data.sizes(SLICE_AXES["axial"])[1], axis=0))
        self.shapes, self.zooms = data.sizes(SLICE_AXES[self.axis])
        zooms, shape = np.median(self.zooms, axis=0), np.median(self.shapes, axis=0)
        self.why_2d = "pictures have two dimensions" if data.pictures else why_2d(zooms, shape)
        self.n_axes = n_axes or (2 if self.why_2d else 3)
        self.is_lowered = spacing is not None
        self.spacing = tuple(float(f"{mm:.3g}") for mm in (spacing or zooms)[: self.n_axes])
        self.limits = machine.limits(self.n_axes)

    @cached_property
    def resampled(self) -> np.ndarray:
        """[N, axes of a sample] voxels of the images after resampling."""
        shapes, zooms = self.shapes[:, : self.n_axes], self.zooms[:, : self.n_axes]
        factors = zooms / np.array(self.spacing) if self.data.known_zooms else np.ones_like(zooms)
        return np.maximum(np.round(shapes * factors), 1).astype(int)

    @cached_property
    def boxes(self) -> np.ndarray:
        """[M, axes of a sample] voxels of the boxes around objects, enlarged like those of a detection model."""
        extent = self._along_axes(self.data.foreground.extent) * SAFETY_FACTOR
        return np.ceil(extent).clip(LEAST_BOX).clip(max=np.median(self.resampled, axis=0)).astype(int)

    @cached_property
    def samples(self) -> Samples:
        """Samples for the network."""
        if not self.in_boxes:
            limits = self.limits
            if self.lesions and self.n_axes == 3:
                share = LESION_PATCH * np.median(self.resampled, axis=0).prod()
                limits = replace(limits, sample=min(limits.sample, int(share)))
            return choose_samples(self.resampled, self.spacing, limits, self._network, self._tight)
        # The box is enlarged to the patch size, which therefore must not exceed any image.
        size = choose_samples(self.boxes, self.spacing, self.limits, self._network).size
        within = np.minimum(size, self.resampled.min(axis=0))
        return Samples(rounded(within, self.spacing, math.floor), False, None)

    @cached_property
    def _tight(self) -> Size | None:
        """See `tight_crop`; also None if the labels of too few images were read."""
        found = self.data.foreground
        if self.n_axes == 2 or self.is_lowered or not found.extent.size:
            return None
        if not (found.complete or len(found.reach) >= _ENOUGH_LABELS):
            return None
        reach = np.ceil(self._along_axes(found.reach).max(axis=0))
        return tight_crop(self.resampled, self.spacing, reach)

    def _along_axes(self, mm: np.ndarray) -> np.ndarray:
        """Convert mm along RAS axes, [M, 3], to voxels, [M, axes of a sample]."""
        order = HWD_OF_RAS[SLICE_AXES[self.axis]]
        return mm[:, list(order)][:, : self.n_axes] / np.array(self.spacing)

    @cached_property
    def stride(self) -> Size:
        """Distance between patches; whole volumes are one patch."""
        size = self.samples.size
        if self.samples.whole:
            return size
        strides = (tuple(math.ceil(n * (1 - overlap)) for n in size) for overlap in (OVERLAP, OVERLAP / 2))
        return next((stride for stride in strides if self._can_validate(stride)), size)

    def _can_validate(self, stride: Size) -> bool:
        """True if the budget allows a few validations, which cover all patches of their images."""
        if self.minutes is None:
            return True
        size = self.samples.size
        tiles = count_tiles(self._shown, size, stride) / len(self._shown)
        patches = self._images * (1 - TRAINING - TESTING) / TRAINING * tiles
        predictions = patches * FEWEST_EPOCHS_OF_A_BUDGET * _PREDICTION
        return (
            predictions * self._seconds(self.architecture(size), size)
            <= (1 - TIME_OF_UPDATES) * 60 * self.minutes
        )

    @cached_property
    def network(self) -> Footprint:
        """Size of the network."""
        return self._network(self.samples.size)

    @cached_property
    def count(self) -> int:
        """Approximate number of training samples per epoch."""
        return self._tiles if self.per_image is None else max(round(self.per_image * self._cases), 1)

    @property
    def _tiles(self) -> int:
        """Approximate number of samples that cover the training images."""
        tiles = count_tiles(self._shown, self.samples.size, self.stride) / len(self._shown)
        return max(int(self._images * (1 if self.samples.whole else tiles)), 1)

    @cached_property
    def per_image(self) -> int | None:
        """Patches per image and epoch; None for as many as cover the image.

        If those make epochs too long for the budget, there are fewer patches and more epochs, because the learning
        rate changes and the best model is chosen between epochs. Validation always covers whole images.
        """
        if self.minutes is None or self.samples.whole:
            return None
        affordable = self._affordable_samples
        epochs = affordable / self._tiles
        if epochs >= FEWEST_EPOCHS_OF_A_BUDGET:
            return None
        wanted = min(max(epochs * MORE_EPOCHS, 1), FEWEST_EPOCHS_OF_A_BUDGET)
        return max(int(affordable / wanted / self._cases), 1)

    def _samples_of_a_pass(self, size: Size) -> float:
        """Number of samples with as many voxels as the training images, at least one per image."""
        voxels = self._shown.prod(axis=1) / math.prod(size)
        return max(self._images * float(np.maximum(voxels, 1).mean()), 1)

    @property
    def _shown(self) -> np.ndarray:
        """[N, axes of a sample] voxels of the images or boxes that samples are taken from."""
        if self.in_boxes:
            return self.boxes
        return self.resampled if self._tight is None else np.minimum(self.resampled, self._tight)

    @property
    def _images(self) -> float:
        """Number of images in the training set, or of their slices."""
        return float(self._cases * (self.shapes[:, 2].mean() if self.n_axes == 2 else 1))

    @property
    def _cases(self) -> float:
        """Number of images in the training set, counting multichannel ones once."""
        return TRAINING * len(self.shapes) / (len(self.data.contrasts) if self.data.channels else 1)

    @cached_property
    def batch_size(self) -> int:
        """Samples per batch."""
        size, limits = self.samples.size, self.limits
        if self.minutes is not None:
            most = int(self._affordable_samples / UPDATES_OF_A_BATCH)
            limits = replace(limits, batch_size=min(limits.batch_size, most))
        return choose_batch_size(size, self.count, limits, self.network)

    @cached_property
    def epochs(self) -> int:
        """Number of epochs; approximate within a budget."""
        updates = math.ceil(self.count / self.batch_size)
        if self.minutes is None:
            wanted = round(UPDATES[self.machine.gpu] / updates, -1)
            return int(min(max(wanted, FEWEST_EPOCHS), MOST_EPOCHS))
        return max(int(self._affordable_samples / self.count), 1)

    @property
    def updates(self) -> int:
        """Weight updates of the whole training."""
        return self.epochs * math.ceil(self.count / self.batch_size)

    @property
    def passes(self) -> float:
        """Approximate number of times that the training shows each voxel of its images."""
        shown = self._images if self.samples.whole else self._samples_of_a_pass(self.samples.size)
        return self.epochs * self.count / shown

    @cached_property
    def _affordable_samples(self) -> float:
        """Number of samples that the network can train on within the budget."""
        size = self.samples.size
        return self._samples_in_time(self.architecture(size), size)

    def _samples_in_time(self, architecture: dict[str, Any], size: Size) -> float:
        """Number of samples that a network can train on within the budget."""
        return (self.minutes or math.inf) * 60 * TIME_OF_UPDATES / self._seconds(architecture, size)

    def _seconds(self, architecture: dict[str, Any], size: Size) -> float:
        """Training time per sample."""
        work = self._footprint(architecture, size).training_flops(1, size)
        return work / self.machine.pace(self.n_axes, architecture["n_filters"])

    @property
    def useful_minutes(self) -> float:
        """Minimum useful length of a training compared with others: below it, networks are tiny or undertrained."""
        size = self.samples.size
        network = self._architecture(size, USEFUL.n_filters, USEFUL.n_blocks)
        return self._samples_needed(USEFUL, size) * self._seconds(network, size) / (60 * TIME_OF_UPDATES)

    @property
    def prediction_minutes(self) -> float:
        """Duration of the prediction of all images, including mirrored ones."""
        size = self.samples.size
        tiles = self._tiles / TRAINING * 2 ** len(self.mirrored)
        return tiles * self._seconds(self.architecture(size), size) * _PREDICTION / 60

    @property
    def pace(self) -> float:
        """Floating-point operations per second of training steps."""
        return self.machine.pace(self.n_axes, self.architecture(self.samples.size)["n_filters"])

    @cached_property
    def labelled_slices(self) -> float:
        """Fraction of slices with the rarest class, among the labels read."""
        axis = SLICE_AXES[self.axis]
        kinds = [kind for kind in self.data.targets.kinds if kind.slices]
        return min((float(np.mean([shares[axis] for shares in kind.slices])) for kind in kinds), default=1.0)

    @property
    def lesions(self) -> bool:
        """True if all classes are lesions."""
        return all(kind.lesions for kind in self.data.targets.kinds)

    @property
    def several(self) -> bool:
        """True if there are several mutually exclusive classes."""
        return len(self.data.targets.kinds) > 1 and self.data.targets.apart

    @property
    def padding(self) -> float:
        """Fraction of padding voxels in a median sample."""
        crop = self.samples.crop
        if crop is None:
            return 0.0
        kept = np.minimum(np.median(self.resampled, axis=0) / np.array(crop), 1)
        return 1 - float(kept.prod())

    @property
    def mirror_axes(self) -> list[int]:
        """Axes of a sample along which images may be mirrored: all, except right-left if classes have a side."""
        right_left = HWD_OF_RAS[SLICE_AXES[self.axis]].index(0)
        sided = any(_SIDE.search(suffix) for suffix in self.data.targets.suffixes)
        return [axis for axis in range(self.n_axes) if not (sided and axis == right_left)]

    @property
    def times_shown(self) -> str:
        """Number of passes as text."""
        return f"{self.passes:.0f}" if self.passes >= 10 else f"{self.passes:.2g}"

    @property
    def is_long(self) -> bool:
        """True if each image is shown often enough for full-strength augmentation."""
        return self.passes >= FULL_FROM_PASSES

    @property
    def mirrored(self) -> list[int]:
        """Axes mirrored in augmentation and possibly in prediction."""
        return self.mirror_axes if self.is_long or self.data.pictures else []

    @property
    def channels(self) -> dict[str, Any]:
        """Configuration keys that determine the channels of the network."""
        return {
            "loader_parameters.target_suffix": list(self.data.targets.suffixes),
            "loader_parameters.contrast_params.training_validation": list(self.data.contrasts),
            "loader_parameters.multichannel": self.data.channels,
        }

    def architecture(self, size: Size) -> dict[str, Any]:
        """Name and size of the network for samples of a size, as keys of `default_model`."""
        if self.minutes is not None:
            return self._affordable(size)
        most, budget = self.machine.filters(self.n_axes), self.machine.weights(self.data.subjects)
        blocks = () if self.machine.gpu else USEFUL.n_blocks
        widest = self._architecture(size, most, blocks)
        excess = self._footprint(widest, size).parameters / budget
        if excess <= 1:
            return widest
        near = most / math.sqrt(excess)  # weights grow approximately with the square
        narrower = (self._architecture(size, n, blocks) for n in FILTERS if n < min(most, 1.2 * near))
        fitting = (one for one in narrower if self._footprint(one, size).parameters <= budget)
        return next(fitting, self._architecture(size, FILTERS[-1], blocks))

    def _affordable(self, size: Size) -> dict[str, Any]:
        """Largest network whose required passes fit into the budget."""
        weights = self.machine.weights(self.data.subjects, timed=True)
        chosen = self._architecture(size, LADDER[0].n_filters, LADDER[0].n_blocks)
        for rung in LADDER[1:]:
            wider = self._architecture(size, rung.n_filters, rung.n_blocks)
            if self._footprint(wider, size).parameters > weights:
                break
            if self._samples_in_time(wider, size) < self._samples_needed(rung, size):
                break
            chosen = wider
        return chosen

    def _samples_needed(self, rung: Rung, size: Size) -> float:
        """Number of samples that the network of a rung needs for training."""
        updates = self._samples_of_a_pass(size) / SAMPLES_OF_AN_UPDATE[self.n_axes]
        least, most = UPDATES_OF_A_PASS
        return rung.passes * min(max(updates, least), most) * SAMPLES_OF_AN_UPDATE[self.n_axes]

    def _architecture(self, size: Size, n_filters: int, n_blocks: Sequence[int] = ()) -> dict[str, Any]:
        model: dict[str, Any] = {"name": "ResidualEncoderUnet", "is_2d": self.n_axes == 2}
        model |= {"n_filters": n_filters, "max_filters": MOST_FILTERS * n_filters}
        if n_blocks:
            depth = plan_unet(size, self.spacing).depth
            blocks = [*n_blocks, *[n_blocks[-1]] * depth][: depth + 1]
            model |= {"depth": depth, "n_blocks": blocks}
        return model | {"final_activation": "softmax" if self.several else "sigmoid"}

    def _network(self, size: Size) -> Footprint:
        return self._footprint(self.architecture(size), size)

    def _footprint(self, architecture: dict[str, Any], size: Size) -> Footprint:
        """Footprint of a network for a sample size; if it is wide, extrapolated from narrow ones to save time."""
        n_filters = architecture["n_filters"]
        if n_filters <= _NARROW[-1]:
            return self._measured(architecture, size)
        narrow = []
        for n in _NARROW:
            widths = {"n_filters": n, "max_filters": MOST_FILTERS * n}
            narrow.append(self._measured(architecture | widths, size))
        return extrapolated(_NARROW, narrow, n_filters)

    def _measured(self, architecture: dict[str, Any], size: Size) -> Footprint:
        """Footprint of a network, from its minimal configuration."""
        model = architecture | {f"length_{self.n_axes}D": list(size)}
        spacing = dict(zip(("hspace", "wspace", "dspace"), self.spacing, strict=False))
        changes = {**self.channels, "default_model": model, "transformation": {"Resample": spacing}}
        found = load_config({}, changes).architecture
        return _footprint_of(found.name, json.dumps(found.arguments, sort_keys=True), self.n_axes)


def extrapolated(n_filters: Sequence[int], narrow: Sequence[Footprint], wanted: int) -> Footprint:
    """Footprint of a wide network: weights and operations are quadratic in its feature maps, memory is linear.

    Args:
        n_filters: Feature maps of the first stage of three networks that differ only in width.
        narrow: Footprints of these networks.
        wanted: Feature maps of the first stage of the wide network.
    """
    weights, memory, work = zip(
        *((f.parameters, f.bytes_per_voxel, f.flops_per_voxel) for f in narrow), strict=True
    )
    at = [float(np.polyval(np.polyfit(n_filters, values, 2), wanted)) for values in (weights, memory, work)]
    return Footprint(round(at[0]), at[1], at[2])


@lru_cache(maxsize=256)
def _footprint_of(name: str, arguments: str, n_axes: int) -> Footprint:
    """Footprint of a network, cached by its arguments as JSON, which candidates often share."""
    return footprint(name, json.loads(arguments), n_axes)
