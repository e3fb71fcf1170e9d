"""What follows from a survey and a machine: slices or volumes, voxel size, network, patch and batch."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from ivadomed.config import load_config
from ivadomed.geometry.grid import SLICE_AXES
from ivadomed.models.registry import Footprint, footprint
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
    unet_depth,
    why_2d,
)
from ivadomed.suggest.survey import Survey

TRAINING, TESTING = 0.6, 0.2
"""Shares of the subjects."""
_OVERLAP = 0.25


class StudyPlan:
    """The quantities of a training; each is computed once.

    Args:
        data: The data set.
        machine: Where it will be trained.
        minutes: Minutes that the training may take; None for as long as a first training usually does.
        n_axes: 2 for slices, 3 for volumes; None: by the thickness of the slices.

    Attributes:
        axis: Name of the slice axis.
        shapes: [N, 3] voxels of the images along height, width, depth.
        zooms: [N, 3] their voxel size in mm.
        spacing: Voxel size along the axes of a sample that all are resampled to.
        why_2d: Why slices are segmented one by one; empty where volumes are preferred.
    """

    def __init__(
        self, data: Survey, machine: Machine, minutes: float | None = None, n_axes: int | None = None
    ) -> None:
        self.data, self.machine, self.minutes = data, machine, minutes
        self.axis = coarsest_axis(np.median(data.sizes(SLICE_AXES["axial"])[1], axis=0))
        self.shapes, self.zooms = data.sizes(SLICE_AXES[self.axis])
        zooms, shape = np.median(self.zooms, axis=0), np.median(self.shapes, axis=0)
        self.why_2d = "pictures have two dimensions" if data.pictures else why_2d(zooms, shape)
        self.n_axes = n_axes or (2 if self.why_2d else 3)
        self.spacing = tuple(float(f"{mm:.3g}") for mm in zooms[: self.n_axes])
        self.limits = machine.limits(self.n_axes)
        self._networks: dict[tuple[Any, ...], Footprint] = {}

    @cached_property
    def resampled(self) -> np.ndarray:
        """[N, axes of a sample] voxels of the images after resampling."""
        shapes, zooms = self.shapes[:, : self.n_axes], self.zooms[:, : self.n_axes]
        factors = zooms / np.array(self.spacing) if self.data.known_zooms else np.ones_like(zooms)
        return np.maximum(np.round(shapes * factors), 1).astype(int)

    @cached_property
    def samples(self) -> Samples:
        """What the network is shown."""
        return choose_samples(self.resampled, self.spacing, self.limits, self._network)

    @cached_property
    def stride(self) -> Size:
        """Distance between patches; whole volumes are one patch."""
        size = self.samples.size
        return size if self.samples.whole else tuple(math.ceil(n * (1 - _OVERLAP)) for n in size)

    @cached_property
    def network(self) -> Footprint:
        """Size of the network."""
        return self._network(self.samples.size)

    @cached_property
    def count(self) -> int:
        """Training samples, about."""
        images = len(self.shapes) / (len(self.data.contrasts) if self.data.channels else 1)
        slices = self.shapes[:, 2].mean() if self.n_axes == 2 else 1
        tiles = count_tiles(self.resampled, self.samples.size, self.stride) / len(self.shapes)
        return max(int(TRAINING * images * slices * (1 if self.samples.whole else tiles)), 1)

    @cached_property
    def batch_size(self) -> int:
        """Samples of a batch."""
        return choose_batch_size(self.samples.size, self.count, self.limits, self.network)

    @cached_property
    def labelled_slices(self) -> float:
        """Share of the slices that have the rarest class, among the labels that were read."""
        axis = SLICE_AXES[self.axis]
        kinds = [kind for kind in self.data.targets.kinds if kind.slices]
        return min((float(np.mean([shares[axis] for shares in kind.slices])) for kind in kinds), default=1.0)

    @property
    def several(self) -> bool:
        """True when there are several classes that exclude each other."""
        return len(self.data.targets.kinds) > 1 and self.data.targets.apart

    @property
    def is_padded(self) -> bool:
        """True when images are padded to the size of the largest, or of a patch."""
        crop = self.samples.crop
        return crop is not None and bool((self.resampled < np.array(crop)).any())

    @property
    def channels(self) -> dict[str, Any]:
        """What decides about the channels of the network, as keys of the configuration."""
        return {
            "loader_parameters.target_suffix": list(self.data.targets.suffixes),
            "loader_parameters.contrast_params.training_validation": list(self.data.contrasts),
            "loader_parameters.multichannel": self.data.channels,
        }

    def architecture(self, size: Size) -> dict[str, Any]:
        """Name and size of the network for samples of a size, as keys of `default_model`."""
        most, budget = self.machine.filters(self.n_axes), self.machine.weights(self.data.subjects)
        widest = self._architecture(size, most)
        excess = self._footprint(widest, size).parameters / budget
        if excess <= 1:
            return widest
        near = most / math.sqrt(excess)  # weights grow with the square, about
        narrower = (self._architecture(size, n) for n in FILTERS if n < min(most, 1.2 * near))
        fitting = (one for one in narrower if self._footprint(one, size).parameters <= budget)
        return next(fitting, self._architecture(size, FILTERS[-1]))

    def _architecture(self, size: Size, n_filters: int) -> dict[str, Any]:
        activation = "softmax" if self.several else "sigmoid"
        if self.n_axes == 2:
            model: dict[str, Any] = {
                "name": "Unet",
                "is_2d": True,
                "depth": unet_depth(size),
                "n_filters": n_filters,
            }
        else:
            widest = {"max_filters": MOST_FILTERS * n_filters}
            model = {"name": "ResidualEncoderUnet", "is_2d": False, "n_filters": n_filters, **widest}
        return model | {"final_activation": activation}

    def _network(self, size: Size) -> Footprint:
        return self._footprint(self.architecture(size), size)

    def _footprint(self, architecture: dict[str, Any], size: Size) -> Footprint:
        """Footprint of a network for samples of a size, from the least configuration that makes it."""
        model = architecture | {f"length_{self.n_axes}D": list(size)}
        spacing = dict(zip(("hspace", "wspace", "dspace"), self.spacing, strict=False))
        changes = {**self.channels, "default_model": model, "transformation": {"Resample": spacing}}
        found = load_config({}, changes).architecture
        key = (found.name, str(found.arguments))
        if key not in self._networks:
            self._networks[key] = footprint(found.name, found.arguments, self.n_axes)
        return self._networks[key]
