"""Filter of the 2D or 3D patches that take part in the training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ivadomed.loader.slice_filter import SliceRule, SliceStatistics


class PatchFilter:
    """Decides whether a patch stays in a training or validation set; a test set is predicted whole.

    Args:
        filter_empty_mask: Discard patches without any labelled voxel.
        filter_absent_class: Discard patches in which a class has no voxel.
        filter_empty_input: Discard patches with a channel of one single intensity.
        is_train: The set is one of training or validation; otherwise every patch stays.
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
        """True when some patch can be discarded."""
        return self.is_train and self.rule != SliceRule(empty_input=False)

    def __call__(self, sample: Mapping[str, Any]) -> bool:
        """Tell whether a patch stays.

        Args:
            sample: ``input``: one array per channel; ``gt``: one per class (a list of raters for several).
        """
        return not self.active or self.rule.keeps(SliceStatistics.of_sample(sample), 0)
