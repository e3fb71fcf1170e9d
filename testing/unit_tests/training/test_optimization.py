"""From losses to weights."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ivadomed.config.schema.training import TrainingParameters
from ivadomed.errors import ConfigError
from ivadomed.runtime.ranks import ALONE
from ivadomed.training.optimization import OPTIMIZERS, Optimization, build_optimizer
from ivadomed.training.processes import Processes


@pytest.fixture
def make():
    def make(batches, weight=1.0, **changes):
        """A network y = w x without momentum and with a learning rate of 0.1."""
        content = {
            "precision": "32",
            "training_time": {"num_epochs": 2},
            "scheduler": {
                "initial_lr": 0.1,
                "lr_scheduler": {"name": "CosineAnnealingWarmRestarts", "T_0": 99},
            },
            "optimizer": {"name": "SGD", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
        }
        params = TrainingParameters.model_validate({**content, **changes})
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, weight)
        return Optimization(Processes(ALONE, torch.device("cpu"), "32").fabric, model, params, batches)

    return make


def learn(optimization, step, x):
    """The gradient of the loss w * x is x."""
    with optimization.around(step):
        optimization.learn(optimization.network(torch.tensor([[x]])).sum(), step)
    return optimization.model.weight.item()


def test_groups_of_batches_make_one_update_by_their_mean_gradient(make):
    optimization = make(batches=5, accumulate_batches=2)
    weights = [learn(optimization, step, x) for step, x in enumerate([1.0, 3.0, 2.0, 4.0, 7.0])]
    # The last group has one batch.
    assert weights == pytest.approx([1.0, 1 - 0.2, 0.8, 0.8 - 0.3, 0.5 - 0.7])
    assert learn(optimization, 0, 1.0) == pytest.approx(-0.2)  # a new epoch starts a new group
    assert learn(optimization, 1, 1.0) == pytest.approx(-0.2 - 0.1)


def test_a_long_gradient_is_scaled_down(make):
    optimization = make(batches=2, gradient_clipping=2.0)
    assert learn(optimization, 0, 50.0) == pytest.approx(1 - 0.1 * 2, abs=1e-5)
    assert learn(optimization, 1, -1.0) == pytest.approx(0.8 + 0.1, abs=1e-5)


def test_the_average_follows_the_updates(make):
    optimization = make(batches=4, accumulate_batches=2, ema_decay=0.5)
    for step in range(4):
        learn(optimization, step, 1.0)
    assert optimization.average.steps == 2
    first = 0.1 * 1 + 0.9 * 0.9
    decay = 2 / 11
    assert optimization.average.weights["weight"].item() == pytest.approx(decay * first + (1 - decay) * 0.8)


def test_a_schedule_per_update_spans_groups_of_batches(make):
    schedule = {"initial_lr": 0.01, "lr_scheduler": {"name": "OneCycleLR", "max_lr": 0.1}}
    optimization = make(batches=5, accumulate_batches=2, scheduler=schedule)
    assert optimization.scheduler.total_steps == 2 * 3
    for _ in range(2):
        for step in range(5):
            learn(optimization, step, 1.0)
        rate = optimization.learning_rate
        optimization.end_epoch()
        assert optimization.learning_rate == rate


def test_a_schedule_per_epoch_waits_for_the_end_of_the_epoch(make):
    schedule = {"initial_lr": 0.1, "lr_scheduler": {"name": "PolynomialLR", "power": 1.0}}
    optimization = make(batches=2, scheduler=schedule)
    learn(optimization, 0, 1.0)
    learn(optimization, 1, 1.0)
    assert optimization.learning_rate == pytest.approx(0.1)
    optimization.end_epoch()
    assert optimization.learning_rate == pytest.approx(0.05)


def test_it_continues_from_its_state(make):
    options = {"optimizer": {"name": "Adam"}, "ema_decay": 0.9}
    whole, second = make(batches=1, **options), make(batches=1, weight=5.0, **options)
    learn(whole, 0, 1.0)
    second.load_state_dict(
        deepcopy(whole.state_dict())
    )  # a file shares no memory with what it was saved from
    assert learn(second, 0, -2.0) == learn(whole, 0, -2.0)
    assert torch.equal(second.average.weights["weight"], whole.average.weights["weight"])


@pytest.mark.parametrize(
    ("section", "kind", "expected"),
    [
        ({"name": "Adam"}, torch.optim.Adam, {"weight_decay": 0.0}),
        ({}, torch.optim.Adam, {"weight_decay": 0.0}),
        ({"name": "AdamW"}, torch.optim.AdamW, {"weight_decay": 0.01}),
        ({"name": "SGD"}, torch.optim.SGD, {"momentum": 0.99, "nesterov": True, "weight_decay": 3e-5}),
    ],
)
def test_optimizers(section, kind, expected):
    params = TrainingParameters.model_validate({"optimizer": section}).optimizer
    optimizer = build_optimizer(params.name, params.arguments, [nn.Parameter(torch.zeros(1))], 0.3)
    assert type(optimizer) is kind
    assert {key: optimizer.defaults[key] for key in expected} == expected
    assert optimizer.defaults["lr"] == 0.3


@pytest.mark.parametrize(
    ("device", "scaler", "clipping", "fused"),
    [
        ("cuda", None, None, True),
        ("cuda", None, 1.0, True),
        ("cuda", object(), None, True),
        ("cuda", object(), 1.0, False),  # the clipped gradient would be divided by the scale twice
        ("cpu", None, None, False),
    ],
)
def test_a_cuda_gpu_updates_all_weights_in_one_kernel(device, scaler, clipping, fused):
    def setup(model, optimizer):
        return model, SimpleNamespace(optimizer=optimizer, param_groups=optimizer.param_groups)

    strategy = SimpleNamespace(precision=SimpleNamespace(scaler=scaler))
    fabric = SimpleNamespace(device=torch.device(device), strategy=strategy, setup=setup)
    params = TrainingParameters.model_validate({"gradient_clipping": clipping})
    optimization = Optimization(fabric, nn.Linear(1, 1), params, 1)
    assert bool(optimization.optimizer.param_groups[0]["fused"]) == fused


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_can_be_fused(name):
    assert build_optimizer(name, {}, [nn.Parameter(torch.zeros(1))], 0.3, fused=True).defaults["fused"]


def test_an_unknown_optimizer():
    with pytest.raises(ConfigError, match=r"optimizer.name: 'Lion' is unknown; expected Adam, AdamW, SGD"):
        build_optimizer("Lion", {}, [], 0.1)
