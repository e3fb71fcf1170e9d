"""Learning-rate schedules and early stopping."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    OneCycleLR,
    PolynomialLR,
)

from ivadomed.config.schema.training import TrainingTime
from ivadomed.errors import ConfigError
from ivadomed.training.schedule import EarlyStopping, build_scheduler, get_scheduler, resume_schedule

TIME = TrainingTime(early_stopping_epsilon=0.01, early_stopping_patience=2)


def rates(params, epochs, steps):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    scheduler, per_batch = get_scheduler(dict(params), optimizer, epochs)
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


def test_polynomial_comes_down_to_zero():
    values, per_update = rates({"name": "PolynomialLR", "power": 0.9}, 10, 10)
    assert not per_update
    assert values == pytest.approx([1e-3 * (1 - k / 10) ** 0.9 for k in range(1, 11)], abs=1e-12)


def follow(scheduler, optimizer, steps):
    """Rates that a number of updates set."""
    values = []
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        values.append(optimizer.param_groups[0]["lr"])
    return values


def test_one_cycle_spans_the_updates_of_the_training():
    params = {"max_lr": 1e-2, "pct_start": 0.3}
    one, other = (torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3) for _ in range(2))
    scheduler, per_update = build_scheduler("OneCycleLR", params, one, num_epochs=5, updates_per_epoch=4)
    assert per_update
    assert one.param_groups[0]["lr"] == pytest.approx(1e-3)
    values = follow(scheduler, one, 19)
    expected = OneCycleLR(other, 1e-2, epochs=5, steps_per_epoch=4, div_factor=10, cycle_momentum=False)
    assert values == pytest.approx(follow(expected, other, 19))
    assert max(values) == pytest.approx(1e-2, rel=0.01)
    assert values[-1] < 1e-6


SPANNING = [
    {"name": "CosineAnnealingLR"},
    {"name": "PolynomialLR", "power": 0.9},
    {"name": "OneCycleLR", "max_lr": 1e-2, "pct_start": 0.3},
]


@pytest.mark.parametrize("params", SPANNING, ids=lambda p: p["name"])
@pytest.mark.parametrize("length", [4, 8])
def test_a_schedule_continues_on_the_curve_of_its_length(params, length):
    def make(epochs):
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
        return get_scheduler(dict(params), optimizer, epochs)[0], optimizer

    whole = follow(*make(length), length)
    planned, optimizer = make(4)
    follow(planned, optimizer, 3)
    scheduler, resumed = make(length)
    resumed.load_state_dict(optimizer.state_dict())
    resume_schedule(scheduler, resumed, planned.state_dict())
    assert resumed.param_groups[0]["lr"] == pytest.approx(whole[2], abs=1e-15)
    assert follow(scheduler, resumed, length - 3) == pytest.approx(whole[3:], abs=1e-15)


def test_unknown_name():
    with pytest.raises(
        ConfigError, match=r"lr_scheduler.name: 'Cosine' is unknown; expected one of CosineAnnealingLR"
    ):
        rates({"name": "Cosine"}, 1, 1)


@pytest.mark.parametrize(
    ("params", "reference"),
    [
        ({"name": "CosineAnnealingLR", "eta_min": 1e-4}, lambda o: CosineAnnealingLR(o, 6, eta_min=1e-4)),
        ({"name": "CosineAnnealingLR", "T_max": 3}, lambda o: CosineAnnealingLR(o, 3)),
        (
            {"name": "CosineAnnealingWarmRestarts", "T_0": 4, "eta_min": 1e-4},
            lambda o: CosineAnnealingWarmRestarts(o, 4, eta_min=1e-4),
        ),
        ({"name": "PolynomialLR", "power": 2, "total_iters": 5}, lambda o: PolynomialLR(o, 5, 2)),
        (
            {"name": "CyclicLR", "base_lr": 1e-4, "max_lr": 1e-2, "step_size_up": 2, "mode": "triangular"},
            lambda o: CyclicLR(o, 1e-4, 1e-2, step_size_up=2, cycle_momentum=False),
        ),
        (
            {"name": "CyclicLR", "base_lr": 1e-4, "max_lr": 1e-2, "mode": "exp_range", "gamma": 0.9}
            | {"step_size_up": 1, "step_size_down": 2},
            lambda o: CyclicLR(o, 1e-4, 1e-2, 1, 2, "exp_range", 0.9, cycle_momentum=False),
        ),
        (
            {"name": "OneCycleLR", "max_lr": 1e-2, "total_steps": 9, "anneal_strategy": "linear"}
            | {"div_factor": 20.0, "final_div_factor": 10.0, "three_phase": True},
            lambda o: OneCycleLR(
                o, 1e-2, 9, None, None, 0.3, "linear", False, 0.85, 0.95, 20.0, 10.0, three_phase=True
            ),
        ),
    ],
)
def test_every_argument_reaches_torch(params, reference):
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    expected = follow(reference(optimizer), optimizer, 6)
    assert rates(params, 6, 6)[0] == pytest.approx(expected)


def test_the_name_is_taken_out_of_the_dictionary():
    params = {"name": "CosineAnnealingLR", "eta_min": 1e-4}
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    get_scheduler(params, optimizer, 4)
    assert params == {"eta_min": 1e-4}
    with pytest.raises(ConfigError, match="name: is missing"):
        get_scheduler(params, optimizer, 4)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"name": "CyclicLR", "base_lr": 1, "max_lr": 2, "step_size": 3}, "did you mean 'step_size_up'"),
        ({"name": "CosineAnnealingLR", "warmup": 3}, "CosineAnnealingLR accepts T_max, eta_min"),
        ({"name": "CyclicLR", "base_lr": 1e-5}, "CyclicLR cannot be created"),
        ({"name": "OneCycleLR", "max_lr": 1, "total_steps": 2}, "ends before the training"),
    ],
)
def test_arguments_that_torch_refuses(params, message):
    with pytest.raises(ConfigError, match=message):
        rates(params, 6, 6)


def test_early_stopping_counts_successive_small_changes():
    stopping = EarlyStopping(TIME)
    assert [stopping.update(v) for v in (1.0, 0.999, 0.5, 0.501, 0.502)] == [False, False, False, False, True]


def test_early_stopping_continues_from_its_state():
    first = EarlyStopping(TIME)
    first.update(1.0), first.update(1.0)
    second = EarlyStopping(TIME)
    second.load_state_dict(first.state_dict())
    assert second.update(1.0)
