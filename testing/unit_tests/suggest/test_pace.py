"""Pace of a machine."""

import pytest
import torch

from ivadomed.suggest import pace

CPU = torch.device("cpu")


@pytest.mark.parametrize(("n_axes", "batch", "size"), [(2, 2, (192, 192)), (3, 2, (48, 48, 48))])
def test_operations_of_a_step_by_its_seconds(n_axes, batch, size, monkeypatch):
    seen = []

    def seconds_per_step(architecture, params, size, device, seconds):
        seen.append((architecture.arguments["n_filters"], params.batch_size, size))
        return 2.0

    monkeypatch.setattr(pace, "seconds_per_step", seconds_per_step)
    pace.measure_pace.cache_clear()
    try:
        found = pace.measure_pace(CPU, n_axes, 12)
        assert pace.measure_pace(CPU, n_axes, 12) == found
        assert pace.measure_pace(CPU, n_axes, 4) < found / 4
    finally:
        pace.measure_pace.cache_clear()
    assert seen == [(12, batch, size), (4, batch, size)]
    # The first convolution alone: its products for each voxel of the batch, forward, and twice that backward.
    first = 3 * 2 * 3**n_axes * 12 * batch * size[0] ** n_axes
    assert found > 10 * first / 2
