"""Learning-rate schedules and early stopping."""

import math

import pytest
import torch

from ivadomed.errors import ConfigError
from ivadomed.training.schedule import EarlyStopping, get_scheduler, stretch


def rates(params, epochs, steps):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler, per_batch = get_scheduler(params, optimizer, epochs)
    values = []
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        values.append(optimizer.param_groups[0]["lr"])
    return values, per_batch


def test_cosine_comes_down_to_zero():
    values, per_batch = rates({"name": "CosineAnnealingLR", "base_lr": 1e-5, "max_lr": 1e-2}, 10, 10)
    assert not per_batch
    assert values == pytest.approx(
        [1e-3 * (1 + math.cos(math.pi * k / 10)) / 2 for k in range(1, 11)], abs=1e-12
    )


def test_warm_restarts_return_to_the_initial_rate():
    values, per_batch = rates(
        {"name": "CosineAnnealingWarmRestarts", "T_0": 4, "T_mult": 2, "base_lr": None}, 20, 12
    )
    assert not per_batch
    assert [i + 1 for i, v in enumerate(values) if v == pytest.approx(1e-3)] == [4, 12]


def test_cyclic_steps_per_batch_between_its_bounds():
    values, per_batch = rates({"name": "CyclicLR", "base_lr": 1e-5, "max_lr": 1e-2}, 20, 4000)
    assert per_batch
    assert max(values) == pytest.approx(1e-2)
    assert min(values) >= 1e-5 - 1e-12


def test_a_cosine_is_stretched_to_a_new_end():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler, _ = get_scheduler({"name": "CosineAnnealingLR"}, optimizer, 4)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0)
    stretch(scheduler, 8)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5e-3)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0)


def test_unknown_name():
    with pytest.raises(
        ConfigError, match=r"lr_scheduler.name: 'Cosine' is unknown; expected CosineAnnealingLR"
    ):
        rates({"name": "Cosine"}, 1, 1)


def test_early_stopping_counts_successive_small_changes():
    stopping = EarlyStopping(epsilon=0.01, patience=2)
    assert [stopping.update(v) for v in (1.0, 0.999, 0.5, 0.501, 0.502)] == [False, False, False, False, True]


def test_early_stopping_continues_from_its_state():
    first = EarlyStopping(0.01, 2)
    first.update(1.0), first.update(1.0)
    second = EarlyStopping(0.01, 2)
    second.load_state_dict(first.state_dict())
    assert second.update(1.0)
