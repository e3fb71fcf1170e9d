"""The smallest batch with which a network can be trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ivadomed.models.base import example_inputs
from ivadomed.models.registry import build_model

_ONE_VALUE = "Expected more than 1"
"""Start of torch's error for a normalization with a single value per channel, which has no standard deviation."""
_HALVINGS = 5  # of the classifiers; networks without an argument depth do not halve more often


def least_batch(name: str, arguments: Mapping[str, Any], size: Sequence[int]) -> int | None:
    """Minimum number of samples of a training step, found by a forward pass if samples are small.

    If pooling reduces a sample to one voxel, batch normalization needs a second sample.

    Args:
        name: See `build_model`.
        arguments: Constructor arguments.
        size: Voxels of a sample along each axis.

    Returns:
        1 or 2; None if no number suffices, because each sample is normalized separately.
    """
    if max(size) > 2 ** max(_HALVINGS, arguments.get("depth") or 0):
        return 1
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = build_model(name, arguments).train()
        channels = len(arguments["contrasts"]) if "contrasts" in arguments else arguments.get("in_channel", 1)
        for count in (1, 2):
            try:
                model(*model.inputs(example_inputs(model, (count, channels, *size))))
            except Exception as error:
                if _ONE_VALUE not in str(error):
                    return 1  # unsupported sizes are refused elsewhere
            else:
                return count
    return None
