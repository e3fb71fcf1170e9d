"""Packaged model: the folder written by a training and shipped by toolboxes, with one network or an ensemble."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ivadomed import config as configuration
from ivadomed.inference.averaging import MeanForward
from ivadomed.inference.backends import Loaded, open_model
from ivadomed.inference.engine import Engine, Progress
from ivadomed.inference.members import Member, members_of
from ivadomed.inference.options import mirror_axes_with, recipe_with
from ivadomed.inference.prediction import Prediction
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume, along
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.loader.recipe import MODEL_OF_2, conditioner_of, recipe_of, steps_of
from ivadomed.runtime.device import batch_voxels

if TYPE_CHECKING:
    from pathlib import Path

    from ivadomed.config import RunConfig

_WHOLE_SLICES = "predict whole slices with --no-patch (option no_patch of segment_volume)"
_PADDED = "pad the image, or add CenterCrop to transformation in {}, which pads too"


@dataclass(frozen=True, eq=False)
class PackagedModel:
    """A loaded packaged model: one network, or an ensemble of several whose soft predictions are averaged.

    Args:
        config: Part of its JSON file used by prediction, see ``config.packaged``.
        file: Its .pt or .onnx file; for an ensemble, that of the first member.
        forward: The network, or the mean of all members of an ensemble with the same preparation of images.
        device: Device of the network.
        place: JSON file, and the key in it for a member with its own settings.
        encoder: Encoder of a FiLM network.
        n_members: Number of networks in ``forward``.
        others: Members of an ensemble with another preparation of images.
    """

    config: RunConfig
    file: Path
    forward: Loaded | MeanForward
    device: torch.device
    place: str = ""
    encoder: FilmEncoder | None = None
    n_members: int = 1
    others: tuple[PackagedModel, ...] = ()

    @classmethod
    def open(cls, folder: str | os.PathLike[str], device: torch.device) -> PackagedModel:
        """Load a packaged model of any version, or an ensemble.

        Raises:
            ConfigError: A key of the JSON file needed for prediction is invalid.
            ModelError: The folder or its files are missing, or not a model.
        """
        first_of_its_kind: dict[str, PackagedModel] = {}
        alike: dict[str, list[Member]] = {}
        for member in members_of(folder):
            if member.as_first:
                preparation = next(iter(alike))
            else:
                model = cls.of(member, device)
                preparation = model.preparation
            if preparation in alike:
                alike[preparation].append(member)
            else:
                first_of_its_kind[preparation], alike[preparation] = model, []
        first, *others = (model._with(alike[key]) for key, model in first_of_its_kind.items())
        return replace(first, others=tuple(others))

    @classmethod
    def of(cls, member: Member, device: torch.device) -> PackagedModel:
        """Load one member of a packaged model.

        Raises:
            ConfigError: A key of its settings needed for prediction is invalid.
            ModelError: A file is missing, or not a model.
        """
        forward = open_model(member.weights, device, share_arena=not member.alone)
        config = configuration.packaged_config(member.settings, forward, member.place)
        forward.precision = config.training_parameters.precision
        encoder = None if config.metadata_type is None else member.film_encoder()
        return cls(config, member.weights, forward, device, member.place, encoder)

    def _with(self, more: Sequence[Member]) -> PackagedModel:
        """The mean of this model and others with the same preparation of images."""
        if not more:
            return self
        assert not isinstance(self.forward, MeanForward)
        precision = self.config.training_parameters.precision
        forward = MeanForward(self.forward, [member.weights for member in more], self.device, precision)
        return replace(self, forward=forward, n_members=1 + len(more))

    @property
    def preparation(self) -> str:
        """Everything that determines the windows of a case and how predictions are reassembled.

        Networks with equal values share prepared windows.
        """
        config, plain = self.config, self.config.to_json()
        return json.dumps(
            [
                config.transforms_for("testing"),
                [config.slice_axis_index, config.is_2d, config.length, config.stride],
                [config.blend or MODEL_OF_2.blend, config.mirror_axes or ()],
                [plain["loader_parameters"][key] for key in ("slice_filter_params", "roi_params")],
                plain["object_detection_params"],
                config.network.missing_contrasts,
                config.training_parameters.precision == "32",
                None if self.encoder is None else self.encoder.to_json(),
            ]
        )

    @property
    def n_networks(self) -> int:
        """Number of networks of the whole model."""
        return self.n_members + sum(part.n_members for part in self.others)

    @property
    def slice_axis(self) -> int:
        """RAS axis along which the volumes to predict are sliced."""
        return self.config.slice_axis_index

    def predict(
        self,
        volumes: Iterable[tuple[Case, Volume]],
        options: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Prediction]:
        """Yield the soft prediction of each case, in order; for an ensemble, the unweighted mean over all members.

        Args:
            volumes: Cases with their voxels along ``slice_axis``, read lazily.
            options: See ``engine``.
            progress: See ``Engine``.

        Raises:
            DataError: A window does not fit an image.
            ModelError: A network does not accept the samples, or has other classes than expected.
            MachineError: Out of memory.
        """
        parts = (self, *self.others)
        engines = [part.engine(options) for part in parts]
        if not self.others:
            engines[0].progress = progress
            yield from engines[0].run(volumes)
            return
        steps = _Steps(progress)
        weights = [part.n_members / self.n_networks for part in parts]
        for case, volume in volumes:
            total: Prediction | None = None
            for part, engine, weight in zip(parts, engines, weights, strict=True):
                engine.progress = steps.next_run()
                [prediction] = engine.run([(case, along(volume, part.slice_axis))])
                prediction.soft[:] *= np.float32(weight)
                if total is None:
                    total = prediction
                else:
                    total.soft[:] += prediction.soft
                del prediction
            del volume  # not needed while the next one is read
            assert total is not None
            yield total

    def engine(self, options: Mapping[str, Any] | None = None) -> Engine:
        """Prediction engine; ``options`` are "no_patch", "overlap_2D" and "mirror_axes", see ``segment_volume``."""
        config = self.config
        anchor = config.object_detection_params.anchor or MODEL_OF_2.anchor
        recipe = replace(recipe_of(config, "testing", self.device), anchor=anchor)
        recipe = recipe_with(options or {}, recipe)
        if recipe.fixed.needs_roi:  # regions where the prior is empty are not segmented
            least = max(recipe.slice_filter.min_roi_voxels or 0, 1)
            recipe = replace(recipe, slice_filter=replace(recipe.slice_filter, min_roi_voxels=least))
        return Engine(
            recipe=recipe,
            steps=steps_of(config, "testing"),
            forward=self.forward,
            n_classes=len(config.loader_parameters.target_suffix),
            batch_size=config.training_parameters.batch_size,
            max_voxels=batch_voxels(self.device, self.forward.n_filters),
            blend=config.blend or MODEL_OF_2.blend,
            mirror_axes=mirror_axes_with(options or {}, config.mirror_axes, config.is_2d),
            conditioner=conditioner_of(config, self.encoder or self.file.parent),
            source=os.fspath(self.file),
            patch_remedy=_WHOLE_SLICES if recipe.is_2d else _PADDED.format(self.place),
            device=self.forward.device,
        )


class _Steps:
    """Progress of several runs combined into one.

    Args:
        report: Called with all windows so far, or None.
    """

    def __init__(self, report: Progress | None) -> None:
        self._report = report
        self._before = self._now = (0, 0)

    def next_run(self) -> Progress | None:
        """Progress of the next run."""
        self._before = self._now
        return None if self._report is None else self._add

    def _add(self, done: int, total: int) -> None:
        assert self._report is not None
        self._now = self._before[0] + done, self._before[1] + total
        self._report(*self._now)
