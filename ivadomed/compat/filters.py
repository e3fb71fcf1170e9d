"""Filters of samples of ivadomed 2, over the rules of `ivadomed.loader.slices`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ivadomed.errors import ConfigError
from ivadomed.loader.slices import KEY, SliceRule, SliceStatistics, accepts
from ivadomed.models import load_model

__all__ = ["PatchFilter", "SliceFilter"]


class SliceFilter:
    """Decides whether a slice is kept in the data set.

    Args:
        filter_empty_mask: Discard slices without any labelled voxel.
        filter_absent_class: Discard slices in which a class has no voxel.
        filter_empty_input: Discard slices with a channel of one single intensity.
        filter_classification: Discard slices with a channel that the classifier rejects.
        classifier_path: ``.pt`` file of the classifier, see ``models.load_model``. It is given one channel
            [1, 1, H, W] and returns the probabilities of the classes but the background, [1, C - 1]; it
            rejects what is more likely background than not.
        device: Device of the classifier; the CPU when not given.
        cuda_available: Kept for callers of 2.9.10; ``device`` says it.

    Attributes:
        filter_empty_mask: As given; so are the other three.
        filter_absent_class: As given.
        filter_empty_input: As given.
        filter_classification: As given.
        rule: Decision without the classifier.
        classifier: The model, or None.
        device: Where it runs.
        cuda_available: True if that is a GPU.

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
                raise ConfigError(f"{KEY}: none given; filter_classification needs the file of a classifier")
            self.classifier = load_model(classifier_path, self.device)

    def __call__(self, sample: Mapping[str, Any]) -> bool:
        """Return True if a slice is kept.

        Args:
            sample: ``input``: one [H, W] per channel; ``gt``: one per class (a list of raters for several).
        """
        return self.rule.keeps(SliceStatistics.of_sample(sample), 0) and self.accepts(sample["input"])

    def accepts(self, channels: Sequence[Any]) -> bool:
        """Return True if the classifier, if any, accepts all channels [H, W] of a slice."""
        if self.classifier is None:
            return True
        return bool(accepts(self.classifier, np.stack([np.asarray(c, np.float32) for c in channels])).all())


class PatchFilter:
    """Decides whether a patch is kept in a training or validation set; a test set is predicted whole.

    Args:
        filter_empty_mask: Discard patches without any labelled voxel.
        filter_absent_class: Discard patches in which a class has no voxel.
        filter_empty_input: Discard patches with a channel of one single intensity.
        is_train: The set is for training or validation; otherwise every patch is kept.
    """

    def __init__(
        self,
        filter_empty_mask: bool = False,
        filter_absent_class: bool = False,
        filter_empty_input: bool = False,
        is_train: bool = False,
    ) -> None:
        self.filter_empty_mask, self.filter_absent_class = filter_empty_mask, filter_absent_class
        self.filter_empty_input = filter_empty_input
        self.rule = SliceRule(filter_empty_input, filter_empty_mask, filter_absent_class)
        self.is_train = is_train

    @property
    def active(self) -> bool:
        """True if any patch can be discarded."""
        return self.is_train and self.rule != SliceRule(empty_input=False)

    def __call__(self, sample: Mapping[str, Any]) -> bool:
        """Return True if a patch is kept.

        Args:
            sample: ``input``: one array per channel; ``gt``: one per class (a list of raters for several).
        """
        return not self.active or self.rule.keeps(SliceStatistics.of_sample(sample), 0)
