"""Filters of slices by the content of the image, its labels and its region of interest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivadomed.errors import ConfigError, ModelError
from ivadomed.geometry.boxes import inside_box
from ivadomed.loader.cases.volumes import Volume
from ivadomed.models import load_model
from ivadomed.transforms import Pipeline

KEY = "loader_parameters.slice_filter_params.classifier_path"
CPU = torch.device("cpu")
_BATCH = 16


@dataclass(frozen=True)
class SliceStatistics:
    """Statistics of each slice of the image as read, for filters, and voxels of its labels.

    Args:
        input_varies: Per slice, True if every available channel has more than one intensity.
        labelled: Per slice and rater, True if the label is not empty.
        roi_voxels: Per slice, voxels of the ROI (in the box, if any); empty without an ROI.
        in_box: Per slice, True if it intersects the bounding box; empty without a box.
        accepted: Per slice, True if the classifier accepts it; empty without a classifier.
        foreground: Per rater, some labelled voxels after the fixed steps, see ``pack_foreground``.
        ignores: True if the image has ignored voxels.
    """

    input_varies: list[bool]
    labelled: list[list[bool]]
    roi_voxels: list[int]
    in_box: list[bool] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    foreground: list[str] = field(default_factory=list)
    ignores: bool = False

    @classmethod
    def of(cls, volume: Volume) -> SliceStatistics:
        """Statistics of every slice of a volume."""
        channels = volume.image[list(volume.present)] if volume.present else volume.image
        varies = (channels.max(axis=(1, 2)) > channels.min(axis=(1, 2))).all(axis=0)
        target = np.zeros((0, 1, 1, volume.image.shape[-1])) if volume.target is None else volume.target
        labelled = np.asarray(target.any(axis=(1, 2)))
        box, roi, in_box = volume.box, volume.roi, []
        if box is not None:
            roi = None if roi is None else inside_box(roi, box)
            in_box = [box[4] <= z <= box[5] for z in range(volume.image.shape[-1])]
        roi_voxels = [] if roi is None else np.count_nonzero(roi, axis=(0, 1)).tolist()
        ignores = volume.ignore is not None and bool(volume.ignore.any())
        return cls(varies.tolist(), labelled.T.tolist(), roi_voxels, in_box, ignores=ignores)

    @classmethod
    def of_sample(cls, sample: Mapping[str, Any]) -> SliceStatistics:
        """Statistics of one sample (slice or patch), treated as a volume with a single slice.

        Args:
            sample: ``input``: one array per channel; ``gt``: per class, one array or one per rater; or None.
        """
        channels = [np.asarray(channel) for channel in sample["input"]]
        labels = [np.asarray(label) for label in _flat(sample.get("gt"))]
        varies = all(channel.max() > channel.min() for channel in channels)
        return cls([varies], [[bool(label.any()) for label in labels]], [])


@dataclass(frozen=True)
class SliceRule:
    """Rule that excludes slices; see ``slice_filter_params`` and ``roi_params`` of the configuration."""

    empty_input: bool = True
    empty_mask: bool = False
    absent_class: bool = False
    min_roi_voxels: int | None = None

    def keeps(self, facts: SliceStatistics, index: int) -> bool:
        """Return whether slice ``index`` is kept."""
        labelled = facts.labelled[index]
        return not (
            (self.empty_input and not facts.input_varies[index])
            or (self.empty_mask and not any(labelled))
            or (self.absent_class and not all(labelled))
            or (bool(facts.roi_voxels) and facts.roi_voxels[index] < (self.min_roi_voxels or 0))
            or (bool(facts.in_box) and not facts.in_box[index])
            or (bool(facts.accepted) and not facts.accepted[index])
        )


@dataclass(frozen=True, eq=False)
class SliceClassifier:
    """Rejects slices of prepared cases; the model is loaded for the first case that needs it.

    It sees slices as the network does at test time: after the fixed steps and the transforms per sample.

    Args:
        path: ``.pt`` file of the classifier, see `accepts`.
        steps: Transforms per sample at test time.
        device: Where it runs.

    Raises:
        ConfigError: The file does not exist.
    """

    path: Path
    steps: Pipeline = field(default_factory=Pipeline)
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise ConfigError(
                f"{KEY}: {self.path} is not a file; expected the .pt file of a trained classifier, or set "
                "filter_classification to false"
            )

    @property
    def identity(self) -> list[Any]:
        """Everything that determines its verdict on a prepared slice, for the key of a cache."""
        status = os.stat(self.path)
        steps = [[sorted(stage.applied_to), repr(stage.transform)] for stage in self.steps.stages]
        return [str(self.path.resolve()), status.st_size, status.st_mtime_ns, steps]

    def __call__(self, stack: np.ndarray, zooms: tuple[float, ...]) -> list[bool]:
        """Return which slices are kept: every channel must be accepted.

        Args:
            stack: [N, C, h, w] slices after the fixed steps.
            zooms: mm along h and w.
        """
        verdicts: list[bool] = []
        for start in range(0, len(stack), _BATCH):
            shown = np.stack([self._shown(image, zooms) for image in stack[start : start + _BATCH]])
            accepted = accepts(self._model, shown.reshape(-1, *shown.shape[2:])).reshape(shown.shape[:2])
            verdicts += [bool(row.all()) for row in accepted]
        return verdicts

    def _shown(self, image: np.ndarray, zooms: tuple[float, ...]) -> np.ndarray:
        plan = self.steps.plan(image.shape[1:], zooms, np.random.default_rng(0))
        return plan.apply(image, "im", 1)

    @cached_property
    def _model(self) -> torch.nn.Module:
        try:
            return load_model(self.path, self.device)
        except ModelError as error:
            raise ModelError(f"{KEY}: {error}") from error


@torch.inference_mode()
def accepts(classifier: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Ask a classifier whether images show what it was trained to find.

    Args:
        classifier: Maps one channel [B, 1, h, w] to the probabilities of all classes but the
            background, [B, K - 1]. Images that are more likely background are rejected.
        images: [B, h, w].

    Returns:
        [B] bool

    Raises:
        ModelError: The model is not such a classifier.
    """
    device = next((parameter.device for parameter in classifier.parameters()), CPU)
    batch = torch.as_tensor(np.asarray(images, np.float32), device=device)[:, None]
    try:
        probabilities = classifier(batch)
    except RuntimeError as error:
        raise ModelError(f"{KEY}: the model does not accept single-channel slices ({error})") from error
    if probabilities.ndim != 2:
        raise ModelError(
            f"{KEY}: {type(classifier).__name__} gives {list(probabilities.shape)} for a batch of slices; expected "
            "the probabilities of the classes, as ivadomed's classifiers return them"
        )
    return (probabilities.sum(dim=1) >= 0.5).cpu().numpy()


def _flat(labels: Any) -> list[Any]:
    """Labels of all raters of all classes as a flat list."""
    row: list[Any] = []
    for label in () if labels is None else labels:
        row += label if isinstance(label, (list, tuple)) else [label]
    return row
