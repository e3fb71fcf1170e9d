"""Seconds of a training step on random images."""

import itertools

import pytest
import torch

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.training.pace import seconds_per_step

UNET = Architecture("Unet", {"in_channel": 2, "out_channel": 3, "depth": 1, "n_filters": 2})
RESIDUAL = Architecture(
    "ResidualEncoderUnet",
    {"in_channel": 1, "out_channel": 2, "is_2d": False, "depth": 1, "n_filters": 2, "n_blocks": [1, 1]},
)


def clock(*durations):
    """A clock that is read before and after each step."""
    gaps = itertools.chain.from_iterable((each, 0.0) for each in durations)
    readings = itertools.accumulate(gaps, initial=0.0)
    return lambda: next(readings)


@pytest.mark.parametrize(("model", "size"), [(UNET, (16, 16)), (RESIDUAL, (8, 8, 8))])
def test_the_least_of_at_least_three_steps(model, size):
    params = TrainingParameters(batch_size=2)
    before = torch.get_rng_state()
    # One more step would raise StopIteration.
    assert seconds_per_step(model, params, size, seconds=2.0, clock=clock(5.0, 1.5, 3.0)) == 1.5
    assert seconds_per_step(model, params, size, seconds=4.5, clock=clock(1.0, 1.0, 1.0, 2.0)) == 1.0
    assert torch.equal(torch.get_rng_state(), before)


def test_a_network_with_conditions_is_measured():
    film = {"in_channel": 1, "out_channel": 1, "depth": 1, "n_filters": 2, "film_layers": [1] * 4}
    model = Architecture("FiLMedUnet", film | {"n_metadata": 3})
    assert seconds_per_step(model, TrainingParameters(batch_size=2), (16, 16), seconds=0) > 0
