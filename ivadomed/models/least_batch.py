"""The smallest batch that a network can be trained with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ivadomed.models.base import example_inputs
from ivadomed.models.registry import build_model

_ONE_VALUE = "Expected more than 1"
"""Beginning of what torch says when a normalisation has a single value of a channel, which has no deviation."""
_HALVINGS = 5  # of the classifiers; what has no argument depth does not halve more often


def least_batch(name: str, arguments: Mapping[str, Any], size: Sequence[int]) -> int | None:
    """Fewest samples that a step of a training takes, found by a forward pass where samples are small.

    Where poolings leave one voxel of a sample, batch normalisation needs a second sample.

    Args:
        name: See `build_model`.
        arguments: Constructor arguments.
        size: Voxels of a sample along each axis.

    Returns:
        1 or 2; None when no number suffices, because each sample is normalised by itself.
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
                    return 1  # sizes that it does not take at all are refused elsewhere
            else:
                return count
    return None
