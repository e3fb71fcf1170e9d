"""The average of the weights."""

import pytest
import torch
from torch import nn

from ivadomed.training.optimization import WeightAverage


def network():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    nn.init.constant_(model[0].weight, 0.0)
    return model


def set_weight(model, value):
    with torch.no_grad():
        model[0].weight.fill_(value)


def test_early_steps_forget_faster_and_late_ones_by_the_decay():
    model = network()
    average = WeightAverage(model, 0.15)
    expected = 0.0
    # (1 + n) / (10 + n) is 0.1, 2/11 > 0.15, ...
    for value, decay in ((10.0, 0.1), (20.0, 0.15), (30.0, 0.15)):
        set_weight(model, value)
        average.update()
        expected = decay * expected + (1 - decay) * value
        assert average.weights["0.weight"].item() == pytest.approx(expected)


def test_running_statistics_are_averaged_and_counters_copied():
    model = network()
    average = WeightAverage(model, 0.9)
    model.train()
    model(torch.full((4, 1), 3.0))
    model[1].running_mean.fill_(5.0)
    average.update()
    assert average.weights["1.running_mean"].item() == pytest.approx(0.9 * 5)
    assert average.weights["1.num_batches_tracked"].item() == 1


def test_the_network_has_the_average_only_within_the_context():
    model = network()
    average = WeightAverage(model, 0.5)
    set_weight(model, 4.0)
    average.update()
    parameter = model[0].weight
    with average.in_place():
        assert model[0].weight.item() == pytest.approx(0.9 * 4)
    assert model[0].weight.item() == 4.0
    assert model[0].weight is parameter


def test_without_decay_the_network_stays_as_it_is():
    model = network()
    average = WeightAverage(model, None)
    set_weight(model, 4.0)
    average.update()
    with average.in_place():
        assert model[0].weight.item() == 4.0
    assert average.state_dict() == {"steps": 0, "weights": {}}


def test_it_continues_from_its_state():
    whole, halves = network(), network()
    first, second = WeightAverage(whole, 0.9), WeightAverage(halves, 0.9)
    for value in (1.0, 2.0):
        set_weight(whole, value)
        first.update()
    second.load_state_dict(first.state_dict())
    for model, average in ((whole, first), (halves, second)):
        set_weight(model, 3.0)
        average.update()
    assert torch.equal(first.weights["0.weight"], second.weights["0.weight"])
    assert first.weights["0.weight"] is not second.weights["0.weight"]
