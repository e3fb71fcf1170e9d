"""Which slices take part: by what the image, its labels and its region of interest hold there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from ivadomed.errors import ConfigError
from ivadomed.geometry.boxes import inside_box
from ivadomed.loader.cases.volumes import Volume
from ivadomed.loader.prepared.slice_classifier import accepts
from ivadomed.models import load_model


@dataclass(frozen=True)
class SliceFacts:
    """What filters need to know of each slice of the image as it was read, and where its labels lie.

    Args:
        input_varies: Per slice, whether every channel that is there has more than one intensity.
        labelled: Per slice and rater, whether the label has a voxel.
        roi_voxels: Per slice, voxels of the ROI (in the box, if there is one); empty without an ROI.
        in_box: Per slice, whether it meets the bounding box; empty without a box.
        accepted: Per slice, whether the classifier accepts it; empty without a classifier.
        foreground: Per rater, some labelled voxels after the fixed steps, see ``pack_foreground``.
    """

    input_varies: list[bool]
    labelled: list[list[bool]]
    roi_voxels: list[int]
    in_box: list[bool] = field(default_factory=list)
    accepted: list[bool] = field(default_factory=list)
    foreground: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, volume: Volume) -> SliceFacts:
        """Facts of every slice of a volume."""
        channels = volume.image[list(volume.present)] if volume.present else volume.image
        varies = (channels.max(axis=(1, 2)) > channels.min(axis=(1, 2))).all(axis=0)
        target = np.zeros((0, 1, 1, volume.image.shape[-1])) if volume.target is None else volume.target
        labelled = np.asarray(target.any(axis=(1, 2)))
        box, roi, in_box = volume.box, volume.roi, []
        if box is not None:
            roi = None if roi is None else inside_box(roi, box)
            in_box = [box[4] <= z <= box[5] for z in range(volume.image.shape[-1])]
        roi_voxels = [] if roi is None else np.count_nonzero(roi, axis=(0, 1)).tolist()
        return cls(varies.tolist(), labelled.T.tolist(), roi_voxels, in_box)

    @classmethod
    def of_sample(cls, sample: Mapping[str, Any]) -> SliceFacts:
        """Facts of one sample (slice or patch), as of a volume with a single slice.

        Args:
            sample: ``input``: one array per channel; ``gt``: per class one array, or one per rater; or None.
        """
        channels = [np.asarray(channel) for channel in sample["input"]]
        labels = [np.asarray(label) for label in _flat(sample.get("gt"))]
        varies = all(channel.max() > channel.min() for channel in channels)
        return cls([varies], [[bool(label.any()) for label in labels]], [])

    def to_json(self) -> dict[str, Any]:
        """For the cache."""
        return asdict(self)


@dataclass(frozen=True)
class SliceRule:
    """What is left out; see ``slice_filter_params`` and ``roi_params`` of the configuration."""

    empty_input: bool = True
    empty_mask: bool = False
    absent_class: bool = False
    min_roi_voxels: int | None = None

    def keeps(self, facts: SliceFacts, index: int) -> bool:
        """Whether slice ``index`` stays."""
        labelled = facts.labelled[index]
        return not (
            (self.empty_input and not facts.input_varies[index])
            or (self.empty_mask and not any(labelled))
            or (self.absent_class and not all(labelled))
            or (bool(facts.roi_voxels) and facts.roi_voxels[index] < (self.min_roi_voxels or 0))
            or (bool(facts.in_box) and not facts.in_box[index])
            or (bool(facts.accepted) and not facts.accepted[index])
        )


class SliceFilter:
    """Decides whether a slice stays in the data set.

    Args:
        filter_empty_mask: Discard slices without any labelled voxel.
        filter_absent_class: Discard slices in which a class has no voxel.
        filter_empty_input: Discard slices with a channel of one single intensity.
        filter_classification: Discard slices with a channel that the classifier rejects.
        classifier_path: ``.pt`` file of the classifier, see ``models.load_model``. It is given one channel
            [1, 1, H, W] and returns the probabilities of the classes but the background, [1, C - 1]; it
            rejects what is more likely background than not.
        device: Of the classifier; the CPU when not given.
        cuda_available: Kept for callers of 2.9.10; ``device`` says it.

    Attributes:
        filter_empty_mask: As given; so are the other three.
        filter_absent_class: As given.
        filter_empty_input: As given.
        filter_classification: As given.
        rule: What is decided without the classifier.
        classifier: The model, or None.
        device: Where it runs.
        cuda_available: Whether that is a GPU.

    Raises:
        ConfigError: ``filter_classification`` without a ``classifier_path``.
        ModelError: The classifier cannot be opened.
    """

    def __init__(
        self,
        filter_empty_mask: bool = False,
        filter_absent_class: bool = False,
        filter_empty_input: bool = True,
        filter_classification: bool = False,
        classifier_path: str | os.PathLike[str] | None = None,
        device: torch.device | str | None = None,
        cuda_available: bool | None = None,
    ) -> None:
        self.filter_empty_mask, self.filter_absent_class = filter_empty_mask, filter_absent_class
        self.filter_empty_input, self.filter_classification = filter_empty_input, filter_classification
        self.rule = SliceRule(filter_empty_input, filter_empty_mask, filter_absent_class)
        self.device = torch.device(device or "cpu")
        self.cuda_available = self.device.type == "cuda"
        self.classifier: torch.nn.Module | None = None
        if filter_classification:
            if classifier_path is None:
                raise ConfigError(
                    "loader_parameters.slice_filter_params.classifier_path: none given; "
                    "filter_classification needs the file of a classifier"
                )
            self.classifier = load_model(classifier_path, self.device)

    def __call__(self, sample: Mapping[str, Any]) -> bool:
        """Whether a slice stays.

        Args:
            sample: ``input``: one [H, W] per channel; ``gt``: one per class (a list of raters for several).
        """
        return self.rule.keeps(SliceFacts.of_sample(sample), 0) and self.accepts(sample["input"])

    def accepts(self, channels: Sequence[Any]) -> bool:
        """Whether the classifier, if there is one, accepts all channels [H, W] of a slice."""
        if self.classifier is None:
            return True
        return bool(accepts(self.classifier, np.stack([np.asarray(c, np.float32) for c in channels])).all())


def _flat(labels: Any) -> list[Any]:
    """Labels of all raters of all classes in one row."""
    row: list[Any] = []
    for label in () if labels is None else labels:
        row += label if isinstance(label, (list, tuple)) else [label]
    return row
