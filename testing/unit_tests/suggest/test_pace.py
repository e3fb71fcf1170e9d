"""Pace of a machine."""

import torch

from ivadomed.suggest import pace


def test_operations_of_a_step_by_its_seconds(monkeypatch):
    seen = []

    def seconds_per_step(architecture, params, size, device):
        seen.append((architecture.arguments["n_filters"], params.batch_size, size))
        return 2.0

    monkeypatch.setattr(pace, "seconds_per_step", seconds_per_step)
    pace.measure_pace.cache_clear()
    try:
        found = pace.measure_pace(torch.device("cpu"))
        assert pace.measure_pace(torch.device("cpu")) == found
    finally:
        pace.measure_pace.cache_clear()
    assert seen == [(12, 2, (48, 48, 48))]
    # The first convolution alone: 27 x 12 products for each of 2 x 48 cubed voxels, forward, and twice that backward.
    first = 3 * 2 * 27 * 12 * 2 * 48**3
    assert found > 10 * first / 2
